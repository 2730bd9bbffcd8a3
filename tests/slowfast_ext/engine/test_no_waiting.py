"""A training and a test step never wait for a GPU, and mix no devices.

No GPU is needed: the tensors here have a shape and the device "cuda", and no values. What asks for a value
fails, and so does what computes with tensors of two devices. A GPU also waits where something is copied to it
or from it, so copies are counted: only the batch may move. What says whether a step is finite is sent to the
host without waiting, which needs a GPU, and read one step later: here it is caught when it is sent.

PyTorch's backward pass asks a real GPU for its streams. So there it is replaced: each weight gets a gradient
of its shape. The whole step, with the real backward pass, is taken once more on the device "cpu", where
nothing may be read either.
"""

import dataclasses
from unittest import mock

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import DataDependentOutputException
from torch.utils._python_dispatch import TorchDispatchMode

from slowfast_ext.data.frames import Frames
from slowfast_ext.data.packing import pack_pathways
from slowfast_ext.engine import nonfinite
from slowfast_ext.engine import train as training
from slowfast_ext.engine.learner import make_learner
from slowfast_ext.engine.tally import Tally
from slowfast_ext.engine.test import test_step as classify
from slowfast_ext.engine.train import train_step
from slowfast_ext.models import make_model

GPU = torch.device("cuda", 0)
MODELS = ("VTN", "I3D", "SlowFast")
_READ = torch.ops.aten._local_scalar_dense.default
_COPIES = {torch.ops.aten._to_copy.default: 0, torch.ops.aten.copy_.default: 1}  # which argument is copied


class Copies(TorchDispatchMode):
    """Counts copies between devices.

    Args:
        readable: A number on the CPU, such as the steps of Adam, may be read: it is 1.
    """

    def __init__(self, *, readable: bool) -> None:
        super().__init__()
        self.made, self._readable = [], readable

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is _READ and self._readable and args[0].device.type == "cpu":
            return 1
        result = func(*args, **(kwargs or {}))
        if func in _COPIES:
            source = args[_COPIES[func]].device.type
            if source != result.device.type:
                self.made.append((source, result.device.type))
        return result


@pytest.fixture
def fake(monkeypatch):
    """PyTorch takes the tensors for those of a GPU that is there; yields what counts the copies."""
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    monkeypatch.setattr(nonfinite, "SentNumbers", Caught)
    with FakeTensorMode(allow_non_fake_inputs=True), Copies(readable=True) as copies:
        yield copies


class Caught:
    """In the place of what sends numbers from the device."""

    def __init__(self, numbers: torch.Tensor) -> None:
        assert numbers.device == GPU
        assert numbers.shape[0] >= 4  # of one part of a batch

    def read(self) -> list[float]:
        """The step was finite."""
        return [0.0, 0.0, 1.0, 1.0]


def moved(model: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """The model without values, on a device that need not be there."""
    for module in model.modules():
        for table, wrap in ((module._parameters, torch.nn.Parameter), (module._buffers, None)):
            for name, tensor in table.items():
                if tensor is not None:
                    empty = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
                    table[name] = wrap(empty, tensor.requires_grad) if wrap else empty
    return model


def load(cfg, videos: int = 2) -> tuple:
    """A batch on the CPU, as a loader gives it: each video shows its last frame twice."""
    frames, crop = cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE
    parts = tuple(torch.zeros(frames - 1, crop, crop, 3, dtype=torch.uint8) for _ in range(videos))
    index = torch.zeros(videos, frames, dtype=torch.long)
    inputs = [Frames(parts, index)]
    if cfg.MODEL.MODEL_NAME == "VTN":
        inputs.append(torch.zeros(videos, frames, dtype=torch.long))
    return inputs, torch.zeros(videos, dtype=torch.long), torch.arange(videos)


def moved_with(loaded: tuple) -> list[tuple[str, str]]:
    """The copies that bring a batch to a GPU: pixels, index, frame numbers, labels."""
    frames, *others = loaded[0]
    return [("cpu", "cuda")] * (len(frames.parts) + 1 + len(others) + 1)


@pytest.fixture
def steps(demo_cfg):
    """Build the small model of that name with a configuration: what trains it, and the configuration."""

    def build(name: str, *overrides: str):
        cfg = demo_cfg(name, "ENGINE", "own", *overrides)
        if cfg.MODEL.MODEL_NAME == "SlowFast":  # the frames of the slow pathway are counted once
            pack_pathways(cfg, torch.zeros(1, 3, cfg.DATA.NUM_FRAMES, 1, 1))
        return make_model(cfg), cfg

    return build


def learner_on(device: torch.device, model, cfg):
    # timm makes a generator on the model's device, for another precision than ours.
    with mock.patch.object(torch, "Generator"):
        learner = make_learner(moved(model, device).train(), cfg)
    return dataclasses.replace(learner, device=device)


@pytest.fixture
def without_backward(monkeypatch):
    """In the place of the backward pass, gradients for these models."""
    models = []

    def backward(loss: torch.Tensor) -> None:
        assert loss.requires_grad
        assert loss.device == GPU
        for parameter in (parameter for model in models for parameter in model.parameters()):
            if parameter.requires_grad:
                parameter.grad = torch.empty_like(parameter)

    monkeypatch.setattr(torch.Tensor, "backward", backward)
    return models


EVERYTHING = "TRAIN.EMA_DECAY 0.9 SOLVER.CLIP_GRAD_VAL 1 SOLVER.CLIP_GRAD_L2NORM 1"


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "keys",
    [
        "SOLVER.OPTIMIZING_METHOD sgd",
        "SOLVER.OPTIMIZING_METHOD adamw TRAIN.PRECISION bfloat16",
        "SOLVER.OPTIMIZING_METHOD adamw SOLVER.FUSED True TRAIN.NONFINITE skip",
    ],
)
def test_a_training_step_reads_nothing_and_copies_the_batch_alone(
    name, keys, steps, without_backward, request
):
    model, cfg = steps(name, *EVERYTHING.split(), *keys.split())
    copies = request.getfixturevalue("fake")
    learner, loaded, tally = learner_on(GPU, model, cfg), load(cfg), Tally(all_processes=True)
    without_backward.append(model)
    for _ in range(2):  # the second one has momenta
        copies.made.clear()
        train_step(loaded, learner, tally, cfg)
        assert sorted(copies.made) == moved_with(loaded)
    with pytest.raises(DataDependentOutputException):
        tally.read()  # this is where a GPU is waited for


@pytest.mark.parametrize("name", MODELS)
def test_a_backward_pass_reads_nothing(name, steps, monkeypatch):
    """On the device "cpu", where the numbers of frames would be read: VTN counts them itself here."""
    monkeypatch.setattr(nonfinite, "can_look", lambda device: False)
    model, cfg = steps(name, *EVERYTHING.split(), *"SOLVER.OPTIMIZING_METHOD sgd".split())
    with FakeTensorMode(allow_non_fake_inputs=True), Copies(readable=False) as copies:
        learner, tally = learner_on(torch.device("cpu"), model, cfg), Tally(all_processes=True)
        inputs, *others = load(cfg)
        train_step((inputs[:1], *others), learner, tally, cfg)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        assert all(parameter.grad.shape == parameter.shape for parameter in trained)
        assert copies.made == []


def test_a_step_in_parts_reads_nothing(steps, monkeypatch, without_backward, request):
    model, cfg = steps("VTN", "TRAIN.ACCUMULATE_STEPS", "2")
    copies = request.getfixturevalue("fake")
    # Cutting looks at the index of the frames, which is on the CPU; without values it cannot.
    monkeypatch.setattr(training, "split_batch", lambda loaded, count: [loaded] * count)
    learner, loaded = learner_on(GPU, model, cfg), load(cfg)
    without_backward.append(model)
    train_step(loaded, learner, Tally(all_processes=True), cfg)
    assert sorted(copies.made) == 2 * moved_with(loaded)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("word", ["float32", "bfloat16"])
def test_a_test_step_reads_nothing_and_copies_the_batch_alone(name, word, steps, request):
    model, cfg = steps(name, "TEST.PRECISION", word)
    copies = request.getfixturevalue("fake")
    loaded = load(cfg)
    with torch.no_grad():
        scores = classify(loaded, moved(model, GPU).eval(), GPU, cfg)
    assert (scores.device, scores.dtype, tuple(scores.shape)) == (GPU, torch.float32, (2, 8))
    assert sorted(copies.made) == moved_with(loaded)


def test_what_waits_is_found(fake):
    """Each of the three mistakes, made here on purpose."""
    on_device, on_cpu = torch.zeros(3, device=GPU), torch.zeros(3)
    with pytest.raises(DataDependentOutputException):
        bool((on_device < 0).any())
    with pytest.raises(RuntimeError, match="at least two devices"):
        on_device + on_cpu
    torch.tensor([1.0, 2.0], device=GPU)
    on_device.cpu()
    assert fake.made == [("cpu", "cuda"), ("cuda", "cpu")]
