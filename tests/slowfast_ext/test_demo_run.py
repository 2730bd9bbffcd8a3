"""The demo: a comparison of four models on a data set that it makes, and where VTN looked."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from slowfast_ext.config_files import find_config
from slowfast_ext.demo import run
from slowfast_ext.demo.dataset import DatasetSettings

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_is_the_command_that_it_names(tmp_path, monkeypatch):
    """What the page says was typed would do the same."""
    from slowfast_ext.benchmark import benchmark
    from slowfast_ext.compare import command

    called = []

    def note(paths, overrides, *, out, train, **options):
        called.append(
            ([find_config(path).resolve() for path in paths], list(overrides), out.resolve(), train)
        )
        note.command = options["command"]
        return []

    monkeypatch.setattr(run, "compare_models", note)
    monkeypatch.setattr(command, "compare_models", note)
    monkeypatch.setattr(run, "make_dataset", lambda *args, **kwargs: None)
    monkeypatch.chdir(tmp_path)
    run.run_demo(tmp_path, settings=DatasetSettings(), overrides=["SOLVER.MAX_EPOCH", "1"])
    words = shlex.split(note.command)
    assert words[:2] == ["vtn", "benchmark"]
    benchmark(words[2:])
    assert called[0] == called[1]
    assert len(called[0][0]) == 4


def test_the_models_see_the_same_videos_and_are_validated_often(demo_cfg):
    others = {"Base", "VTN_segments"}
    paths = [path for path in (ROOT / "configs" / "Demo").glob("*.yaml") if path.stem not in others]
    cfgs = {path.stem: demo_cfg(path.stem) for path in paths}
    assert set(cfgs) == set(run.MODELS)
    scales = "TRAIN_JITTER_SCALES TRAIN_CROP_SIZE TEST_CROP_SIZE MEAN STD TARGET_FPS".split()
    for cfg in cfgs.values():
        assert cfg.DATA.NUM_FRAMES * cfg.DATA.SAMPLING_RATE / cfg.DATA.TARGET_FPS == 7.68  # seconds of a clip
        assert [cfg.DATA[key] for key in scales] == [cfgs["VTN"].DATA[key] for key in scales]
        assert cfg.TRAIN.EVAL_NUM_FRAMES == 250
        assert cfg.SOLVER.MAX_EPOCH > 3 * cfg.TRAIN.EVAL_PERIOD  # four points of a curve


@pytest.mark.slow
def test_whole_demo_in_small(tmp_path):
    command = [sys.executable, "tools/demo.py", "--out", str(tmp_path), "--num-train", "16", "--num-val", "8"]
    command += ["--opts", "SOLVER.MAX_EPOCH", "1", "TRAIN.EVAL_NUM_FRAMES", "32"]
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stdout + first.stderr
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert [(row["model"], row["protocol"], row["views"], row["num_videos"]) for row in rows] == [
        (model, protocol, views, 8)
        for model in ("VTN", "I3D", "I3D_NLN", "SlowFast")
        for protocol, views in (("multi-view", 30), ("full-video", 1))
    ]
    assert [row["frames"] for row in rows[::2]] == [8, 8, 8, 16]
    assert {row["frames"] for row in rows[1::2]} == {32}
    names = ("accuracy_vs_gflops", "accuracy_vs_time", "curves_by_epoch", "curves_by_time")
    for path in (*(tmp_path / "pictures" / f"{name}.png" for name in names), tmp_path / "attention.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
    assert "Where VTN looked" in (tmp_path / "index.html").read_text()
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("finished earlier") == 12
