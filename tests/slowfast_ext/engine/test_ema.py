"""The average of the weights: by hand, in the checkpoint, in validation and test, after an interruption."""

import json
import re
from pathlib import Path

import pytest
import torch
from toys import ToyLinear, logged, table

import vtn
from slowfast_ext.engine import start
from slowfast_ext.host import checkpoint, get_host
from slowfast_ext.models import make_model
from slowfast_ext.plugin.loops import test as run_test
from slowfast_ext.plugin.loops import train
from vtn import InputError

DECAY = ("TRAIN.EMA_DECAY", "0.7")


def state(cfg, epoch: int = 2) -> dict:
    return torch.load(checkpoint.checkpoint_path(cfg.OUTPUT_DIR, epoch), weights_only=True)


def error_of(weights: dict[str, torch.Tensor], split: str) -> float:
    """Top-1 error (%) of a toy."""
    rows, labels = table(split)
    logits = rows @ weights["linear.weight"].T + weights["linear.bias"]
    return 100 * (logits.argmax(1) != labels).float().mean().item()


@pytest.fixture
def weights_seen(monkeypatch):
    """The weight of a toy before each training step."""
    seen = []

    def features(self, x):
        if self.training:
            seen.append(self.linear.weight.detach().clone())
        return x

    monkeypatch.setattr(ToyLinear, "features", features)
    return seen


def test_the_average_is_that_of_the_weights_after_each_step(toy_cfg, weights_seen):
    cfg = toy_cfg(*DECAY, "TRAIN.ACCUMULATE_STEPS", "1")
    train(cfg)
    saved = state(cfg)
    before, *after = [*weights_seen, saved["model_state"]["linear.weight"]]
    assert len(after) == 4
    average = before
    for weight in after:
        average = 0.7 * average + 0.3 * weight
    torch.testing.assert_close(saved["ema_state"]["linear.weight"], average, atol=1e-6, rtol=1e-6)
    assert (average - after[-1]).abs().max() > 0.01


def test_validation_and_test_see_the_average(toy_cfg):
    """The rate is so high that weights and average answer differently."""
    cfg = toy_cfg("TRAIN.EMA_DECAY", "0.95", "SOLVER.BASE_LR", "3")
    train(cfg)
    run_test(cfg)
    saved, differ = state(cfg), []
    for split, found in (
        ("val", logged(cfg, "val_epoch")[-1]["top1_err"]),
        ("test", 100 - float(logged_test(cfg)["top1_acc"])),
    ):
        assert found == pytest.approx(error_of(saved["ema_state"], split), abs=0.01)
        differ.append(error_of(saved["model_state"], split) != error_of(saved["ema_state"], split))
    assert any(differ)
    log = Path(cfg.OUTPUT_DIR, "stdout.log").read_text()
    assert re.search(r"00002\.pyth: its averaged weights are taken", log)


def logged_test(cfg) -> dict:
    return json.loads(Path(cfg.OUTPUT_DIR, "test_results.json").read_text())


def test_an_interrupted_run_has_the_same_average(toy_cfg, tmp_path):
    whole, cut = str(tmp_path / "whole"), str(tmp_path / "cut")
    train(toy_cfg(*DECAY, "OUTPUT_DIR", whole, "SOLVER.MAX_EPOCH", "3"))
    for epochs in ("1", "3"):
        train(toy_cfg(*DECAY, "OUTPUT_DIR", cut, "SOLVER.MAX_EPOCH", epochs))
    one, other = (state(toy_cfg("OUTPUT_DIR", folder), 3) for folder in (whole, cut))
    for entry in ("model_state", "ema_state"):
        assert all(torch.equal(other[entry][name], tensor) for name, tensor in one[entry].items())
    assert not torch.equal(one["model_state"]["linear.weight"], one["ema_state"]["linear.weight"])


def test_an_interrupted_vtn_has_the_same_average(tiny_cfg, tmp_path):
    """With all that a step can do at once: parts, an average, rates by layer, dropout, AdamW."""
    keys = "ENGINE own TRAIN.ACCUMULATE_STEPS 2 SOLVER.LAYER_DECAY 0.8 SOLVER.OPTIMIZING_METHOD adamw".split()
    keys += [*"SOLVER.BASE_LR 0.001 SOLVER.FUSED True MODEL.ACT_CHECKPOINT True".split(), *DECAY]
    whole, cut = str(tmp_path / "whole"), str(tmp_path / "cut")
    train(tiny_cfg(*keys, "OUTPUT_DIR", whole))
    for epochs in ("1", "2"):
        train(tiny_cfg(*keys, "OUTPUT_DIR", cut, "SOLVER.MAX_EPOCH", epochs))
    one, other = (state(tiny_cfg("OUTPUT_DIR", folder)) for folder in (whole, cut))
    for entry in ("model_state", "ema_state"):
        for name, tensor in one[entry].items():
            assert torch.equal(other[entry][name], tensor), (entry, name)


def test_an_average_that_begins_later_begins_with_the_weights(toy_cfg):
    train(toy_cfg("SOLVER.MAX_EPOCH", "1"))
    start_weights = state(toy_cfg(), 1)["model_state"]["linear.weight"]
    cfg = toy_cfg(*DECAY, "SOLVER.BASE_LR", "0")
    train(cfg)
    torch.testing.assert_close(state(cfg)["ema_state"]["linear.weight"], start_weights)


def test_who_takes_weights_only_takes_the_average(tiny_cfg, tmp_path):
    cfg = tiny_cfg("ENGINE", "own", *DECAY, "SOLVER.MAX_EPOCH", "1")
    train(cfg)
    path, saved = checkpoint.checkpoint_path(cfg.OUTPUT_DIR, 1), state(cfg, 1)
    name = "mlp_head.4.weight"
    assert not torch.equal(saved["ema_state"][name], saved["model_state"][name])
    model = vtn.create_model(checkpoint=path)
    assert torch.equal(model.state_dict()[name], saved["ema_state"][name])
    for reset, entry in (("True", "ema_state"), ("False", "model_state")):
        take = "TRAIN.CHECKPOINT_FILE_PATH", path, "TRAIN.CHECKPOINT_EPOCH_RESET", reset
        new = tiny_cfg(*take, "OUTPUT_DIR", str(tmp_path / "new"))
        source, model = start.find_training_source(new), make_model(new)
        source.load(model, get_host().construct_optimizer(model, new))
        assert torch.equal(model.state_dict()[name], saved[entry][name])


def test_precise_statistics_are_also_those_of_the_average(toy_cfg):
    norm = "MODEL.MODEL_NAME ToyNorm SOLVER.MAX_EPOCH 1 BN.USE_PRECISE_STATS True".split()
    cfg = toy_cfg(*norm, *DECAY)
    train(cfg)
    rows, _ = table("train")
    torch.testing.assert_close(state(cfg, 1)["ema_state"]["norm.running_mean"], rows.mean(0))


def test_there_is_no_average_where_nothing_is_trained(toy_cfg, monkeypatch):
    monkeypatch.setattr(ToyLinear, "parameters", lambda self, recurse=True: iter(()))
    with pytest.raises(InputError, match=r"TRAIN\.EMA_DECAY is 0\.7, but nothing of this model is trained"):
        train(toy_cfg(*DECAY))
