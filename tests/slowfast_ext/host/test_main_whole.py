"""PySlowFast main as a whole: its other models, its own data set, its counter, several processes on a CPU.

Runs where SLOWFAST_HOME names a checkout.
"""

import csv
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import MULTI_VIEW, NO_DROPOUT, without_costs

from slowfast_ext.config import load_config
from slowfast_ext.flops import count_flops, example_inputs, view_shape
from slowfast_ext.host import get_host, get_installation
from slowfast_ext.models import make_model
from slowfast_ext.plugin import loops
from vtn import InputError

host = get_host()
pytestmark = pytest.mark.skipif(host.NAME != "git", reason="SLOWFAST_HOME names no checkout of main")

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
# main refuses these itself: keys that it does not have, a file that is no YAML, a model that is not there.
NOT_MAINS_OWN = ("SSv2/MVITv2_", "ImageNet/MVITv2_B.yaml", "c2/C2D_NOPOOL_8x8_R50.yaml")
SMALL = [
    *"NUM_GPUS 0 MODEL.NUM_CLASSES 5 TRAIN.BATCH_SIZE 4 TEST.BATCH_SIZE 6 DATA_LOADER.NUM_WORKERS 0".split(),
    *"SOLVER.MAX_EPOCH 1 LOG_PERIOD 1 LOG_MODEL_INFO False".split(),
    *"TEST.NUM_ENSEMBLE_VIEWS 1 DATA.NUM_FRAMES 4".split(),
    *"DATA.TRAIN_JITTER_SCALES [64,72] DATA.TRAIN_CROP_SIZE 64 DATA.TEST_CROP_SIZE 64".split(),
    *"BN.NUM_BATCHES_PRECISE 1 TRAIN.EVAL_PERIOD 1 TEST.NUM_SPATIAL_CROPS 3".split(),
]
OUR_DATA = "TRAIN.DATASET vtnkinetics TEST.DATASET vtnkinetics".split()
WITHOUT_JITTER = [
    *"DATA.USE_OFFSET_SAMPLING False".split(),
    *"DATA.TRAIN_JITTER_SCALES_RELATIVE [] DATA.TRAIN_JITTER_ASPECT_RELATIVE []".split(),
]
MVIT_DEPTH = [
    *("MVIT.DEPTH", "2", "MVIT.DIM_MUL", "[[1,2.0]]", "MVIT.HEAD_MUL", "[[1,2.0]]"),
    *("MVIT.POOL_Q_STRIDE", "[[0,1,1,1],[1,1,2,2]]"),
]


def main_config(name: str) -> Path:
    return get_installation().root / "configs" / f"{name}.yaml"


def final_stats(out: Path) -> dict:
    lines = re.findall(r"json_stats: (\{.*\})", (out / "stdout.log").read_text())
    return next(stats for stats in map(json.loads, reversed(lines)) if stats.get("split") == "test_final")


@pytest.mark.parametrize("data", ["ours", "main's"])
@pytest.mark.parametrize("name", ["Kinetics/X3D_XS", "Kinetics/MVITv2_S_16x4"])
def test_x3d_and_mvit_train_and_test(name, data, data_dir, tmp_path):
    """main's own recipes: MViT's with RandAugment, erasing, two samples of each video, and mixup."""
    ours = [*OUR_DATA, *WITHOUT_JITTER]
    overrides = ours if data == "ours" else ["DATA.PATH_PREFIX", str(data_dir)]
    overrides += MVIT_DEPTH if "MVIT" in name else []
    paths = ["DATA.PATH_TO_DATA_DIR", str(data_dir), "OUTPUT_DIR", str(tmp_path)]
    cfg = load_config(main_config(name), [*SMALL, *paths, *overrides])
    assert ("MVIT" in name) == cfg.MIXUP.ENABLE
    loops.train(cfg)
    loops.test(cfg)
    stats = final_stats(tmp_path)
    assert (stats["num_videos"], stats["num_failed"], stats["num_views"]) == (7, 0, 3)
    losses = re.findall(r'"_type": "train_iter_".*?"loss": ([\d.]+)', (tmp_path / "stdout.log").read_text())
    assert len(losses) == 2
    # Five classes and soft targets: a network that knows nothing is near the logarithm of 5, 1.61.
    assert all(0.5 < float(loss) < 5 for loss in losses)
    ledger = tmp_path / "ledger_test.csv"
    assert ledger.exists() == (data == "ours")


def test_what_our_data_set_would_ignore_stops_the_run(tmp_path):
    with pytest.raises(InputError, match=r"DATA.USE_OFFSET_SAMPLING is True, .*only this works: DATA"):
        load_config(
            main_config("Kinetics/MVITv2_S_16x4"), ["NUM_GPUS", "0", *OUR_DATA, "OUTPUT_DIR", str(tmp_path)]
        )


def test_every_configuration_of_main_loads(tmp_path):
    folder = get_installation().root / "configs"
    paths = sorted(folder.rglob("*.yaml"))
    # Some name a checkpoint that people download first.
    plain = ["NUM_GPUS", "0", "OUTPUT_DIR", str(tmp_path)]
    plain += ["TRAIN.CHECKPOINT_FILE_PATH", "", "TEST.CHECKPOINT_FILE_PATH", ""]
    assert len(paths) > 80
    for path in paths:
        name = str(path.relative_to(folder))
        if any(part in name for part in NOT_MAINS_OWN):
            with pytest.raises(InputError, match=re.escape(path.name) + "|ResNet_nopool"):
                load_config(path, plain)
        else:
            load_config(path, plain)


@pytest.mark.parametrize(
    ("name", "expected"),
    [  # multiply-adds with norms, of main's own counter before any of this: on 8 and on 32 frames of 224x224
        ("I3D_8x8_R50", 28.54),
        ("SLOWFAST_8x8_R50", 50.582),
    ],
)
def test_mains_counter_on_the_baselines(name, expected, tmp_path):
    from slowfast.utils import misc

    cfg = load_config(CONFIGS / "Kinetics" / f"{name}.yaml", ["NUM_GPUS", "0", "OUTPUT_DIR", str(tmp_path)])
    found = misc.get_model_stats(make_model(cfg), cfg, "flop", use_train_input=True)
    assert found == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize(("train", "frames"), [(True, 16), (False, 250)])
def test_mains_counter_on_vtn(train, frames, demo_cfg):
    """On a training clip and on a full video; without the norms it is our own count."""
    from fvcore.nn.flop_count import flop_count
    from slowfast.utils import misc

    cfg = demo_cfg("VTN", "DATA.NUM_FRAMES", "16")
    model = make_model(cfg).eval()
    inputs = misc._get_model_analysis_input(cfg, use_train_input=train)
    assert inputs[0][0].shape[2] == frames
    with torch.no_grad():
        by_operator, _ = flop_count(model, inputs)
    total = misc.get_model_stats(model, cfg, "flop", use_train_input=train)
    assert total == pytest.approx(sum(by_operator.values()))
    ours = count_flops(model, example_inputs(cfg, *view_shape(cfg, train=train)))
    linear = sum(count for name, count in by_operator.items() if "conv" in name or "linear" in name)
    linear += by_operator.get("addmm", 0)
    assert linear == pytest.approx(ours.conv_linear, rel=2e-3)


@pytest.fixture
def broken_data_dir(data_dir, tmp_path) -> Path:
    """As data_dir, but the second and the fifth video are empty."""
    folder = tmp_path / "broken"
    shutil.copytree(data_dir, folder)
    for number in (1, 4):
        os.truncate(folder / f"{number}.mp4", 0)
    return folder


def saved_scores(out: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(out / "scores.npz") as saved:
        return saved["scores"], saved["scored"]


def test_two_processes_train_as_one(run_net, tmp_path):
    """main's loops with gloo on a CPU: same weights after two epochs, same scores of every video."""
    overrides = [*NO_DROPOUT, "TEST.SAVE_RESULTS_PATH", "scores.npz"]
    start = tmp_path / "one" / "checkpoints" / "checkpoint_epoch_00001.pyth"
    result = run_net(tmp_path / "one", *overrides)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    (tmp_path / "two" / "checkpoints").mkdir(parents=True)
    shutil.copy(start, tmp_path / "two" / "checkpoints")  # the second epoch goes on in two processes
    result = run_net(tmp_path / "two", *overrides, "VTN.CPU_PROCESSES", "2")
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    assert "Start epoch: 2" in result.stdout
    assert load_config(tmp_path / "two" / "config.yaml").NUM_GPUS == 0  # main's loops are told 2
    one, two = (
        torch.load(tmp_path / run / "checkpoints" / "checkpoint_epoch_00002.pyth", weights_only=True)
        for run in ("one", "two")
    )
    for name, expected in one["model_state"].items():
        torch.testing.assert_close(two["model_state"][name], expected, atol=2e-5, rtol=1e-4, msg=name)
    np.testing.assert_allclose(
        saved_scores(tmp_path / "two")[0], saved_scores(tmp_path / "one")[0], atol=1e-4
    )


def test_two_processes_count_each_video_once(run_net, broken_data_dir, tmp_path):
    """Seven videos of six views, two of them unreadable, so unequal shares: main's loops stay in step."""
    overrides = ["DATA.PATH_TO_DATA_DIR", str(broken_data_dir), "TEST.SAVE_RESULTS_PATH", "scores.npz"]
    trained = tmp_path / "one"
    result = run_net(trained, *overrides, "SOLVER.MAX_EPOCH", "1", "TEST.ENABLE", "False")
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    given = ["TEST.CHECKPOINT_FILE_PATH", str(trained / "checkpoints" / "checkpoint_epoch_00001.pyth")]
    found = {}
    for processes in ("1", "2"):
        out = tmp_path / f"test{processes}"
        result = run_net(out, *overrides, *MULTI_VIEW, *given, "VTN.CPU_PROCESSES", processes)
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
        found[processes] = final_stats(out), *saved_scores(out)
        with open(out / "ledger_test.csv", newline="") as file:
            outcomes = [row["outcome"] for row in csv.DictReader(file)]
        assert outcomes == ["used", "failed", "used", "used", "failed", "used", "used"]
    (one, scores, scored), (two, other_scores, other_scored) = found["1"], found["2"]
    assert without_costs(one) == without_costs(two)
    assert (one["num_videos"], one["num_failed"], one["num_views"]) == (5, 2, 6)
    assert scored.tolist() == other_scored.tolist() == [True, False, True, True, False, True, True]
    np.testing.assert_allclose(other_scores[scored], scores[scored], atol=1e-4)
    np.testing.assert_allclose(scores[scored].sum(axis=1), 1, atol=1e-4)


def test_what_main_asserts_is_one_sentence(tiny_cfg):
    """A list that is not there, of main's own data set, where nobody has looked before."""
    other = (
        "MODEL.MODEL_NAME ResNet MODEL.ARCH i3d TRAIN.DATASET kinetics TRAIN.EVAL_FULL_VIDEO False".split()
    )
    cfg = tiny_cfg(*other, "DATA.PATH_TO_DATA_DIR", "nowhere", "LOG_MODEL_INFO", "False")
    with pytest.raises(InputError, match=r"^nowhere/train\.csv dir not found$"):
        loops.train(cfg)
