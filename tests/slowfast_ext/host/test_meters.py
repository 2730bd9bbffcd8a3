"""The times and errors in the lines of meters, under a clock that the test moves."""

import json
import logging
import re
from types import SimpleNamespace

import pytest

from slowfast_ext.host import get_host, meters

host = get_host()


class Clock:
    """In the place of the module `time`."""

    now = 1000.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(meters, "time", clock)
    return clock


@pytest.fixture
def lines(caplog):
    """Call something; returns the statistics that it logged."""
    caplog.set_level(logging.INFO)

    def during(call, *args):
        caplog.clear()
        call(*args)
        return [json.loads(text) for text in re.findall(r"json_stats: (\{.*\})", caplog.text)]

    return during


def one_pass(meter, clock, *, iterations: int, seconds: float, errors: tuple) -> None:
    for _ in range(iterations):
        meter.iter_tic()
        clock.now += seconds
        meter.data_toc()
        meter.iter_toc()
        meter.update_stats(*errors)


def test_epochs_say_their_time_and_how_long_the_rest_will_take(tiny_cfg, clock, lines):
    """Epochs of 30 s with 10 s between them: 30 s after the first, then 30 + 10 + 30 = 70 s for two."""
    meter = host.TrainMeter(3, tiny_cfg("SOLVER.MAX_EPOCH", "5"))
    found = []
    for epoch in range(3):
        one_pass(meter, clock, iterations=3, seconds=10, errors=(50.0, 0.0, 1.5, 0.1, 2.0, 4))
        found += lines(meter.log_epoch_stats, epoch)
        meter.reset()
        clock.now += 10  # validation
    assert [line["epoch_seconds"] for line in found] == [30, 30, 30]
    # After one epoch four are left at 30 s each; after two, three at 35 s; after three, two at 110 / 3 s.
    assert [line["eta"] for line in found] == ["0:02:00", "0:01:45", "0:01:13"]
    assert all(line["_type"] == "train_epoch" and line["peak_process_memory_mib"] > 50 for line in found)
    assert not any(name in line for line in found for name in ("dt", "time_diff", "dt_net", "dt_data"))


def test_epochs_say_the_time_since_the_loop_began(tiny_cfg, clock, lines):
    """5 s before the first epoch; then 20 s of training, 7 s, 6 s of validation and 9 s for each."""
    cfg = tiny_cfg()
    train, val = host.TrainMeter(2, cfg), host.ValMeter(2, cfg)
    clock.now += 5
    found = []
    for epoch in range(2):
        one_pass(train, clock, iterations=2, seconds=10, errors=(50.0, 0.0, 1.5, 0.1, 2.0, 4))
        found += lines(train.log_epoch_stats, epoch)
        train.reset()
        clock.now += 7
        one_pass(val, clock, iterations=2, seconds=3, errors=(25.0, 0.0, 4))
        found += lines(val.log_epoch_stats, epoch)
        val.reset()
        clock.now += 9
    assert [line["run_seconds"] for line in found] == [25, 38, 67, 80]


def test_the_eta_of_a_continued_run_is_of_its_own_epochs(tiny_cfg, clock, lines):
    meter = host.TrainMeter(1, tiny_cfg("SOLVER.MAX_EPOCH", "10"))
    one_pass(meter, clock, iterations=1, seconds=60, errors=(50.0, 0.0, 1.5, 0.1, 2.0, 4))
    (line,) = lines(meter.log_epoch_stats, 7)  # begun at the eighth epoch
    assert line["eta"] == "0:02:00"


def test_the_line_of_an_epoch_that_was_stopped_tells_of_both_parts(tiny_cfg, clock, lines):
    """Two of three iterations in 20 s, then another process does the last one in 7 s."""
    cfg = tiny_cfg("SOLVER.MAX_EPOCH", "2", "LOG_PERIOD", "2")
    steps = [(50.0, 25.0, 1.5, 0.1, 2.0, 4), (0.0, 0.0, 4.5, 0.2, 3.0, 2), (25.0, 0.0, 0.5, 0.3, 1.0, 4)]
    whole, first, second = (host.TrainMeter(3, cfg) for _ in range(3))
    for step in steps:
        one_pass(whole, clock, iterations=1, seconds=10, errors=step)
    for step in steps[:2]:
        one_pass(first, clock, iterations=1, seconds=10, errors=step)
    progress = json.loads(json.dumps(first.progress()))
    clock.now += 10_000
    second.take_up(progress)
    one_pass(second, clock, iterations=1, seconds=7, errors=steps[2])
    expected, found = lines(whole.log_epoch_stats, 0) + lines(second.log_epoch_stats, 0)
    assert (found["epoch_seconds"], found["eta"]) == (27, "0:00:27")
    for name in ("loss", "top1_err", "lr", "grad_norm"):
        assert expected.get(name) == found.get(name), name
    assert second.loss.get_win_median() == whole.loss.get_win_median() == 2.5


def test_validation_says_its_time(tiny_cfg, clock, lines):
    meter = host.ValMeter(2, tiny_cfg())
    for epoch in range(2):
        one_pass(meter, clock, iterations=2, seconds=4, errors=(25.0, 0.0, 4))
        (line,) = lines(meter.log_epoch_stats, epoch)
        meter.reset()
        clock.now += 100
        assert (line["_type"], line["evaluation_seconds"], line["top1_err"]) == ("val_epoch", 8, 25)


def test_a_test_meter_knows_its_seconds(clock):
    meter = host.TestMeter(1, 1, 7, 1)
    assert meter.seconds == 0
    meter.iter_tic()
    clock.now += 3
    meter.iter_tic()
    clock.now += 4
    assert meter.seconds == 7


@pytest.mark.parametrize(("classes", "told"), [("5", False), ("6", True)])
def test_top_5_is_told_where_it_means_something(classes, told, tiny_cfg, clock, lines):
    cfg = tiny_cfg("MODEL.NUM_CLASSES", classes)
    train, val = host.TrainMeter(1, cfg), host.ValMeter(1, cfg)
    one_pass(train, clock, iterations=1, seconds=1, errors=(50.0, 20.0, 1.5, 0.1, 2.0, 4))
    one_pass(val, clock, iterations=1, seconds=1, errors=(50.0, 20.0, 4))
    found = []
    for meter in (train, val):
        found += lines(meter.log_iter_stats, 0, 0) + lines(meter.log_epoch_stats, 0)
    assert [line["top1_err"] for line in found] == [50.0] * 4
    assert [line.get("top5_err") for line in found] == [20.0 if told else None] * 4
    assert ("min_top5_err" in found[3]) == told


@pytest.mark.parametrize(("means", "seconds"), [(True, 7), (False, 18)])
def test_a_line_may_give_the_mean_time_of_the_iterations_since_the_last(
    means, seconds, tiny_cfg, clock, lines
):
    """On a GPU the iteration that is logged waits for those before it: 1, 2 and 18 s are 7 s each."""
    meter = host.TrainMeter(6, tiny_cfg("LOG_PERIOD", "3", "SOLVER.MAX_EPOCH", "1"))
    meter.means_of_period = means
    found = []
    for iteration in range(6):
        meter.iter_tic()
        clock.now += (1, 2, 18)[iteration % 3]
        meter.iter_timer = SimpleNamespace(
            seconds=lambda took=(1, 2, 18)[iteration % 3]: took, reset=lambda: None
        )
        meter.update_stats(50.0, 0.0, 1.5, 0.1, 2.0, 4)
        found += lines(meter.log_iter_stats, 0, iteration)
    assert [line.get("dt", line.get("time_diff")) for line in found] == [seconds, seconds]
    assert len(found) == 2
