"""A training and a test step never wait for a GPU, and mix no devices.

No GPU is needed: the tensors here have a shape and the device "cuda", and no values, so models of full size
take no memory. What asks for a value fails, and so does what computes with tensors of two devices. A GPU also
waits where something is copied to it or from it, so copies are counted: only the batch may move, and what is
erased in it, and none of them may be waited for. What says whether a step is finite is sent to the host
without waiting, which needs a GPU, and read one step later: here it is caught when it is sent.

PyTorch's backward pass asks a real GPU for its streams. So there it is replaced: each weight gets a gradient
of its shape. The whole step, with the real backward pass, is taken once more on the device "cpu", where
nothing may be read either. Compiled code is not looked at: it needs values.
"""

import dataclasses
from pathlib import Path
from unittest import mock

import pytest
import torch
from fake_gpu import GPU, Caught, Copies, moved
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import DataDependentOutputException

from slowfast_ext.config import load_config
from slowfast_ext.data.frames import Frames
from slowfast_ext.data.packing import pack_pathways
from slowfast_ext.engine import nonfinite
from slowfast_ext.engine import train as training
from slowfast_ext.engine.learner import make_learner
from slowfast_ext.engine.localizing import logits_of
from slowfast_ext.engine.precision import make_scaler
from slowfast_ext.engine.tally import Tally
from slowfast_ext.engine.test import test_step as classify
from slowfast_ext.engine.train import train_step
from slowfast_ext.flops import view_shape
from slowfast_ext.host import get_host
from slowfast_ext.models import build_on_meta, make_model, without_published_weights

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
MODELS = ("Demo/VTN", "Demo/I3D", "Demo/SlowFast")
# The others are these with other widths or depths, or with other epochs.
KINDS = (
    "Demo/VTN_segments",
    *("Kinetics/VTN_ViT_B_aug", "Kinetics/VTN_DeiT_BD", "Kinetics/VTN_R50"),
    *("Kinetics/I3D_NLN_32x2_R50", "Kinetics/SLOWFAST_8x8_R50"),
)
NAMES = [
    name if name in (*MODELS, *KINDS) else pytest.param(name, marks=pytest.mark.slow)
    for path in sorted(CONFIGS.rglob("*.yaml"))
    if (name := str(path.relative_to(CONFIGS).with_suffix(""))) != "Demo/Base"
]


@pytest.fixture
def fake(monkeypatch):
    """PyTorch takes the tensors for those of a GPU that is there; yields what counts the copies."""
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    monkeypatch.setattr(nonfinite, "SentNumbers", Caught)
    with FakeTensorMode(allow_non_fake_inputs=True), Copies(readable=True) as copies:
        yield copies


@pytest.fixture
def pinned(monkeypatch):
    """What is put into memory that a GPU reads directly."""
    tensors = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self, *_: tensors.append(self) or self)
    return tensors


def load(cfg, *, train: bool, videos: int = 2) -> tuple:
    """A batch on the CPU, as a loader gives it: each video shows its last frame twice."""
    frames, crop = view_shape(cfg, train=train)
    parts = tuple(torch.zeros(frames - 1, crop, crop, 3, dtype=torch.uint8) for _ in range(videos))
    inputs = [Frames(parts, torch.zeros(videos, frames, dtype=torch.long))]
    if cfg.MODEL.MODEL_NAME == "VTN":
        inputs.append(torch.zeros(videos, frames, dtype=torch.long))
    if cfg.VTN.LOCALIZATION_SCALES:
        inputs.append(torch.zeros(videos, 3, 3))
    return inputs, torch.zeros(videos, dtype=torch.long), torch.arange(videos)


def moved_with(loaded: tuple) -> list[tuple[str, str]]:
    """The copies that bring a batch to a GPU: pixels, index, frame numbers, segments, labels."""
    frames, *others = loaded[0]
    return [("cpu", "cuda")] * (len(frames.parts) + 1 + len(others) + 1)


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """Build the model of a file in configs/, without values: that and the configuration.

    What is merged after the file is not checked: this machine need not be able to do it.
    """

    monkeypatch.setattr(get_host(), "build_model", lambda cfg, _: build_on_meta(cfg))

    def build(name: str, keys: str = ""):
        own = ["OUTPUT_DIR", str(tmp_path), "NUM_GPUS", "0", "ENGINE", "own"]
        cfg = load_config(CONFIGS / f"{name}.yaml", own).clone()
        cfg.defrost()
        cfg.merge_from_list(keys.split())
        cfg.freeze()
        for train in (True, False):
            if cfg.MODEL.MODEL_NAME == "SlowFast":  # the frames of the slow pathway are counted once
                pack_pathways(cfg, torch.zeros(1, 3, view_shape(cfg, train=train)[0], 1, 1))
        return make_model(without_published_weights(cfg)), cfg

    return build


def learner_on(device: torch.device, model, cfg):
    # timm makes a generator on the model's device, for another precision than ours.
    with mock.patch.object(torch, "Generator"):
        learner = make_learner(moved(model, device).train(), cfg)
    return dataclasses.replace(learner, device=device, scaler=make_scaler(cfg.TRAIN.PRECISION, device))


@pytest.fixture
def take_steps(steps, pinned, monkeypatch, request):
    """Train two steps of a configuration on the GPU; returns the copies of each and what was counted."""
    models = []

    def backward(loss: torch.Tensor) -> None:
        assert loss.requires_grad
        assert loss.device == GPU
        for parameter in (parameter for model in models for parameter in model.parameters()):
            if parameter.requires_grad:
                parameter.grad = torch.empty_like(parameter)

    def take(name: str, keys: str = "") -> tuple[list, Tally]:
        model, cfg = steps(name, keys)
        copies = request.getfixturevalue("fake")
        monkeypatch.setattr(torch.Tensor, "backward", backward)
        # Cutting looks at the index of the frames, which is on the CPU; without values it cannot.
        monkeypatch.setattr(training, "split_batch", lambda loaded, count: [loaded] * count)
        models.append(model)
        learner, tally, found = learner_on(GPU, model, cfg), Tally(all_processes=True), []
        loaded, parts = load(cfg, train=True), cfg.TRAIN.ACCUMULATE_STEPS
        for iteration in range(2):  # the second one has momenta
            copies.made.clear()
            pinned.clear()
            train_step(loaded, learner, tally, cfg, iteration=iteration)
            assert copies.made == parts * moved_with(loaded) + [("cpu", "cuda")] * len(pinned)
            assert copies.waited_for == []
            found.append(len(pinned))
        return found, tally

    return take


EVERYTHING = "TRAIN.EMA_DECAY 0.9 SOLVER.CLIP_GRAD_VAL 1.0 SOLVER.CLIP_GRAD_L2NORM 1.0"


@pytest.mark.parametrize("name", NAMES)
def test_a_training_step_reads_nothing_and_copies_the_batch_alone(name, take_steps):
    erased, tally = take_steps(name, "AUG.RE_PROB 1.0" if name.endswith("aug") else "")
    assert erased == ([2, 2] if name.endswith("aug") else [0, 0])
    with pytest.raises(DataDependentOutputException):
        tally.read()  # this is where a GPU is waited for


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        *((name, f"{EVERYTHING} SOLVER.OPTIMIZING_METHOD adamw TRAIN.PRECISION bfloat16") for name in MODELS),
        ("Demo/I3D", f"{EVERYTHING} SOLVER.OPTIMIZING_METHOD sgd"),
        ("Demo/VTN", f"{EVERYTHING} TRAIN.PRECISION float16 SOLVER.FUSED True"),
        ("Demo/VTN", "TRAIN.ACCUMULATE_STEPS 2"),
        ("Demo/VTN", f"{EVERYTHING} SOLVER.FUSED True TRAIN.NONFINITE skip"),
    ],
)
def test_neither_does_one_with_other_keys(name, keys, take_steps):
    take_steps(name, keys)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("Demo/VTN", "AUG.RE_MODE pixel MIXUP.SWITCH_PROB 0.0"),  # mixup
        ("Demo/VTN", "AUG.RE_MODE rand MIXUP.SWITCH_PROB 1.0 VTN.FREEZE_BACKBONE True"),  # cutmix
        ("Demo/I3D", "AUG.RE_MODE const MIXUP.PROB 0.0"),  # labels are smoothed only
        pytest.param("Demo/SlowFast", "AUG.RE_MODE pixel MIXUP.SWITCH_PROB 1.0", marks=pytest.mark.slow),
    ],
)
def test_neither_does_one_with_mixing_and_erasing(name, keys, take_steps):
    both = "MIXUP.ENABLE True MODEL.LOSS_FUNC soft_cross_entropy AUG.ENABLE True AUG.RE_PROB 1.0"
    erased, _ = take_steps(name, f"{both} AUG.RE_COUNT 3 {keys}")
    assert min(erased) >= 2


@pytest.mark.parametrize(
    "keys",
    [
        *("VTN.MERGE_TOKENS 2", "VTN.FREEZE_BACKBONE True", "MODEL.ACT_CHECKPOINT True"),
        *("SOLVER.LAYER_DECAY 0.75", "VTN.DROP_PATH_RATE 0.1", "VTN.POSITION_EMBEDDING fixed"),
        *("VTN.ATTENTION uniform", pytest.param("VTN.SEQUENCE_ENCODER bert", marks=pytest.mark.slow)),
    ],
)
def test_neither_does_one_with_keys_of_the_model(keys, take_steps):
    take_steps("Demo/VTN", f"VTN.BACKBONE test_vit {keys}")


def test_float16_reads_whether_gradients_overflowed_unless_the_optimizer_is_fused(take_steps):
    with pytest.raises(DataDependentOutputException):
        take_steps("Demo/VTN", "TRAIN.PRECISION float16")


@pytest.mark.parametrize("name", MODELS)
def test_a_backward_pass_reads_nothing(name, steps, monkeypatch):
    """On the device "cpu", where the numbers of frames would be read: VTN counts them itself here."""
    monkeypatch.setattr(nonfinite, "can_look", lambda device: False)
    model, cfg = steps(name, f"{EVERYTHING} SOLVER.OPTIMIZING_METHOD sgd")
    with FakeTensorMode(allow_non_fake_inputs=True), Copies(readable=False) as copies:
        learner, tally = learner_on(torch.device("cpu"), model, cfg), Tally(all_processes=True)
        inputs, *others = load(cfg, train=True)
        train_step((inputs[:1], *others), learner, tally, cfg)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        assert all(parameter.grad.shape == parameter.shape for parameter in trained)
        assert copies.made == []


@pytest.fixture
def take_test_step(steps, request):
    """Test a batch of a configuration on the GPU."""

    def take(name: str, keys: str = "") -> None:
        model, cfg = steps(name, keys)
        copies = request.getfixturevalue("fake")
        loaded = load(cfg, train=False)
        with torch.no_grad():
            scores = logits_of(classify(loaded, moved(model, GPU).eval(), GPU, cfg))
        shape = 2, cfg.MODEL.NUM_CLASSES
        assert (scores.device, scores.dtype, tuple(scores.shape)) == (GPU, torch.float32, shape)
        assert copies.made == moved_with(loaded)
        assert copies.waited_for == []

    return take


@pytest.mark.parametrize("name", NAMES)
def test_a_test_step_reads_nothing_and_copies_the_batch_alone(name, take_test_step):
    take_test_step(name)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        *((name, f"TEST.PRECISION {word}") for name in MODELS for word in ("bfloat16", "float16")),
        *(("Demo/VTN", keys) for keys in ("VTN.FRAMES_PER_CHUNK 32", "VTN.SHUFFLE_FRAMES True")),
        ("Demo/VTN", "VTN.BACKBONE test_vit VTN.MERGE_TOKENS 2"),
    ],
)
def test_neither_does_a_test_with_other_keys(name, keys, take_test_step):
    take_test_step(name, keys)


def test_reused_frames_are_read(take_test_step):
    """As docs/configuration.md says: which frames are encoded is decided by their pixels."""
    with pytest.raises(DataDependentOutputException):
        take_test_step("Demo/VTN", "VTN.REUSE_FRAMES 0.01")


def test_what_waits_is_found(fake):
    """Each of the mistakes, made here on purpose."""
    on_device, on_cpu = torch.zeros(3, device=GPU), torch.zeros(3)
    with pytest.raises(DataDependentOutputException):
        bool((on_device < 0).any())
    with pytest.raises(RuntimeError, match="at least two devices"):
        on_device + on_cpu
    torch.tensor([1.0, 2.0], device=GPU)
    on_device.cpu()
    on_cpu.to(GPU, non_blocking=True)
    on_device[:2] = on_cpu[:2]
    assert fake.made == [("cpu", "cuda"), ("cuda", "cpu"), *[("cpu", "cuda")] * 2]
    assert fake.waited_for == [fake.made[0], fake.made[1], fake.made[3]]
