"""Layers in bfloat16, weights and scores in float32; float16's scaler, which works on a CPU too."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import NO_DROPOUT
from toys import ToyLinear, initial_weights, logged

from slowfast_ext import config_steps
from slowfast_ext.data.build import construct_loader
from slowfast_ext.engine import learner, precision
from slowfast_ext.engine.tally import Tally
from slowfast_ext.engine.test import perform_test
from slowfast_ext.engine.test import test_step as classify
from slowfast_ext.engine.train import train_step
from slowfast_ext.host import checkpoint
from slowfast_ext.models import make_model
from slowfast_ext.plugin.loops import test as run_test
from slowfast_ext.plugin.loops import train

I3D = (
    "MODEL.MODEL_NAME ResNet MODEL.ARCH i3d RESNET.WIDTH_PER_GROUP 8 TRAIN.EVAL_FULL_VIDEO False "
    "BN.USE_PRECISE_STATS False"
).split()


@pytest.fixture(autouse=True)
def _has_bfloat16(monkeypatch):
    """Processors without it compute in it too, slowly."""
    monkeypatch.setattr(config_steps, "cpu_has_bfloat16", lambda: True)


def state(cfg, epoch: int = 1) -> dict:
    return torch.load(checkpoint.checkpoint_path(cfg.OUTPUT_DIR, epoch), weights_only=True)


def tensors(tree) -> list[torch.Tensor]:
    """All tensors of floats in a tree of dicts and lists."""
    if isinstance(tree, torch.Tensor):
        return [tree] if tree.is_floating_point() else []
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (list, tuple)) else ()
    return [tensor for part in parts for tensor in tensors(part)]


def test_training_in_bfloat16_is_near_that_in_float32(tiny_cfg, tmp_path):
    runs = {}
    for word in ("float32", "bfloat16"):
        out = "OUTPUT_DIR", str(tmp_path / word)
        small = "SOLVER.MAX_EPOCH", "1", "SOLVER.BASE_LR", "0.01"
        cfg = tiny_cfg("ENGINE", "own", *NO_DROPOUT, *small, *out, "TRAIN.PRECISION", word)
        train(cfg)
        runs[word] = [line["loss"] for line in logged(cfg, "train_iter")], state(cfg)
    (exact, _), (near, saved) = runs.values()
    assert near != exact  # it made a difference
    assert near == pytest.approx(exact, rel=0.03)
    kept = tensors(saved["model_state"]) + tensors(saved["optimizer_state"])
    assert {tensor.dtype for tensor in kept} == {torch.float32}


@pytest.mark.parametrize("kind", [(), I3D], ids=["VTN", "I3D"])
def test_scores_in_bfloat16_are_near_those_in_float32_and_add_up_to_one(kind, tiny_cfg):
    scores = {}
    for word in ("float32", "bfloat16"):
        cfg = tiny_cfg("ENGINE", "own", *kind, "TEST.PRECISION", word, "TEST.SAVE_RESULTS_PATH", "scores.npz")
        torch.manual_seed(1)
        perform_test(construct_loader(cfg, "test"), make_model(cfg), cfg)
        scores[word] = np.load(Path(cfg.OUTPUT_DIR, "scores.npz"))["scores"]
    difference = np.abs(scores["bfloat16"] - scores["float32"]).max()
    assert 0 < difference < 0.02
    np.testing.assert_allclose(scores["bfloat16"].sum(1), 1.0, atol=1e-6)  # bfloat16 has steps of 4e-3


@pytest.mark.parametrize(("trained", "tested"), [("bfloat16", "float32"), ("float32", "bfloat16")])
def test_validation_computes_as_training_does_and_a_test_as_it_is_told(trained, tested, toy_cfg, monkeypatch):
    seen = []

    def features(self, x):
        low = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
        seen.append("bfloat16" if low else "float32")
        return x

    monkeypatch.setattr(ToyLinear, "features", features)
    cfg = toy_cfg("TRAIN.PRECISION", trained, "TEST.PRECISION", tested, "SOLVER.MAX_EPOCH", "1")
    train(cfg)
    assert seen == [trained] * len(ToyLinear.seen)
    assert {training for training, _ in ToyLinear.seen} == {True, False}
    seen.clear()
    run_test(cfg)
    assert set(seen) == {tested}


def test_scores_are_float32_whatever_a_model_gives(toy_cfg, monkeypatch):
    monkeypatch.setattr(ToyLinear, "forward", lambda self, inputs: torch.full((4, 7), 1.0).bfloat16())
    model = ToyLinear(None)
    scores = classify(([torch.zeros(4, 4)], torch.zeros(4), None), model, torch.device("cpu"), toy_cfg())
    assert scores.dtype == torch.float32


@pytest.fixture
def scaled(monkeypatch):
    """Train with a scaler on the CPU, of these options."""

    def use(**options) -> None:
        make = partial(torch.amp.GradScaler, "cpu", **options)
        monkeypatch.setattr(learner, "make_scaler", lambda word, device: make())

    return use


def test_float16_alone_has_a_scaler():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert not any(precision.make_scaler(word, cpu).is_enabled() for word in ("float32", "bfloat16"))
    assert precision.make_scaler("float16", gpu).is_enabled() == torch.cuda.is_available()


def test_scaling_changes_neither_clipping_nor_weights(toy_cfg, scaled, tmp_path):
    found = {}
    for name in ("plain", "scaled"):
        if name == "scaled":
            scaled(init_scale=2.0**10)
        cfg = toy_cfg("SOLVER.CLIP_GRAD_L2NORM", "0.05", "OUTPUT_DIR", str(tmp_path / name))
        train(cfg)
        found[name] = state(cfg, 2)
    assert "scaler_state" not in found["plain"]
    assert found["scaled"]["scaler_state"]["scale"] == 2.0**10
    for name, tensor in found["plain"]["model_state"].items():
        torch.testing.assert_close(found["scaled"]["model_state"][name], tensor, msg=name)


def test_a_step_whose_gradients_overflow_is_left_out(toy_cfg, scaled, monkeypatch):
    """A loss above 2 that is scaled by 2^127 is more than float32 can hold."""
    scaled(init_scale=2.0**127)
    cfg = toy_cfg("SOLVER.MAX_EPOCH", "1", "TRAIN.BATCH_SIZE", "8")
    monkeypatch.setattr(ToyLinear, "features", lambda self, x: 50 * x)
    train(cfg)
    (line,) = logged(cfg, "train_iter")
    assert line["loss"] > 2
    saved = state(cfg)
    assert saved["scaler_state"]["scale"] == 2.0**126
    for name, tensor in initial_weights().items():
        assert torch.equal(saved["model_state"][name], tensor), name


def test_the_scaler_goes_on_where_it_was(toy_cfg, scaled, tmp_path):
    """Two steps an epoch: after the third one the scale doubles, and one more is counted."""
    scaled(init_scale=2.0**10, growth_interval=3)
    whole, cut = str(tmp_path / "whole"), str(tmp_path / "cut")
    train(toy_cfg("OUTPUT_DIR", whole))
    for epochs in ("1", "2"):
        train(toy_cfg("SOLVER.MAX_EPOCH", epochs, "OUTPUT_DIR", cut))
    one, other = (state(toy_cfg("OUTPUT_DIR", folder), 2) for folder in (whole, cut))
    assert one["scaler_state"] == other["scaler_state"]
    assert (one["scaler_state"]["scale"], one["scaler_state"]["_growth_tracker"]) == (2.0**11, 1)
    assert all(torch.equal(other["model_state"][name], x) for name, x in one["model_state"].items())


def test_attention_stays_in_float32_on_a_cpu_without_amx(tiny_cfg, monkeypatch):
    """Also in layers that gradient checkpointing computes again, whose dtypes PyTorch compares."""
    monkeypatch.setattr(precision, "cpu_multiplies_tiles", lambda: False)
    q = torch.randn(2, 3, 5, 8).bfloat16()
    mask = torch.randn(5, 5).bfloat16()
    with precision.computing_in("bfloat16", torch.device("cpu")):
        found = torch.nn.functional.scaled_dot_product_attention(q, q, value=q, attn_mask=mask)
    expected = (q.float() @ q.float().transpose(-1, -2) / 8**0.5 + mask).softmax(-1) @ q.float()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)
    train(tiny_cfg("ENGINE", "own", "TRAIN.PRECISION", "bfloat16", "MODEL.ACT_CHECKPOINT", "True"))


@pytest.mark.parametrize(("method", "rate"), [("sgd", "0.05"), ("adamw", "0.003")])
def test_float16_and_its_scaler_learn_a_batch_as_float32_does(method, rate, tiny_cfg):
    """On the CPU, where no run may ask for it: the code that a GPU runs, with the scaler of its precision."""
    cpu, runs = torch.device("cpu"), {}
    clips = torch.randn(4, 3, 1, 1, 1).expand(-1, -1, 4, 32, 32).contiguous()  # of one colour each
    for word in ("float32", "float16"):
        keys = ("SOLVER.OPTIMIZING_METHOD", method, "SOLVER.BASE_LR", rate, "SOLVER.CLIP_GRAD_L2NORM", "1")
        cfg = tiny_cfg("ENGINE", "own", *NO_DROPOUT, *keys).clone()
        cfg.defrost()
        cfg.TRAIN.PRECISION = word
        torch.manual_seed(1)
        trained, tally = learner.make_learner(make_model(cfg).train(), cfg), Tally(all_processes=True)
        assert trained.scaler.is_enabled() == (word == "float16")
        loaded = [clips], torch.arange(4), torch.arange(4)
        for _ in range(20):
            train_step(loaded, trained, tally, cfg)
        runs[word] = [step.loss for step in tally.read()]
        assert {p.dtype for p in trained.model.parameters()} == {torch.float32}
        with torch.no_grad(), precision.computing_in(word, cpu):
            assert trained.model.backbone.patch_embed.proj(clips[:, :, 0]).dtype == getattr(torch, word)
    assert runs["float16"] != runs["float32"]
    # Later a step may be left out, whose gradients overflow.
    assert runs["float16"][:8] == pytest.approx(runs["float32"][:8], abs=0.05)
    assert runs["float16"][-1] < runs["float16"][0] / 2
