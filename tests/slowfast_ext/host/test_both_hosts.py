"""The wheel and main from git beside each other: same losses, same scores, checkpoints of each on the other.

Runs where SLOWFAST_HOME names a checkout; the wheel is asked in processes without it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import NO_DROPOUT, ROOT

from slowfast_ext.host import get_host

pytestmark = pytest.mark.skipif(get_host().NAME != "git", reason="SLOWFAST_HOME names no checkout of main")

SCRIPT = Path(__file__).with_name("on_a_host.py")
I3D = ("MODEL.MODEL_NAME ResNet MODEL.ARCH i3d RESNET.WIDTH_PER_GROUP 8 MODEL.DROPOUT_RATE 0").split()
SLOWFAST = [
    *"MODEL.MODEL_NAME SlowFast MODEL.ARCH slowfast RESNET.WIDTH_PER_GROUP 8 MODEL.DROPOUT_RATE 0".split(),
    *"DATA.NUM_FRAMES 8 SLOWFAST.ALPHA 4 SLOWFAST.FUSION_KERNEL_SZ 7 DATA.INPUT_CHANNEL_NUM [3,3]".split(),
    *("RESNET.NUM_BLOCK_TEMP_KERNEL", "[[3,3],[4,4],[6,6],[3,3]]"),
    *("RESNET.SPATIAL_STRIDES", "[[1,1],[2,2],[2,2],[2,2]]"),
    *("RESNET.SPATIAL_DILATIONS", "[[1,1],[1,1],[1,1],[1,1]]"),
    *("NONLOCAL.LOCATION", "[[[],[]],[[],[]],[[],[]],[[],[]]]"),
    *("NONLOCAL.GROUP", "[[1,1],[1,1],[1,1],[1,1]]"),
]
# Without dropout: its random numbers begin anew in each step of our loops, and not in main's.
MODELS = {"VTN": NO_DROPOUT, "I3D": I3D, "SlowFast": SLOWFAST}


@pytest.fixture
def on(tiny_config, data_dir):
    """Run steps on one PySlowFast; returns the losses of each."""

    def run(name: str, *steps: tuple[str, Path, list[str]]) -> list[list[float]]:
        plan = [
            {
                "do": what,
                "config": str(tiny_config),
                "overrides": ["DATA.PATH_TO_DATA_DIR", str(data_dir), "OUTPUT_DIR", str(out), *overrides],
            }
            for what, out, overrides in steps
        ]
        env = dict(os.environ)
        if name == "wheel":
            env["SLOWFAST_HOME"] = ""
        result = subprocess.run(
            [sys.executable, str(SCRIPT), json.dumps(plan)],
            env=env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-3000:]
        found = json.loads(result.stdout.splitlines()[-1])
        assert found["host"] == name
        return found["losses"]

    return run


@pytest.mark.parametrize("model", MODELS)
def test_same_losses(model, on, tmp_path):
    """Same order of the videos, same initial weights, same augmentation."""
    overrides = [*MODELS[model], "SOLVER.MAX_EPOCH", "3", "TRAIN.EVAL_PERIOD", "3"]
    start = tmp_path / "start" / "start.pyth"
    given = ["TRAIN.CHECKPOINT_FILE_PATH", str(start), "TRAIN.CHECKPOINT_EPOCH_RESET", "True"]
    _, wheel = on(
        "wheel", ("save", start.parent, overrides), ("train", tmp_path / "wheel", [*overrides, *given])
    )
    (git,) = on("git", ("train", tmp_path / "git", [*overrides, *given]))
    assert len(wheel) == len(git) == 6
    assert len(set(wheel)) == 6
    np.testing.assert_allclose(git, wheel, rtol=0, atol=1e-5)


def scores(folder: Path) -> np.ndarray:
    with np.load(folder / "scores.npz") as saved:
        assert saved["scored"].all()
        return saved["scores"]


def weights(folder: Path, epoch: int) -> dict[str, torch.Tensor]:
    path = folder / "checkpoints" / f"checkpoint_epoch_{epoch:05d}.pyth"
    return torch.load(path, weights_only=True)["model_state"]


@pytest.mark.parametrize("model", ["VTN", "I3D", "SlowFast"])
def test_checkpoints_are_exchanged(model, on, tmp_path):
    """Each tests the other's file with the same scores, and continues the other's run as its own."""
    overrides = [*MODELS[model], "TEST.SAVE_RESULTS_PATH", "scores.npz"]
    one_epoch = [*overrides, "SOLVER.MAX_EPOCH", "1"]
    wheel, git, both = tmp_path / "wheel", tmp_path / "git", tmp_path / "both"
    on(
        "wheel",
        ("train", wheel, one_epoch),
        ("test", wheel, overrides),
        ("train", both, one_epoch),
        ("train", wheel, [*overrides, "SOLVER.MAX_EPOCH", "2"]),
    )
    given = ["TEST.CHECKPOINT_FILE_PATH", str(wheel / "checkpoints" / "checkpoint_epoch_00001.pyth")]
    on(
        "git",
        ("test", tmp_path / "wheel_on_git", [*overrides, *given]),
        ("train", git, one_epoch),
        ("test", git, overrides),
        ("train", both, [*overrides, "SOLVER.MAX_EPOCH", "2"]),  # begun by the wheel
    )
    given = ["TEST.CHECKPOINT_FILE_PATH", str(git / "checkpoints" / "checkpoint_epoch_00001.pyth")]
    on(
        "wheel",
        ("test", tmp_path / "git_on_wheel", [*overrides, *given]),
        ("train", git, [*overrides, "SOLVER.MAX_EPOCH", "2"]),  # begun by main
    )
    np.testing.assert_allclose(scores(tmp_path / "wheel_on_git"), scores(wheel), atol=1e-6)
    np.testing.assert_allclose(scores(tmp_path / "git_on_wheel"), scores(git), atol=1e-6)
    assert not np.allclose(scores(git), scores(wheel), atol=1e-4)  # their runs began with other weights
    assert weights(git, 2).keys() == weights(wheel, 2).keys()
    for name, expected in weights(wheel, 2).items():
        torch.testing.assert_close(weights(both, 2)[name], expected, atol=1e-5, rtol=1e-4, msg=name)
