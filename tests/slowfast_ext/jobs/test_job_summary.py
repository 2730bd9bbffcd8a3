"""Numbers of a report, beside those of all records at once; and that memory does not grow with them."""

import random
import time
import tracemalloc
from collections import Counter

import numpy as np
import pytest

from slowfast_ext.jobs.report_picture import rate_of
from slowfast_ext.jobs.summary import JobSummary, Reasons, TimeBins

BEGIN = 1_800_000_000


def record_of(number: int, at: float, by="node-1-aaaaaa", state="done", why="", **more) -> dict:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    return {"path": f"/v/{number}.mp4", "state": state, "why": why, "by": by, "at": stamp, **more}


def summary_of(records) -> JobSummary:
    summary = JobSummary()
    for record in records:
        summary.add(record)
    return summary


def many(count: int, seed=0):
    """Records of eight processes on three machines, in no order of time."""
    chance = random.Random(seed)
    for number in range(count):
        by = f"node{chance.randrange(3)}-{chance.randrange(8)}-abcdef"
        state = chance.choices(("done", "repaired", "failed"), (90, 5, 5))[0]
        path = f"/v/{number}.mp4"
        why = {"done": "", "repaired": "its end", "failed": f"{path}: it is bad."}[state]
        seconds = 0.0 if state == "failed" else round(chance.lognormvariate(2, 1), 3) + 0.001
        took = round(chance.uniform(0.1, 4), 3)
        yield record_of(number, BEGIN + chance.randrange(7200), by, state, why, seconds=seconds, took=took)


def test_numbers_are_those_of_all_records():
    records = list(many(3000))
    summary = summary_of(records)
    sound = [record for record in records if record["state"] != "failed"]
    for total, key in ((summary.seconds, "seconds"), (summary.took, "took")):
        values = [record[key] for record in sound]
        assert (total.count, total.least, total.most) == (len(values), min(values), max(values))
        assert total.sum == pytest.approx(sum(values))
    assert summary.states == Counter(record["state"] for record in records)
    assert sorted(summary.sample) == sorted((record["seconds"], record["took"]) for record in sound)
    slowest = sorted(((record["took"], record["path"]) for record in records), reverse=True)
    assert summary.slowest() == slowest[:10]
    for name, share in summary.processes.items():
        own = [record for record in records if record["by"] == name]
        assert share.videos == len(own)
        assert share.failed == sum(record["state"] == "failed" for record in own)
        assert share.busy == pytest.approx(sum(record["took"] for record in own))
    assert {name: share.processes for name, share in summary.machines().items()} == {
        f"node{number}": 8 for number in range(3)
    }
    assert sum(share.videos for share in summary.machines().values()) == 3000
    assert summary.failures.counts() == {"it is bad": summary.states["failed"]}
    assert summary.repairs.counts() == {"its end": summary.states["repaired"]}


def test_a_sample_stands_for_all():
    """Of 40,000 videos of 1, 2, 3 ... s, so that a sample of those that come first or last is seen."""
    count = 40_000
    summary = summary_of(record_of(n, BEGIN, seconds=n + 1.0, took=1.0) for n in range(count))
    seconds = np.array(summary.sample)[:, 0]
    assert len(seconds) == len(set(seconds)) == 10_000
    for part in (0.05, 0.5, 0.95):  # three standard deviations are below 0.015
        assert np.quantile(seconds, part) / count == pytest.approx(part, abs=0.02)
    assert summary.seconds.most == count


@pytest.mark.slow
def test_memory_does_not_grow_with_videos():
    held = {}
    for count in (30_000, 90_000):
        tracemalloc.start()
        summary = JobSummary()
        for number in range(count):
            why = f"/v/{number}.mp4: {number} of its frames {number % 1500} are {'x' * (number % 3000)}."
            summary.add(record_of(number, BEGIN + number, state="failed", why=why, took=1.0, seconds=0.0))
            summary.add_end({"path": f"/v/{number}.mp4", "why": "it died"})
        held[count] = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert sum(summary.failures.counts().values()) == summary.num_ends == count
    assert held[90_000] < 1.2 * held[30_000]


def test_reasons_that_differ_in_numbers_are_one():
    reasons = Reasons()
    for number in range(5):
        reasons.add(f"/v/{number}.mp4", f"/v/{number}.mp4: {number} of its 40 frames cannot be decoded.")
    for number in range(7):
        reasons.add(f"/v/{number}.mp4", f"/v/{number}.mp4: it died (signal 9).")
    assert [(why, reason.videos) for why, reason in reasons.told()] == [
        ("it died (signal 9)", 7),
        ("N of its N frames cannot be decoded", 5),
    ]
    assert reasons.told()[1][1].examples == ["/v/0.mp4", "/v/1.mp4", "/v/2.mp4"]


def test_bins_of_time_get_wider():
    chance, bins, wanted = random.Random(1), TimeBins(), Counter()
    for _ in range(20_000):
        machine, second = chance.choice("ab"), BEGIN + chance.randrange(40_000)
        bins.add(machine, second)
        wanted[machine, second] += 1
    assert bins.width == 128  # 40,000 / 512 is 78
    for machine in "ab":
        of_machine = Counter()
        for (name, second), count in wanted.items():
            of_machine[second // 128] += count * (name == machine)
        assert bins.counts[machine] == +of_machine


def test_times_when_nobody_was_at_work_are_left_out():
    """Ten minutes, a night, ten minutes: a video every second."""
    seconds = [*range(600), *range(40_000, 40_600)]
    summary = summary_of(record_of(n, BEGIN + n, took=1.0, seconds=1.0) for n in seconds)
    assert len(summary.pauses()) == 1
    at_work = summary.seconds_at_work(summary.whole())
    assert at_work == pytest.approx(1200, abs=2 * summary.times.width)
    _, rates = rate_of(summary)
    np.testing.assert_allclose(rates["node"], 1.0, atol=0.1)
    one_long = [record_of(0, BEGIN + 40_000, took=39_900.0, seconds=1.0)]  # somebody was
    assert summary_of([*one_long, *(record_of(n, BEGIN + n) for n in seconds)]).pauses() == []


@pytest.mark.parametrize("count", [1, 2, 40, 3000])
def test_the_area_under_the_rate_is_the_number_of_videos(count):
    records = list(many(count))
    edges, rates = rate_of(summary_of(records))
    assert edges[0] == 0
    assert (np.diff(edges) > 0).all()
    for name, rate in rates.items():
        assert (rate * np.diff(edges)).sum() == pytest.approx(
            sum(record["by"].startswith(name) for record in records)
        )


def test_many_machines_are_drawn_together():
    records = [record_of(n, BEGIN + n, f"node{n % 30}-1-a", took=1.0) for n in range(900)]
    edges, rates = rate_of(summary_of(records))
    assert list(rates)[-1] == "24 others"
    assert len(rates) == 7
    assert (sum(rates.values()) * np.diff(edges)).sum() == pytest.approx(900)


def test_a_process_that_ended_is_counted_once():
    """A video that took too long is noted twice; earlier versions did not say which process it was."""
    summary = JobSummary()
    late = {"path": "a", "why": "it took longer than 3 s", "by": "x"}
    for record in (late, late, {**late, "by": "y"}, {"path": "b", "why": "old"}, {"path": "b", "why": "old"}):
        summary.add_end(record)
    assert summary.num_ends == 4
    assert [path for path, _ in summary.ends] == ["a", "a", "b", "b"]
