"""How far a comparison is: what a line of a log says, and the estimate of what is left."""

import pytest

from slowfast_ext.compare import progress
from slowfast_ext.compare.progress import Progress, fraction_done, short_line


class Clock:
    """A clock that the test moves."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(progress.time, "perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_what_is_left_follows_from_the_steps_so_far(clock):
    said = []
    shown = Progress(10.0, say=said.append)
    assert shown.seconds_left() is None
    shown.begin(2.0, "one")
    clock.now += 30
    shown.advance(0.5)  # 1 of the 10 in 30 s
    assert shown.seconds_left() == pytest.approx(270)
    clock.now += 30
    shown.end("one: done")
    assert shown.seconds_left() == pytest.approx(240)  # 8 are left
    shown.skip(4.0, "two: finished earlier")
    assert shown.seconds_left() == pytest.approx(120)  # it took no time, so it says nothing of the speed
    shown.begin(4.0, "three")
    assert said == ["one", "one: done", "two: finished earlier", "three; about 0:02:00 left in all"]


def test_a_line_a_minute_without_a_terminal(clock):
    said = []
    shown = Progress(1.0, say=said.append)
    shown.begin(1.0, "one")
    for second in range(150):
        clock.now += 1
        shown.advance(second / 150)
    assert said[1:] == [
        "  40% of this step done; about 0:01:32 left in all",
        "  81% of this step done; about 0:00:29 left in all",
    ]


def test_a_bar_on_a_terminal(capsys):
    shown = Progress(4.0, terminal=True)
    shown.begin(1.0, "one")
    shown.advance(1.0)
    shown.end("one: done")
    shown.close()
    captured = capsys.readouterr()
    assert "one: done" in captured.out
    assert " 25%|" in captured.err


@pytest.mark.parametrize(
    ("line", "fraction"),
    [
        ('json_stats: {"_type": "train_iter_", "epoch": "3/40"}', None),
        ('json_stats: {"_type": "train_iter", "epoch": "3/4", "iter": "5/10"}', 0.625),
        ('json_stats: {"_type": "val_epoch", "epoch": "3/4", "top1_err": 1.0}', 0.75),
        ('json_stats: {"split": "test_iter", "cur_iter": "2", "eta": "0:00:06", "time_diff": 1.0}', 0.25),
        (
            'json_stats: {"split": "test_iter", "cur_iter": "1", "eta": "1 day, 0:00:00", "time_diff": 9e4}',
            9e4 / (9e4 + 86400),
        ),
        ('json_stats: {"split": "test_iter", "cur_iter": "9", "eta": "0:00:00", "time_diff": 0.0}', None),
        ('json_stats: {"fraction_done": 0.2}', 0.2),
        ('json_stats: {"_type": "train_it', None),
        ("nothing", None),
    ],
)
def test_fraction_done(line, fraction):
    assert fraction_done(line) == fraction


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
        ('json_stats: {"_type": "train_iter", "epoch": "3/40", "iter": "1/2", "loss": 1.5}', None),
        ('json_stats: {"_type": "train_ep', None),
        ("Epoch 3", None),
    ],
)
def test_short_line(line, shown):
    assert short_line(line) == shown
