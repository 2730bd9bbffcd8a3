"""How well segments that were found in videos agree with the true ones: average precision as ActivityNet's.

Legend: V videos, H thresholds, C classes that have a true segment.
"""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from .errors import InputError

# A true segment (begin, end, class), and one that was found (begin, end, class, score).
TrueSegment = tuple[float, float, int]
FoundSegment = tuple[float, float, int, float]


@dataclass(frozen=True)
class AveragePrecision:
    """Average precision for each threshold and class, in [0, 1].

    Attributes:
        thresholds: Of the temporal intersection over union, as given, H.
        classes: Those with a true segment, rising, C.
        values: H rows of C numbers.
    """

    thresholds: tuple[float, ...]
    classes: tuple[int, ...]
    values: tuple[tuple[float, ...], ...]

    @property
    def means(self) -> tuple[float, ...]:
        """Mean over the classes for each threshold, H numbers."""
        return tuple(sum(row) / len(row) for row in self.values)

    @property
    def mean(self) -> float:
        """Mean over thresholds and classes."""
        return sum(self.means) / len(self.means)


def mean_average_precision(
    found: Sequence[Sequence[FoundSegment]],
    truth: Sequence[Sequence[TrueSegment]],
    thresholds: Sequence[float],
) -> AveragePrecision:
    """Compare the segments that were found in videos with the true ones, class by class.

    Of one class, the segments of all videos are taken by falling score. Each is right if it overlaps a true
    segment of its video by at least the threshold (intersection over union) that none before it took; of
    several it takes the one that it overlaps most. Precision after n of them is the part of n that is right,
    recall the part of all true segments that is found. Average precision is the area under the largest
    precision at this recall or a higher one.

        truth of one class  [0, 10) and [20, 30)
        found, by score     [0, 9) right, [0, 10) wrong: it is taken, [21, 30) right
        precision           1/1, 1/2, 2/3; recall 1/2, 1/2, 2/2
        average             1/2 * 1 + 1/2 * 2/3 = 0.833, for every threshold up to 0.9

    Args:
        found: For each video, segments with class and score, in any order. Of equal scores the earlier one
            comes first.
        truth: For each video, the true segments, in the same units of time.
        thresholds: Each in (0, 1].

    Returns:
        Classes without a true segment are left out, whatever was found of them.

    Raises:
        InputError: If the two differ in length, a threshold is not in (0, 1], a true segment has no positive
            length, a number is not finite, or there is no true segment.

    Source: ActivityNet's evaluation of detection (eval_detection.py), which interpolates as Pascal VOC 2011.
    """
    _check(found, truth, thresholds)
    true_of: dict[int, dict[int, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for video, segments in enumerate(truth):
        for begin, end, label in segments:
            true_of[int(label)][video].append((float(begin), float(end)))
    found_of: dict[int, list[tuple[float, int, float, float]]] = defaultdict(list)
    for video, segments in enumerate(found):
        for begin, end, label, score in segments:
            if int(label) in true_of:
                found_of[int(label)].append((float(score), video, float(begin), float(end)))
    classes = tuple(sorted(true_of))
    columns = [_of_class(found_of[label], true_of[label], thresholds) for label in classes]
    return AveragePrecision(tuple(thresholds), classes, tuple(zip(*columns, strict=True)))


def overlap(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Intersection over union of two segments, of which `other` has a positive length: [0, 1]."""
    shared = min(one[1], other[1]) - max(one[0], other[0])
    if shared <= 0:
        return 0.0
    return shared / ((one[1] - one[0]) + (other[1] - other[0]) - shared)


def _of_class(
    found: Sequence[tuple[float, int, float, float]],
    truth: dict[int, list[tuple[float, float]]],
    thresholds: Sequence[float],
) -> list[float]:
    """Average precision for each threshold; found: (score, video, begin, end)."""
    taken: list[set[tuple[int, int]]] = [set() for _ in thresholds]
    right: list[list[bool]] = [[] for _ in thresholds]
    for _, video, begin, end in sorted(found, key=lambda segment: -segment[0]):
        overlaps = [(overlap((begin, end), true), number) for number, true in enumerate(truth.get(video, ()))]
        overlaps.sort(reverse=True)
        for threshold, of_threshold, marks in zip(thresholds, taken, right, strict=True):
            free = (n for much, n in overlaps if much >= threshold and (video, n) not in of_threshold)
            number = next(free, None)
            marks.append(number is not None)
            if number is not None:
                of_threshold.add((video, number))
    total = sum(map(len, truth.values()))
    return [_area(marks, total) for marks in right]


def _area(right: Sequence[bool], total: int) -> float:
    """Area under precision over recall; `right` by falling score, `total` true segments."""
    counts = list(accumulate(right, initial=0))[1:]
    precision = [count / number for number, count in enumerate(counts, start=1)]
    best = list(accumulate(reversed(precision), max))[::-1]
    # At the n-th right one recall grows by 1 / total.
    places = (bisect_left(counts, count) for count in range(1, (counts or [0])[-1] + 1))
    return sum(best[place] for place in places) / total


def _check(
    found: Sequence[Sequence[FoundSegment]],
    truth: Sequence[Sequence[TrueSegment]],
    thresholds: Sequence[float],
) -> None:
    if len(found) != len(truth):
        raise InputError(
            f"found has {len(found)} videos and truth {len(truth)}: both must be of the same videos."
        )
    if not thresholds or not all(0 < threshold <= 1 for threshold in thresholds):
        raise InputError(f"thresholds is {tuple(thresholds)}: it must have numbers above 0 and at most 1.")
    if not any(truth):
        raise InputError("truth has no segment, so there is no average precision.")
    for name, videos in (("found", found), ("truth", truth)):
        for video, segments in enumerate(videos):
            for segment in segments:
                if not all(map(math.isfinite, segment)) or (name == "truth" and segment[1] <= segment[0]):
                    raise InputError(
                        f"{name} has the segment {tuple(segment)} in video {video}: it must be finite "
                        "numbers, and a true one must end after it begins."
                    )
