"""What only a GPU can show: `make test-gpu`. Elsewhere these tests are skipped, and said to be."""

import dataclasses
import json
import math

import pytest
import torch
from tiny_runs import NO_DROPOUT, stats

from slowfast_ext.data.build import construct_loader
from slowfast_ext.data.frames import Frames
from slowfast_ext.engine.compilation import compile_parts
from slowfast_ext.engine.learner import make_learner
from slowfast_ext.engine.tally import Tally
from slowfast_ext.engine.test import test_step as classify
from slowfast_ext.engine.train import train_step
from slowfast_ext.models import make_model

pytestmark = pytest.mark.needs_cuda
MODELS = ("VTN", "I3D", "SlowFast")
ONE_GPU = ("NUM_GPUS", "1", "ENGINE", "own")


@pytest.fixture(autouse=True)
def _exact_float32():
    """Convolutions in float32, not in the shorter TF32, which PyTorch takes for those alone."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def batch_of(cfg, videos: int = 2) -> tuple:
    """Random frames on the CPU, as a loader gives them; the second half of each clip shows one frame."""
    frames, crop = cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE
    distinct = frames // 2
    pixels = torch.randint(0, 256, (videos * distinct, crop, crop, 3), dtype=torch.uint8)
    shown = torch.arange(frames).clamp(max=distinct - 1)
    index = torch.stack([shown + video * distinct for video in range(videos)])
    inputs = [Frames((pixels,), index)]
    if cfg.MODEL.MODEL_NAME == "VTN":
        inputs.append(shown.expand(videos, -1))
    return inputs, torch.arange(videos), torch.arange(videos)


def twins(cfg_cpu, cfg_gpu) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Two models with the same weights, on the CPU and on the GPU."""
    here, there = make_model(cfg_cpu), make_model(cfg_gpu)
    there.load_state_dict(here.state_dict())
    return here, there


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_those_of_the_cpu(name, demo_cfg):
    cfg, cfg_gpu = demo_cfg(name), demo_cfg(name, *ONE_GPU)
    here, there = (model.eval() for model in twins(cfg, cfg_gpu))
    loaded = batch_of(cfg)
    with torch.no_grad():
        expected = classify(loaded, here, torch.device("cpu"), cfg)
        found = classify(loaded, there, torch.device("cuda", 0), cfg_gpu).cpu()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_weights_after_two_steps_are_those_of_the_cpu(name, demo_cfg):
    keys = ("SOLVER.OPTIMIZING_METHOD", "sgd", "SOLVER.BASE_LR", "0.01", "ENGINE", "own", *NO_DROPOUT)
    cfg, cfg_gpu = demo_cfg(name, *keys), demo_cfg(name, *keys, *ONE_GPU)
    here, there = twins(cfg, cfg_gpu)
    for model, one_cfg in ((here, cfg), (there, cfg_gpu)):
        learner, tally = make_learner(model.train(), one_cfg), Tally(all_processes=True)
        torch.manual_seed(0)
        for _ in range(2):
            train_step(batch_of(cfg), learner, tally, one_cfg)
        assert len(tally.read()) == 2
    for key, expected in here.state_dict().items():
        torch.testing.assert_close(there.state_dict()[key].cpu(), expected, rtol=2e-3, atol=2e-4, msg=key)


@pytest.mark.parametrize("word", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", MODELS)
def test_lower_precision_is_near(name, word, demo_cfg):
    cfg = demo_cfg(name, *ONE_GPU)
    model, loaded = make_model(cfg).eval(), batch_of(cfg)
    with torch.no_grad():
        expected = classify(loaded, model, torch.device("cuda", 0), cfg)
        found = classify(
            loaded, model, torch.device("cuda", 0), demo_cfg(name, *ONE_GPU, "TEST.PRECISION", word)
        )
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("word", ["bfloat16", "float16"])
def test_training_in_lower_precision_learns_a_batch(word, demo_cfg):
    cfg = demo_cfg("VTN", *ONE_GPU, *NO_DROPOUT, "TRAIN.PRECISION", word)
    learner, tally, loaded = (
        make_learner(make_model(cfg).train(), cfg),
        Tally(all_processes=True),
        batch_of(cfg),
    )
    for _ in range(30):
        train_step(loaded, learner, tally, cfg)
    losses = [step.loss for step in tally.read()]
    assert losses[-1] < losses[0] / 2


def test_compiled_parts_give_the_same(demo_cfg):
    cfg = demo_cfg("VTN", *ONE_GPU, "VTN.COMPILE", "True")
    model, loaded = make_model(cfg).eval(), batch_of(cfg)
    with torch.no_grad():
        expected = classify(loaded, model, torch.device("cuda", 0), cfg)
        compile_parts(model, cfg)
        found = classify(loaded, model, torch.device("cuda", 0), cfg)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("word", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", MODELS)
def test_a_training_step_never_waits(name, word, demo_cfg):
    """PyTorch itself raises at whatever makes the processor wait for the GPU."""
    keys = ("TRAIN.EMA_DECAY", "0.9", "SOLVER.CLIP_GRAD_L2NORM", "1", "TRAIN.PRECISION", word)
    cfg = demo_cfg(name, *ONE_GPU, *keys)
    learner, tally = make_learner(make_model(cfg).train(), cfg), Tally(all_processes=True)
    inputs, labels, items = batch_of(cfg)
    loaded = [x.pin_memory() for x in inputs], labels.pin_memory(), items
    train_step(loaded, learner, tally, cfg)  # libraries choose their kernels, and may wait for that
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(2):
            train_step(loaded, learner, tally, cfg)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(tally.read()) == 3


@pytest.mark.parametrize("keys", ["sgd", "adamw", "adamw SOLVER.FUSED True"])
@pytest.mark.parametrize("name", MODELS)
def test_a_step_that_is_not_finite_changes_nothing(name, keys, demo_cfg):
    """A first step is taken, the second is not finite, the third is taken: as if there were two."""
    keys = f"SOLVER.OPTIMIZING_METHOD {keys} TRAIN.EMA_DECAY 0.9 TRAIN.NONFINITE skip".split()
    cfg = demo_cfg(name, *ONE_GPU, *NO_DROPOUT, *keys)
    loaded, found = batch_of(cfg), []
    for broken in (False, True):
        torch.manual_seed(0)
        learner, tally = make_learner(make_model(cfg).train(), cfg), Tally(all_processes=True)
        train_step(loaded, learner, tally, cfg, iteration=0)
        if broken:
            bad = dataclasses.replace(learner, loss_function=lambda logits, labels: logits.sum() * math.inf)
            train_step(loaded, bad, tally, cfg, iteration=1)
        train_step(loaded, learner, tally, cfg, iteration=2)
        learner.guard.settle()
        found.append([*learner.model.state_dict().values(), *learner.average.state_dict().values()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)  # GPUs add up in any order
        assert other.isfinite().all()


def test_batches_come_in_pinned_memory(tiny_cfg):
    cfg = tiny_cfg(*ONE_GPU, "DATA_LOADER.PIN_MEMORY", "True", "DATA_LOADER.NUM_WORKERS", "1")
    for inputs, labels, *_ in construct_loader(cfg, "val"):
        frames, frame_indices = inputs
        assert all(part.is_pinned() for part in frames.parts)
        assert frame_indices.is_pinned()
        assert labels.is_pinned()


@pytest.mark.parametrize("engine", ["host", "own"])
def test_all_gpus_train_and_the_cpu_tests_the_same(engine, run_net, tmp_path):
    """Every GPU of the machine takes part, over NCCL where there are several."""
    gpus = torch.cuda.device_count()
    trained = run_net(
        *(
            tmp_path / "out",
            "NUM_GPUS",
            str(gpus),
            "TRAIN.BATCH_SIZE",
            str(gpus),
            "TEST.BATCH_SIZE",
            str(gpus),
        ),
        *("ENGINE", engine, "TEST.SAVE_RESULTS_PATH", "scores.npz"),
    )
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert "Device: GPU" in trained.stdout
    assert stats(trained.stdout, _type="train_epoch")
    (checkpoint,) = (tmp_path / "out" / "checkpoints").glob("*00002.pyth")
    tested = run_net(tmp_path / "cpu", "TRAIN.ENABLE", "False", "TEST.CHECKPOINT_FILE_PATH", str(checkpoint))
    assert tested.returncode == 0, tested.stdout + tested.stderr
    there, here = (json.loads((tmp_path / name / "test_results.json").read_text()) for name in ("out", "cpu"))
    assert here["top1_acc"] == there["top1_acc"]
    assert there["peak_gpu_memory_mib"] > 0
