"""Learning curves: logs written by hand, sums done by hand, and the colours in the picture itself."""

import json
import re

import numpy as np
import pytest
from pictures import pixels_of, read_picture

from slowfast_ext.report.curves import Curves, TrainingSummary, name_runs, plot_curves, read_curves, summarize
from slowfast_ext.report.figures import COLOURS, colour_of, marker_of, printable
from slowfast_ext.report.plot_curves import draw_runs
from vtn.errors import InputError


def train_line(epoch, loss, error):
    stats = {"_type": "train_epoch", "epoch": f"{epoch}/9", "loss": loss, "top1_err": error}
    return f"[INFO] json_stats: {json.dumps(stats)}"


def val_line(epoch, error):
    return (
        f"[INFO] json_stats: {json.dumps({'_type': 'val_epoch', 'epoch': f'{epoch}/9', 'top1_err': error})}"
    )


def test_read_curves_of_an_interrupted_run(tmp_path):
    lines = [
        "Train with config:",
        '[INFO] json_stats: {"_type": "train_iter", "epoch": "1/9", "loss": 9.0, "top1_err": 99.0}',
        train_line(1, 2.0, 80.0),
        train_line(2, 1.9, 75.0),
        val_line(2, 70.0),
        train_line(2, 1.5, 60.0),  # resumed from epoch 1
        val_line(2, 50.0),
        train_line(10, 0.5, 10.0),
        '[INFO] json_stats: {"_type": "val_ep',  # killed
    ]
    log = tmp_path / "stdout.log"
    log.write_text("\n".join(lines))
    expected = Curves([1, 2, 10], [2.0, 1.5, 0.5], [80.0, 60.0, 10.0], [2], [50.0])
    assert read_curves(log) == expected
    assert read_curves(tmp_path) == expected
    log.write_text("\n".join([*lines, train_line(11, 0.4, 9.0)]))
    with pytest.raises(InputError, match=r"stdout\.log, line 9: its json_stats cannot be read"):
        read_curves(log)


def test_read_curves_refuses(tmp_path):
    with pytest.raises(InputError, match=r"there is no training log .*stdout\.log"):
        read_curves(tmp_path)
    (tmp_path / "stdout.log").write_text("nothing\n")
    with pytest.raises(InputError, match=r"stdout\.log holds no finished training epoch"):
        read_curves(tmp_path)


def test_plot_curves_draws_each_run_in_its_colour(tmp_path):
    falling = Curves([1, 2, 3], [2.0, 1.0, 0.5], [90.0, 50.0, 20.0], [3], [30.0])
    high = Curves([1, 2, 3], [2.0, 2.0, 2.0], [90.0, 90.0, 90.0], [1, 3], [90.0, 90.0])
    path = tmp_path / "new" / "curves.png"
    plot_curves({"falling": falling, "high": high}, path, title="two runs")
    picture = read_picture(path)
    loss = picture[:, : picture.shape[1] // 2]
    rows = [np.nonzero(pixels_of(loss, colour))[0] for colour in COLOURS[:2]]
    assert np.ptp(rows[0]) > 0.4 * picture.shape[0]  # from 2.0 down to 0.5
    # The second run is level: apart from its legend, all of it lies on a few rows.
    assert np.bincount(rows[1]).max() > 0.5 * loss.shape[1]
    assert not pixels_of(picture, COLOURS[2]).any()
    with pytest.raises(InputError, match=r"cannot write the picture .*curves\.nonsense"):
        plot_curves({"falling": falling}, tmp_path / "curves.nonsense")


def test_name_runs(tmp_path):
    paths = [tmp_path / "a" / "vtn", tmp_path / "a" / "i3d"]
    for path in paths:
        path.mkdir(parents=True)
    assert name_runs(paths) == ["vtn", "i3d"]
    assert name_runs([paths[0] / "stdout.log"]) == ["vtn"]
    assert name_runs([paths[0], paths[0]]) == [str(paths[0])] * 2


def timed(kind, epoch, error, run_seconds, took):
    own = {"train_epoch": "epoch_seconds", "val_epoch": "evaluation_seconds"}[kind]
    stats = {"_type": kind, "epoch": f"{epoch}/9", "loss": 1.0, "top1_err": error}
    return f"json_stats: {json.dumps(stats | {own: took, 'run_seconds': run_seconds})}"


INTERRUPTED = [
    timed("train_epoch", 1, 80.0, 30.0, 29.5),
    timed("val_epoch", 1, 75.0, 40.0, 10.0),
    timed("train_epoch", 2, 60.0, 75.0, 30.0),
    # Killed while it validated: 75 s are gone. The epoch is run again, slower, by a process of its own.
    timed("train_epoch", 2, 50.0, 90.0, 89.0),
    timed("val_epoch", 2, 40.0, 101.0, 10.5),
    timed("train_epoch", 3, 30.0, 140.0, 31.5),
    timed("val_epoch", 3, 40.0, 150.0, 9.5),
    'json_stats: {"_type": "train_iter", "epoch": "4/9", "loss": 9.0, "top1_err": 99.0}',
]


def test_wall_time_of_an_interrupted_run(tmp_path):
    """75 s of the first process, then 150 s of the second: its epoch 2 ends after 75 + 90."""
    log = tmp_path / "stdout.log"
    log.write_text("\n".join(INTERRUPTED))
    curves = read_curves(log)
    assert (curves.train_epochs, curves.val_epochs) == ([1, 2, 3], [1, 2, 3])
    assert (curves.train_seconds, curves.val_seconds) == ([30, 165, 215], [40, 176, 225])
    assert (curves.epoch_seconds, curves.evaluation_seconds) == ([29.5, 89, 31.5], [10, 10.5, 9.5])
    assert (curves.train_top1, curves.val_top1) == ([20, 50, 70], [25, 60, 60])
    assert curves.total_seconds == 225


def test_wall_time_of_an_epoch_that_was_stopped_in_the_middle(tmp_path):
    """30 s; 17 s of the second epoch; another process does the other 15 s of it, then 5 s of validation."""
    (tmp_path / "stdout.log").write_text(
        "\n".join(
            [
                timed("train_epoch", 1, 50, 30, 30),
                timed("train_epoch", 2, 40, 15, 32),
                timed("train_epoch", 2, 40, 2, 32),  # stopped once more, just after this epoch
                timed("val_epoch", 2, 30, 8, 5),
            ]
        )
    )
    curves = read_curves(tmp_path)
    assert curves.train_seconds == pytest.approx([30, 30 + 17 + 15 + 2])
    assert curves.val_seconds == pytest.approx([30 + 17 + 15 + 8])
    assert curves.epoch_seconds == [30, 32]


def test_the_epochs_that_training_went_back_over_are_forgotten(tmp_path):
    """After epoch 3 somebody begins again: the other epochs are of another model, their time is spent."""
    (tmp_path / "stdout.log").write_text("\n".join([*INTERRUPTED, timed("train_epoch", 1, 85.0, 20.0, 20.0)]))
    curves = read_curves(tmp_path)
    assert (curves.train_epochs, curves.train_top1, curves.train_seconds) == ([1], [15], [245])
    assert (curves.val_epochs, curves.val_top1, curves.val_seconds) == ([], [], None)
    assert summarize(curves) == TrainingSummary(1, 20, 245, None, None, None)


def test_summary(tmp_path):
    """The best score, 60 %, is reached by epochs 2 and 3: the first one counts."""
    (tmp_path / "stdout.log").write_text("\n".join(INTERRUPTED))
    assert summarize(read_curves(tmp_path)) == TrainingSummary(3, 50, 225, 2, 176, 60)
    old = Curves([1, 2], [2.0, 1.0], [90.0, 80.0], [2], [70.0])
    assert summarize(old) == TrainingSummary(2, None, None, 2, None, 30)


def test_a_log_that_is_half_old_has_no_times(tmp_path):
    (tmp_path / "stdout.log").write_text("\n".join([train_line(1, 2.0, 80.0), *INTERRUPTED[3:]]))
    curves = read_curves(tmp_path)
    assert curves.train_epochs == [1, 2, 3]
    assert (curves.train_seconds, curves.val_seconds, curves.epoch_seconds) == (None, None, None)
    assert (curves.evaluation_seconds, curves.total_seconds) == ([10.5, 9.5], None)


def run_of(seconds_of_an_epoch, *, epochs=8):
    """Training at 80 %, validation at 40 %, all along."""
    numbers = list(range(1, epochs + 1))
    seconds = [seconds_of_an_epoch * number for number in numbers]
    level = [1.0] * epochs, [20.0] * epochs, numbers, [60.0] * epochs
    return Curves(numbers, *level, train_seconds=seconds, val_seconds=seconds, total_seconds=seconds[-1])


def right_half(path):
    picture = read_picture(path)
    return picture[: int(0.85 * picture.shape[0]), picture.shape[1] // 2 :]


def test_training_is_solid_and_validation_dashed(tmp_path):
    plot_curves({"run": run_of(10, epochs=40)}, tmp_path / "a.png")
    lines = pixels_of(right_half(tmp_path / "a.png"), COLOURS[0])
    columns = [np.nonzero(lines[row])[0] for row in np.nonzero(lines.sum(axis=1) > 100)[0]]
    above, below = columns[0], columns[-1]  # 80 % and 40 %
    assert np.diff(above).max() == 1
    assert np.diff(below).max() > 2
    assert len(below) < 0.8 * len(above)


def test_by_wall_time_the_slower_run_is_the_longer(tmp_path):
    """All have eight epochs; they end at 640, 320 and 80 s."""
    runs = {"a": run_of(80), "b": run_of(40), "c": run_of(10)}
    plot_curves(runs, tmp_path / "a.png", by="seconds")
    picture = right_half(tmp_path / "a.png")
    ends = [np.nonzero(pixels_of(picture, colour))[1].max() for colour in COLOURS[:3]]
    assert (ends[0] - ends[1]) / (ends[1] - ends[2]) == pytest.approx(320 / 240, rel=0.02)


def test_names_of_runs_are_drawn_as_they_are(tmp_path):
    assert [printable(name, "run 1") for name in ("a $x$ b", "_x", "動画", "x" * 70)] == [
        *(r"a \$x\$ b", " _x", "run 1", "x" * 59 + "…")
    ]
    runs = {"a $x$ _b": run_of(10, epochs=1), "動画": run_of(20)}
    plot_curves(runs, tmp_path / "a.png", title="50 $ for $x")
    assert pixels_of(right_half(tmp_path / "a.png"), COLOURS[0]).any()  # an epoch alone is a dot


def test_twenty_runs_differ_in_colour_or_marker():
    assert len({(colour_of(index), marker_of(index)) for index in range(24)}) == 24
    assert len({colour_of(index) for index in range(12)}) == 12


def test_the_command_draws_by_epoch_or_by_time(tmp_path, capsys):
    for name, lines in (("new", INTERRUPTED), ("old", [train_line(1, 2.0, 80.0), val_line(1, 70.0)])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "stdout.log").write_text("\n".join(lines))
    new, old, out = (str(tmp_path / name) for name in ("new", "old", "both.png"))
    draw_runs([new, old, "--out", out])
    draw_runs([new, "--by", "time"])
    assert capsys.readouterr().out == f"learning curves: {out}\nlearning curves: {new}/learning_curves.png\n"
    with pytest.raises(InputError, match=re.escape("the log of old has no times; draw its curves by epoch.")):
        draw_runs([new, old, "--by", "time", "--out", f"{out}.by_time.png"])
    assert not (tmp_path / "both.png.by_time.png").exists()
