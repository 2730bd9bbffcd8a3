"""The demo's driver: steps run once, failures are told, results come from what the tests wrote."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from slowfast_ext.demo.layout import Layout
from slowfast_ext.demo.steps import Step, StepError, run_step, short_line
from slowfast_ext.demo.summary import read_result
from vtn.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def make_step(tmp_path, program, inputs=()):
    return Step("trial", tmp_path / "trial", (sys.executable, "-c", program), inputs)


def test_step_runs_once(tmp_path):
    step = make_step(tmp_path, "open('count', 'a').write('x'); print('hello')")
    said = []
    seconds = run_step(step, cwd=tmp_path, say=said.append)
    assert seconds > 0
    assert run_step(step, cwd=tmp_path, say=said.append) == seconds
    assert (tmp_path / "count").read_text() == "x"
    assert step.log.read_text() == "hello\n"
    assert said[-1] == f"trial: finished earlier, in {seconds:.0f} s"


def test_step_refuses_results_of_something_else(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("lr: 1")
    run_step(make_step(tmp_path, "pass", (recipe,)), cwd=tmp_path)
    with pytest.raises(InputError, match="trial holds results of another arguments"):
        run_step(make_step(tmp_path, "print(1)", (recipe,)), cwd=tmp_path)
    recipe.write_text("lr: 2")
    with pytest.raises(InputError, match="trial holds results of another inputs"):
        run_step(make_step(tmp_path, "pass", (recipe,)), cwd=tmp_path)


def test_failed_step_is_told_and_tried_again(tmp_path):
    program = (
        "import os, sys, time; time.sleep(0.2)\n"
        "if not os.path.exists('ready'): print('not ready'); sys.exit(3)"
    )
    step = make_step(tmp_path, program)
    with pytest.raises(StepError, match=r"trial ended with status 3 \(not ready\): see .*run\.log"):
        run_step(step, cwd=tmp_path)
    (tmp_path / "ready").write_text("")
    assert run_step(step, cwd=tmp_path) >= 0.4  # both attempts count


def test_interrupted_step_keeps_its_time_and_is_not_finished(tmp_path):
    program = (
        """print('json_stats: {"split": "test_final", "top1_acc": "1", "top5_acc": "2", "num_videos": 3}')"""
    )
    step = make_step(tmp_path, program)

    def interrupt(line):
        if "top-1" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_step(step, cwd=tmp_path, say=interrupt)
    record = json.loads((step.folder / "step.json").read_text())
    assert record["seconds"] > 0
    assert record["finished"] is False
    assert run_step(step, cwd=tmp_path) > record["seconds"]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            'json_stats: {"_type": "train_epoch", "epoch": "3/40", "loss": 1.5, "top1_err": 80.0}',
            "epoch 3/40, loss 1.500, top-1 on training clips 20.0 %",
        ),
        (
            'json_stats: {"_type": "val_epoch", "epoch": "3/40", "top1_err": 12.5}',
            "epoch 3/40, top-1 on validation videos 87.5 %",
        ),
        (
            'json_stats: {"split": "test_final", "top1_acc": "25.00", "top5_acc": "75.00", "num_videos": 8}',
            "top-1 25.00 %, top-5 75.00 % of 8 videos",
        ),
        (
            'json_stats: {"split": "test_final", "top1_acc": "25.00", "num_videos": 8}',
            "top-1 25.00 % of 8 videos",
        ),
        ("[WARNING: test.py: 9]: 1 could not be read:\n", "[WARNING: test.py: 9]: 1 could not be read:"),
        ('json_stats: {"_type": "train_iter", "epoch": "3/40", "loss": 1.5}', None),
        ('json_stats: {"_type": "train_ep', None),
        ("Epoch 3", None),
    ],
)
def test_short_line(line, shown):
    assert short_line(line) == shown


RESULTS = {
    **{"top1_acc": "87.50", "top5_acc": "100.00", "num_videos": 8, "num_failed": 1, "num_views": 30},
    **{"parameters": 1234567, "gflops_per_view": 0.25, "frames_per_view": 16, "crop_size_px": 64},
}
ROW = {"model": "VTN", "protocol": "multi-view", "train_seconds": 2.0, "test_seconds": 1.0}


def test_read_result(tmp_path):
    """From the file alone: the log says nothing."""
    step = Step("test", tmp_path, ("x",))
    (tmp_path / "test_results.json").write_text(json.dumps(RESULTS))
    result = read_result(step, **ROW)
    assert (result.params_M, result.frames, result.views) == (1.234567, 16, 30)
    assert (result.gflops_per_view, result.gflops) == (0.25, 7.5)
    assert (result.top1, result.top5, result.num_videos, result.num_failed) == (87.5, 100.0, 8, 1)


def test_read_result_of_few_classes_and_of_a_model_that_was_not_counted(tmp_path):
    step = Step("test", tmp_path, ("x",))
    few = {name: value for name, value in RESULTS.items() if name != "top5_acc"}
    (tmp_path / "test_results.json").write_text(json.dumps(few))
    assert read_result(step, **ROW).top5 is None
    uncounted = {name: value for name, value in RESULTS.items() if name != "gflops_per_view"}
    (tmp_path / "test_results.json").write_text(json.dumps(uncounted))
    with pytest.raises(StepError, match=r"test_results\.json does not give gflops_per_view: run"):
        read_result(step, **ROW)


def test_newest_checkpoint(tmp_path):
    layout = Layout(ROOT, tmp_path)
    with pytest.raises(InputError, match=r"VTN/train holds no checkpoint any more"):
        layout.checkpoint("VTN")
    folder = layout.training("VTN") / "checkpoints"
    folder.mkdir(parents=True)
    for epoch in (8, 40, 16):
        (folder / f"checkpoint_epoch_{epoch:05d}.pyth").touch()
    assert layout.checkpoint("VTN").name == "checkpoint_epoch_00040.pyth"


@pytest.mark.slow
def test_whole_demo_in_small(tmp_path):
    command = [sys.executable, "tools/demo.py", "--out", str(tmp_path), "--num-train", "16", "--num-val", "8"]
    command += ["--opts", "SOLVER.MAX_EPOCH", "1", "TRAIN.EVAL_NUM_FRAMES", "32"]
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stdout + first.stderr
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert [(row["model"], row["protocol"], row["views"], row["num_videos"]) for row in rows] == [
        (model, protocol, views, 8)
        for model in ("VTN", "I3D", "SlowFast")
        for protocol, views in (("multi-view", 30), ("full-video", 1))
    ]
    assert [row["frames"] for row in rows] == [16, 32, 8, 32, 16, 32]
    for name in ("accuracy_vs_gflops.png", "learning_curves.png", "attention.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("finished earlier") == 9
    other = subprocess.run([*command, "MODEL.DROPOUT_RATE", "0.1"], cwd=ROOT, capture_output=True, text=True)
    assert other.returncode == 2
    assert "holds results of another arguments" in other.stderr
