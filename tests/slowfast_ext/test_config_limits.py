"""ENGINE chooses the loops; a key that nothing in a run honours stops it before it starts."""

import importlib.util
import re
from pathlib import Path

import pytest

from slowfast_ext.config_limits import uses_own_loops
from slowfast_ext.host import get_host
from slowfast_ext.plugin import loops
from vtn import InputError

LOOPS = get_host().has_loops()
on_main = pytest.mark.skipif(not LOOPS, reason="this PySlowFast has no loops of its own")


def test_engine_chooses_the_loops(tiny_cfg):
    assert tiny_cfg().ENGINE == "host"
    assert uses_own_loops(tiny_cfg()) == (not LOOPS)
    assert uses_own_loops(tiny_cfg("ENGINE", "own"))
    with pytest.raises(InputError, match="ENGINE is 'mine': it must be host or own"):
        tiny_cfg("ENGINE", "mine")


@pytest.mark.parametrize(("key", "package"), [("ENABLE", "tensorboard"), ("WANDB", "wandb")])
def test_curves_need_their_package(key, package, tiny_cfg, monkeypatch):
    keys = "TENSORBOARD.ENABLE", "True", f"TENSORBOARD.{key}", "True", "ENGINE", "own"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else 1)
    with pytest.raises(InputError, match=rf"TENSORBOARD\.{key} is True, but .* `pip install {package}`"):
        tiny_cfg(*keys)


def test_weights_and_biases_gets_what_tensorboard_is_given(tiny_cfg, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: 1)
    with pytest.raises(InputError, match=r"TENSORBOARD\.WANDB is True, .*: add TENSORBOARD.ENABLE True"):
        tiny_cfg("TENSORBOARD.WANDB", "True", "ENGINE", "own")


@on_main
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("TRAIN.MIXED_PRECISION", "True"),
        ("TEST.NUM_TEMPORAL_CLIPS", "[1,2]"),
        ("DATA.ENSEMBLE_METHOD", "max"),
    ],
)
def test_keys_of_mains_loops(tiny_cfg, key, value):
    assert tiny_cfg(key, value).ENGINE == "host"
    with pytest.raises(InputError, match=rf"{re.escape(key)} is .*: with ENGINE own \(ENGINE host, "):
        tiny_cfg(key, value, "ENGINE", "own")


@pytest.mark.parametrize("key", [("AUG.ENABLE", "True"), ("AUG.NUM_SAMPLE", "2")])
def test_other_data_sets_are_not_augmented(tiny_cfg, key):
    """The wheel's own know none of it; main's augment, but their samples need main's own loader."""
    i3d = "MODEL.MODEL_NAME ResNet MODEL.ARCH i3d TRAIN.DATASET kinetics TEST.ENABLE False".split()
    i3d += ["TRAIN.EVAL_FULL_VIDEO", "False", "ENGINE", "own"]
    if key[0] == "AUG.ENABLE" and get_host().NAME == "git":
        assert tiny_cfg(*i3d, *key).AUG.ENABLE
        return
    sentence = (
        rf"{re.escape(key[0])} is .*: with TRAIN\.DATASET kinetics in our loops \(vtnkinetics and vtnmit"
    )
    with pytest.raises(InputError, match=sentence):
        tiny_cfg(*i3d, *key)


def test_mixup_of_two_pathways(tiny_cfg):
    """Our loops mix the clip before it has pathways, if it comes from our data sets; main's cannot."""
    slowfast = "MODEL.MODEL_NAME SlowFast MODEL.ARCH slowfast DATA.INPUT_CHANNEL_NUM [3,3]".split()
    slowfast += "MIXUP.ENABLE True MODEL.LOSS_FUNC soft_cross_entropy TEST.ENABLE False".split()
    assert tiny_cfg(*slowfast, "ENGINE", "own").MIXUP.ENABLE
    sentence = "only the first pathway would be mixed, and MODEL.ARCH slowfast has two; ENGINE own with"
    other = ["ENGINE", "own", "TRAIN.DATASET", "kinetics", "TRAIN.EVAL_FULL_VIDEO", "False"]
    for more in ([], other) if LOOPS else (other,):
        with pytest.raises(InputError, match=sentence):
            tiny_cfg(*slowfast, *more)


@on_main
def test_our_loops_run_on_main(tiny_cfg, tmp_path, monkeypatch):
    """Trained and tested without main's own loops, which are not even loaded."""
    from slowfast_ext.plugin import git_loops

    monkeypatch.setattr(git_loops, "_tool", lambda name: pytest.fail(f"main's {name} was asked for"))
    cfg = tiny_cfg("ENGINE", "own", "SOLVER.MAX_EPOCH", "1")
    loops.train(cfg)
    loops.test(cfg)
    out = Path(cfg.OUTPUT_DIR)
    assert (out / "checkpoints" / "checkpoint_epoch_00001.pyth").is_file()
    assert (out / "test_results.json").is_file()
    assert "ENGINE: own" in (out / "config.yaml").read_text()
