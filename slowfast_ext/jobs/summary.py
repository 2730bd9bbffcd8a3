"""What became of the videos of a job, from all records, in memory that does not grow with their number."""

import heapq
import random
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from slowfast_ext.jobs.claims import machine_of
from slowfast_ext.jobs.work import FAILED, REPAIRED

_SAMPLE, _SLOWEST, _EXAMPLES, _ENDS = 10_000, 10, 3, 20
# Different reasons that are kept apart, and bins of time.
_MOST_REASONS, _MOST_BINS = 1000, 512
_LEAST_PAUSE = 600.0
_NUMBER = re.compile(r"\d+(\.\d+)?")


@dataclass
class Reason:
    """Why videos failed, or what they lack.

    Attributes:
        videos: How many.
        examples: Names of some.
    """

    videos: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, videos: int, examples: list[str]) -> None:
        """Take in more videos."""
        self.videos += videos
        self.examples = [*self.examples, *examples][:_EXAMPLES]


class Reasons:
    """Reasons without the names of the videos; those that differ in numbers alone are told as one."""

    def __init__(self) -> None:
        self._found: dict[str, Reason] = defaultdict(Reason)

    def add(self, path: str, why: str) -> None:
        """Take in a video."""
        key = why.replace(f"{path}: ", "").replace(path, "a video").rstrip(".")
        if key not in self._found and len(self._found) >= _MOST_REASONS:
            key = _NUMBER.sub("N", key)
            if key not in self._found and len(self._found) >= 2 * _MOST_REASONS:
                key = "another reason"
        self._found[key].add(1, [path])

    def told(self) -> list[tuple[str, Reason]]:
        """The most frequent first."""
        alike = defaultdict(list)
        for key in self._found:
            alike[_NUMBER.sub("N", key)].append(key)
        told = {}
        for shape, keys in alike.items():
            reason = told[keys[0] if len(keys) == 1 else shape] = Reason()
            for key in keys:
                reason.add(self._found[key].videos, self._found[key].examples)
        return sorted(told.items(), key=lambda item: (-item[1].videos, item[0]))

    def counts(self) -> Counter:
        """Videos of each."""
        return Counter({name: reason.videos for name, reason in self.told()})


class Spent(NamedTuple):
    """Of a video in the sample: its length and the seconds that it took; 0 is unknown."""

    seconds: float
    took: float


class TimeBins:
    """How many videos each machine ended when: bins that get wider as time goes on.

    Attributes:
        width: Of a bin, seconds.
        counts: Videos by machine and by number of the bin.
    """

    def __init__(self) -> None:
        self.width, self.counts, self._bins = 1, defaultdict(Counter), set()

    def add(self, machine: str, second: float) -> None:
        """Take in a video that was ended at this time."""
        number = int(second) // self.width
        self.counts[machine][number] += 1
        self._bins.add(number)
        while len(self._bins) > _MOST_BINS:
            self.width *= 2
            self._bins = {number // 2 for number in self._bins}
            for machine, counts in self.counts.items():
                self.counts[machine] = wider = Counter()
                for number, videos in counts.items():
                    wider[number // 2] += videos

    def pauses(self, least: float) -> list[tuple[int, int]]:
        """Times longer than `least` seconds without a video, as (begin, end); seconds."""
        numbers = sorted(self._bins)
        gaps = [((one + 1) * self.width, other * self.width) for one, other in pairwise(numbers)]
        return [(begin, end) for begin, end in gaps if end - begin > least]


@dataclass
class Contribution:
    """What one process or one machine did.

    Attributes:
        videos, failed: Counts.
        busy: Seconds at videos, of all its processes.
        begin, end: Times, seconds since 1970.
        processes: How many it is.
    """

    videos: int = 0
    failed: int = 0
    busy: float = 0.0
    begin: float = float("inf")
    end: float = 0.0
    processes: int = 1

    def add(self, other: "Contribution") -> None:
        """Take in what another did."""
        self.videos, self.failed = self.videos + other.videos, self.failed + other.failed
        self.busy, self.processes = self.busy + other.busy, self.processes + other.processes
        self.begin, self.end = min(self.begin, other.begin), max(self.end, other.end)


@dataclass
class Total:
    """Of positive numbers how many there are, their sum, the least and the most."""

    count: int = 0
    sum: float = 0.0
    least: float = float("inf")
    most: float = 0.0

    def add(self, number: float) -> None:
        """Take in a number; 0 is unknown and counts for nothing."""
        if number > 0:
            self.count, self.sum = self.count + 1, self.sum + number
            self.least, self.most = min(self.least, number), max(self.most, number)


class JobSummary:
    """What records say, together.

    Attributes:
        states: Videos by state.
        failures, repairs: Why.
        seconds, took: Lengths of videos that did not fail, and the time that they took.
        sample: At most 10,000 of these, each as likely as any other.
        processes: What each did, by its name.
        times: When.
        num_ends: Processes that ended at a video.
        ends: At most 20 of these, as (video, why).
    """

    def __init__(self) -> None:
        self.states, self.failures, self.repairs = Counter(), Reasons(), Reasons()
        self.seconds, self.took, self.times = Total(), Total(), TimeBins()
        self.sample: list[Spent] = []
        self.processes: dict[str, Contribution] = defaultdict(Contribution)
        self.num_ends, self.ends = 0, []
        self._slowest: list[tuple[float, str]] = []
        self._sampled, self._random = 0, random.Random(0)
        self._ended: set[str] = set()

    def add(self, record: dict[str, Any]) -> None:
        """Take in a video; records of earlier versions say neither `seconds` nor `took`."""
        path, state, by = record["path"], record["state"], record["by"]
        seconds, took = record.get("seconds", 0.0), record.get("took", 0.0)
        at = datetime.fromisoformat(record["at"].replace("Z", "+00:00")).timestamp()
        failed = state == FAILED
        self.states[state] += 1
        if failed:
            self.failures.add(path, record["why"])
        else:
            if state == REPAIRED:
                self.repairs.add(path, record["why"])
            self.seconds.add(seconds)
            self.took.add(took)
            self._choose(Spent(seconds, took))
        share = self.processes[by]
        share.videos, share.failed, share.busy = share.videos + 1, share.failed + failed, share.busy + took
        share.begin, share.end = min(share.begin, at - took), max(share.end, at)
        self.times.add(machine_of(by), at)
        if len(self._slowest) < _SLOWEST:
            heapq.heappush(self._slowest, (took, path))
        elif took > self._slowest[0][0]:
            heapq.heapreplace(self._slowest, (took, path))

    def add_end(self, record: dict[str, Any]) -> None:
        """Take in that a process ended at a video; one that took too long is noted twice."""
        by = record.get("by")
        if by is None or by not in self._ended:
            self._ended.add(by)
            self.num_ends += 1
            if len(self.ends) < _ENDS:
                self.ends.append((record["path"], record["why"]))

    def slowest(self) -> list[tuple[float, str]]:
        """The videos that took longest, as (seconds, path); the slowest first."""
        return sorted(((took, path) for took, path in self._slowest if took > 0), reverse=True)

    def machines(self) -> dict[str, Contribution]:
        """What each did, by falling number of videos."""
        found: dict[str, Contribution] = {}
        for name, share in self.processes.items():
            found.setdefault(machine_of(name), Contribution(processes=0)).add(share)
        return dict(sorted(found.items(), key=lambda item: (-item[1].videos, item[0])))

    def whole(self) -> Contribution:
        """What all processes did."""
        whole = Contribution(processes=0)
        for share in self.processes.values():
            whole.add(share)
        return whole

    def pauses(self) -> list[tuple[int, int]]:
        """When nobody was at work, as (begin, end): longer than any video took."""
        return self.times.pauses(max(_LEAST_PAUSE, *(took for took, _ in self._slowest)))

    def seconds_at_work(self, share: Contribution) -> float:
        """From its begin to its end, without pauses; 1 or more, as records have whole seconds."""
        left_out = (min(share.end, end) - max(share.begin, begin) for begin, end in self.pauses())
        return max(1.0, share.end - share.begin - sum(max(0.0, seconds) for seconds in left_out))

    def _choose(self, spent: Spent) -> None:
        """Algorithm R: a sample whose size stays."""
        self._sampled += 1
        if len(self.sample) < _SAMPLE:
            self.sample.append(spent)
        elif (place := int(self._random.random() * self._sampled)) < _SAMPLE:
            self.sample[place] = spent
