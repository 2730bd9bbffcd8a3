"""`tools/benchmark.py compare`, as typed: costs without data, tests, trainings that are cut short."""

import csv
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from compare_configs import I3D
from tiny_runs import ROOT, TINY

from slowfast_ext.benchmark import benchmark
from slowfast_ext.protocols import PROTOCOLS
from vtn.errors import InputError


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("configs")
    paths = {"Mine": folder / "Mine.yaml", "I3D": folder / "I3D.yaml", "Wild": folder / "Wild.yaml"}
    paths["Mine"].write_text(TINY)
    paths["I3D"].write_text(I3D)
    paths["Wild"].write_text(TINY.replace("BASE_LR: 0.05", "BASE_LR: 1.0e+30"))
    return {name: str(path) for name, path in paths.items()}


def results(out):
    return json.loads((out / "results.json").read_text())


def rows_of(out):
    return {(row["model"], row["protocol"]): row for row in results(out)["rows"]}


def test_costs_need_neither_data_nor_weights(configs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", None)
    out = tmp_path / "costs"
    arguments = ["compare", "--cfg", configs["Mine"], configs["I3D"], "--out", str(out)]
    assert benchmark([*arguments, "--protocols", *PROTOCOLS, "TRAIN.EVAL_NUM_FRAMES", "20"]) == 0
    rows = rows_of(out)
    shapes = {key: (row["views"], row["frames"], row["crop"], row["status"]) for key, row in rows.items()}
    expected = {"multi-view": (30, 4, 32), "full-video": (1, 20, 32), "clip": (1, 4, 32)}
    assert shapes == {
        (name, protocol): (*shape, "costs only")
        for name in ("Mine", "I3D")
        for protocol, shape in expected.items()
    }
    assert all(row["top1"] is row["test_seconds"] is row["video_ms_median"] is None for row in rows.values())
    ratio = rows["I3D", "multi-view"]["gflops"] / rows["Mine", "full-video"]["gflops"]
    (found,) = [
        each
        for each in results(out)["ratios"]
        if (each["vtn_protocol"], each["baseline_protocol"]) == ("full-video", "multi-view")
    ]
    assert found["gflops"] == pytest.approx(ratio)
    assert found["training"] is found["paper_training"] is None
    assert "TRAIN.EVAL_NUM_FRAMES 20" in results(out)["command"]
    assert len(list(csv.DictReader((out / "results.csv").open()))) == 6
    assert str(out / "results.md") in capsys.readouterr().out


def test_wrong_words(configs, tmp_path):
    given = ["compare", "--cfg", configs["Mine"], "--out", str(tmp_path)]
    with pytest.raises(
        InputError, match="--protocols sideways: it must be one of multi-view, full-video, clip"
    ):
        benchmark([*given, "--protocols", "sideways"])
    with pytest.raises(InputError, match="--timed-videos is -1"):
        benchmark([*given, "--timed-videos", "-1"])
    with pytest.raises(InputError, match="unrecognized arguments: --trian"):
        benchmark([*given, "--trian"])
    with pytest.raises(InputError, match="the following arguments are required: --out"):
        benchmark(["compare", "--cfg", configs["Mine"]])


def test_every_model_gets_the_same_pixels_of_the_same_videos(configs, data_dir, tmp_path):
    """Clips are of one length here; the length is all in which models may differ."""
    from slowfast_ext.compare.contenders import read_contenders
    from slowfast_ext.config import load_config
    from slowfast_ext.host import get_host

    keys = ["DATA.PATH_TO_DATA_DIR", str(data_dir)]
    both = read_contenders([configs["Mine"], configs["I3D"]], keys, out=tmp_path)
    for protocol in PROTOCOLS:
        cfgs = [load_config(each.path, each.test_overrides(protocol)) for each in both]
        mine, other = (get_host().build_dataset(cfg.TEST.DATASET, cfg, "test") for cfg in cfgs)
        assert (mine.paths, mine.num_views) == (other.paths, other.num_views)
        for item in (0, mine.num_views - 1, len(mine) - 1):
            pixels = [dataset[item][0][0].chunks(1000) for dataset in (mine, other)]
            for ours, theirs in zip(*pixels, strict=True):
                assert torch.equal(ours, theirs)


def save_weights(config, path):
    """Random weights of a configuration."""
    from slowfast_ext.config import load_config
    from slowfast_ext.models import make_model

    cfg = load_config(config, ["OUTPUT_DIR", str(path.parent)])
    torch.manual_seed(1)
    torch.save({"model_state": make_model(cfg).state_dict()}, path)


@pytest.mark.slow
def test_a_checkpoint_is_tested_and_timed(configs, data_dir, tmp_path, capsys):
    out, checkpoint = tmp_path / "out", tmp_path / "weights.pyth"
    save_weights(configs["Mine"], checkpoint)
    arguments = ["compare", "--cfg", configs["Mine"], "--out", str(out), "--checkpoint", f"Mine={checkpoint}"]
    arguments += ["--protocols", "full-video", "--timed-videos", "2", "DATA.PATH_TO_DATA_DIR", str(data_dir)]
    assert benchmark(arguments) == 0
    (row,) = rows_of(out).values()
    assert (row["status"], row["num_videos"], row["num_failed"]) == ("ok", 7, 0)
    scores = independent_scores(configs["Mine"], checkpoint, data_dir)
    labels = np.array([number % 5 for number in range(7)])
    assert row["top1"] == pytest.approx(100 * (scores.argmax(axis=1) == labels).mean(), abs=0.01)
    per_class = [(scores.argmax(axis=1)[labels == k] == k).mean() for k in range(5)]
    assert row["mean_class"] == pytest.approx(100 * np.mean(per_class))
    assert row["video_ms_median"] > max(row["decode_ms_median"], row["model_ms_median"]) > 0
    assert row["peak_memory_mib"] > 100
    timed = json.loads((out / "Mine" / "full_video" / "timing.json").read_text())["videos"]
    assert [video["path"] for video in timed] == [str(data_dir / f"{number}.mp4") for number in range(2)]
    capsys.readouterr()
    assert benchmark(arguments) == 0
    assert capsys.readouterr().out.count("finished earlier") == 1
    assert rows_of(out) == {("Mine", "full-video"): row}


@pytest.mark.slow
def test_without_weights_a_model_is_only_timed(configs, data_dir, tmp_path):
    out = tmp_path / "out"
    arguments = ["compare", "--cfg", configs["I3D"], "--out", str(out), "--protocols", "full-video", "clip"]
    assert benchmark([*arguments, "--timed-videos", "1", "DATA.PATH_TO_DATA_DIR", str(data_dir)]) == 0
    for row in rows_of(out).values():
        assert (row["status"], row["top1"], row["test_seconds"]) == ("costs only", None, None)
        assert row["video_ms_median"] > row["model_ms_median"] > 0
        assert row["peak_memory_mib"] > 100


def independent_scores(config, checkpoint, data_dir):
    """Scores of the seven test videos, (7, 5), video by video without loader or meter."""
    from slowfast_ext.config import load_config
    from slowfast_ext.data.dataset import Vtnkinetics
    from slowfast_ext.models import VTN

    cfg = load_config(config, ["DATA.PATH_TO_DATA_DIR", str(data_dir), *PROTOCOLS["full-video"]])
    model = VTN(cfg).eval()
    model.load_state_dict(torch.load(checkpoint, weights_only=True)["model_state"])
    dataset = Vtnkinetics(cfg, "test")
    with torch.no_grad():
        inputs = (dataset[item][0] for item in range(len(dataset)))
        return torch.cat([model([frames, indices[None]]) for frames, indices in inputs]).numpy()


def start(arguments):
    return subprocess.Popen(
        [sys.executable, "tools/benchmark.py", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_trainings_that_are_cut_short_and_one_that_fails(configs, data_dir, tmp_path):
    """SIGKILL in the first training, Ctrl-C in the second: the same command ends as if nothing had been."""

    def arguments(out):
        given = ["compare", "--cfg", *configs.values(), "--out", str(out), "--train"]
        keys = ["DATA.PATH_TO_DATA_DIR", str(data_dir), "SOLVER.MAX_EPOCH", "6"]
        return [*given, "--protocols", "clip", "--timed-videos", "1", *keys]

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert start(arguments(whole)).wait() == 1
    for number, name in ((signal.SIGKILL, "Mine"), (signal.SIGINT, "I3D")):
        process = start(arguments(cut))
        log = cut / name / "train" / "run.log"
        while not (log.is_file() and "train_epoch" in log.read_text()):
            assert process.poll() is None
            time.sleep(0.2)
        process.send_signal(number)
        status = process.wait()
        assert status == (-9 if number == signal.SIGKILL else 130)
    last = start(arguments(cut))
    printed = last.communicate()[0]
    assert last.returncode == 1, printed
    assert "Mine, training: finished earlier" in printed
    assert "failed: Wild, clip: training: " in printed
    rows, expected = rows_of(cut), rows_of(whole)
    assert [row["status"] for row in rows.values()] == ["ok", "ok", "failed"]
    assert "TRAIN.NONFINITE" in rows["Wild", "clip"]["reason"]
    for name in ("Mine", "I3D"):
        # Not best_epoch: a kill between the checkpoint of an epoch and its validation loses that validation.
        same = ("top1", "mean_class", "epochs", "num_videos")
        assert [rows[name, "clip"][key] for key in same] == [expected[name, "clip"][key] for key in same]
        scores = [np.load(out / name / "clip" / "scores.npz")["scores"] for out in (cut, whole)]
        np.testing.assert_array_equal(*scores)


@pytest.mark.slow
def test_a_changed_list_is_tested_again_and_trained_anew(configs, data_dir, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    lines = {
        split: (data_dir / f"{split}.csv").read_text().splitlines() for split in ("train", "val", "test")
    }
    for split, rows in lines.items():
        (data / f"{split}.csv").write_text("".join(f"{data_dir}/{row}\n" for row in rows))
    out = tmp_path / "out"
    arguments = ["compare", "--cfg", configs["Mine"], "--out", str(out), "--train", "--protocols", "clip"]
    arguments += ["--timed-videos", "0", "DATA.PATH_TO_DATA_DIR", str(data), "SOLVER.MAX_EPOCH", "1"]
    assert start(arguments).wait() == 0
    (data / "test.csv").write_text("".join(f"{data_dir}/{row}\n" for row in lines["test"][:5]))
    process = start(arguments)
    printed = process.communicate()[0]
    assert process.returncode == 0
    assert "Mine, training: finished earlier" in printed
    assert "Mine, clip test: is done anew, because test.csv changed since" in printed
    assert rows_of(out)["Mine", "clip"]["num_videos"] == 5
    (data / "train.csv").write_text("".join(f"{data_dir}/{row}\n" for row in lines["train"][:5]))
    process = start(arguments)
    printed = process.communicate()[0]
    assert process.returncode == 0
    assert "Mine, training: is done anew, because train.csv changed since" in printed
    assert (out / "Mine" / "train_before_1" / "checkpoints").is_dir()


def test_two_comparisons_in_one_folder(configs, tmp_path):
    from slowfast_ext.compare.run import alone_in

    with alone_in(tmp_path), pytest.raises(InputError, match="is in use by another comparison"):
        benchmark(["compare", "--cfg", configs["Mine"], "--out", str(tmp_path)])


def test_a_log_that_cannot_be_read_costs_only_its_own_rows(configs, data_dir, tmp_path, monkeypatch):
    """A kill may cut a line, and the next process goes on in the middle of it."""
    from slowfast_ext.compare import run
    from slowfast_ext.compare.contenders import read_contenders
    from slowfast_ext.compare.steps import StepOutcome

    def train_and_damage(step, progress):
        (step.folder / "checkpoints").mkdir(parents=True)
        (step.folder / "checkpoints" / "checkpoint_epoch_00001.pyth").touch()
        (step.folder / "stdout.log").write_text('json_stats: {"_type": "tra[INFO] Start epoch: 1\nmore\n')
        return StepOutcome(1.0)

    monkeypatch.setattr(run, "run_step", train_and_damage)
    keys = ["DATA.PATH_TO_DATA_DIR", str(data_dir)]
    contenders = read_contenders([configs["Mine"]], keys, out=tmp_path, train=True)
    comparison = run.Comparison(contenders, ("clip",), tmp_path, 0)
    rows = run.count_costs(comparison, lambda line: None)
    run.run_all(comparison, rows, say=lambda line: None)
    assert rows[0].status == "failed"
    assert "its json_stats cannot be read" in rows[0].reason
