"""The judge: what was read, against what the undamaged video shows.

It knows nothing of how the project reads. A picture that looks like one of the undamaged video is that one;
its place is the time at which a player shows it there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fuzzing.evidence import OF_PACKETS
from fuzzing.kinds import KEYFRAME_INTERVAL
from fuzzing.reading import Outcome, Pictures, Readings
from slowfast_ext.data.ledger import FAILED, USED

FINDINGS = (
    "crash",
    "hang",
    "memory",
    "foreign error",
    "no reason",
    "silent loss",
    "misplaced",
    "wrong pictures",
    "seek differs",
    "preparation differs",
    "clip of a lossy file used",
    # What the file does not betray.
    "unnoticed loss",
    "unnoticed places",
    "unnoticed pictures",
    "clip beside the loss",
)
# Less than this part of the frames is a loss that must be told.
_ENOUGH = 0.8
# Frames may be this many frames from their place, and this many may be further.
_NEAR, _FEW = 5, 5
# Part of the pictures that may be wrong without a word.
_FEW_WRONG = 0.2
# Grey levels by which the mean of an 8 x 8 square may be off, or what the codec changes if that is more.
_LEAST_NOISE = 8.0
_FEWEST_WORDS = 3


@dataclass(frozen=True)
class Finding:
    """Something that must not be.

    Attributes:
        name: One of FINDINGS. What is wrong is "unnoticed" where the file gives no sign of it.
        detail: What was seen.
    """

    name: str
    detail: str


@dataclass(frozen=True)
class Truth:
    """What may be shown, and when: the undamaged video, and the one behind it where there is one.

    Attributes:
        small: See block_means, (m, rows, columns).
        painted: Number in each picture, (m,).
        times: When each is shown, seconds after the first, (m,).
        num_frames: Frames of the undamaged video; those of the one behind it come after them.
        interval: Seconds between its frames, on average.
        noise: Grey levels by which the codec changes the mean of a square.
    """

    small: np.ndarray
    painted: np.ndarray
    times: np.ndarray
    num_frames: int
    interval: float
    noise: float


def judge(readings: Readings, truth: Truth) -> list[Finding]:
    """All findings on one file, each name once."""
    found: dict[str, Finding] = {}
    for finding in _all_findings(readings, truth):
        found.setdefault(finding.name, finding)
    return list(found.values())


def _all_findings(readings: Readings, truth: Truth) -> Iterator[Finding]:
    for way, what in readings.errors:
        yield Finding("foreign error", f"{way}: {what}")
    for way, outcome in readings.outcomes.items():
        if outcome.outcome != USED and not _says_why(outcome):
            yield Finding("no reason", f"{way}: {outcome.outcome}, {outcome.reason!r}")
    used = {way for way, outcome in readings.outcomes.items() if outcome.outcome == USED}
    there, intact = 0, np.empty(0, int)
    if readings.pictures is not None and len(readings.pictures.frames):
        intact = identify(readings.pictures, truth)
        there = _count_distinct(intact)
    if "in order" in used:
        yield from _findings_of_a_used_file(readings, truth, intact, there)
    yield from _seeking(readings, truth)
    yield from _preparation(readings)
    clips = sorted(used & {"training clip", "validation item"})
    if clips and there < _ENOUGH * truth.num_frames:
        yield from _clips_of_a_lossy_file(", ".join(clips), readings, f"{there} of {truth.num_frames}")


def _clips_of_a_lossy_file(clips: str, readings: Readings, there: str) -> Iterator[Finding]:
    """What the packets tell must be said of every clip; what decoding tells is known where it is decoded."""
    whole = readings.outcomes.get("in order", Outcome(FAILED)).outcome
    detail = f"{clips}: {there} frames there, {whole} when all are read; {_signs(readings)}"
    if readings.evidence & OF_PACKETS or (whole == USED and readings.evidence):
        yield Finding("clip of a lossy file used", detail)
    elif whole != USED:
        yield Finding("clip beside the loss", detail)


def _signs(readings: Readings) -> str:
    return f"signs: {', '.join(sorted(readings.evidence)) or 'none'}"


def _preparation(readings: Readings) -> Iterator[Finding]:
    """Compare what preparation lists with what is found on reading: both read all of the file."""
    said, found = readings.outcomes.get("preparation"), readings.outcomes.get("in order")
    if said and found and said.outcome != found.outcome:
        yield Finding("preparation differs", f"it says {said.outcome}, but {found.outcome}: {found.reason}")


def _says_why(outcome: Outcome) -> bool:
    return len(outcome.reason.split()) >= _FEWEST_WORDS and "None" not in outcome.reason


def identify(pictures: Pictures, truth: Truth) -> np.ndarray:
    """Which picture of the truth each one is, (n,); -1 for one that is none of them."""
    nearest = np.empty(len(pictures.small), int)
    for index, small in enumerate(pictures.small):
        off = np.abs(truth.small - small).max(axis=(1, 2))
        nearest[index] = off.argmin() if off.min() <= max(truth.noise, _LEAST_NOISE) else -1
    return nearest


def _count_distinct(intact: np.ndarray) -> int:
    """Frames that are there: a picture that comes again, in place of a lost one, counts once."""
    return len(set(intact[intact >= 0].tolist())) + int((intact < 0).sum())


def _findings_of_a_used_file(
    readings: Readings, truth: Truth, intact: np.ndarray, there: int
) -> Iterator[Finding]:
    signs = _signs(readings)
    if there < _ENOUGH * truth.num_frames:
        name = "silent loss" if readings.evidence else "unnoticed loss"
        yield Finding(name, f"{there} of {truth.num_frames} frames there; {signs}")
    if not len(intact):
        return
    misplaced = count_misplaced(readings, truth, intact)
    if misplaced > _FEW:
        name = "misplaced" if readings.evidence else "unnoticed places"
        yield Finding(name, f"{misplaced} of {len(intact)} frames far from their place; {signs}")
    wrong = int((intact < 0).sum())
    if there >= _ENOUGH * truth.num_frames and wrong > _FEW_WRONG * len(intact):
        name = "wrong pictures" if readings.evidence else "unnoticed pictures"
        yield Finding(name, f"{wrong} of {len(intact)} pictures; {signs}")


def count_misplaced(readings: Readings, truth: Truth, intact: np.ndarray) -> int:
    """Frames that are shown far from where a player shows them in the undamaged video.

    Where the start is lost, all others are where they should be from the first frame on. Of two videos, one
    behind the other, each is judged by itself.
    """
    painted = np.where(intact >= 0, truth.painted[intact], readings.pictures.painted)
    shown = readings.times[readings.pictures.frames]
    misplaced = np.isin(painted, truth.painted)
    for part in (slice(None, truth.num_frames), slice(truth.num_frames, None)):
        place = dict(zip(truth.painted[part].tolist(), truth.times[part].tolist(), strict=True))
        left = np.flatnonzero(misplaced & np.isin(painted, list(place)))
        if len(left):
            off = np.array([place[number] for number in painted[left].tolist()]) - shown[left]
            misplaced[left] = _far(off, (_NEAR + 0.5) * truth.interval)
    return int(misplaced.sum())


def _far(off: np.ndarray, allowed: float) -> np.ndarray:
    """Which times are off by more than is allowed after the shift that suits the most, (n,) bool."""
    shifts = np.unique(np.append(off, 0.0).round(3))
    far = np.abs(off - shifts[:, None]) > allowed
    return far[far.sum(axis=1).argmin()]


def _seeking(readings: Readings, truth: Truth) -> Iterator[Finding]:
    """Compare what was read by seeking with what was read in order, whatever the outcome."""
    if readings.pictures is None or not len(readings.pictures.frames):
        return
    outcome = readings.outcomes.get("in order", Outcome(FAILED)).outcome
    if readings.not_sought:
        yield Finding("seek differs", f"{outcome}: {readings.not_sought}")
    in_order = _Shown(readings.pictures, truth)
    differing, total = [], 0
    for pictures in readings.sought:
        sought = _Shown(pictures, truth)
        for number in sought.painted:
            total += 1
            if number in in_order.painted and _differs(number, sought, in_order):
                differing.append(number)
    if differing:
        yield Finding("seek differs", f"{outcome}: {len(differing)} of {total}, as frame {differing[0]}")


class _Shown:
    """What is seen under each number: the number that is painted there, and whether the picture is whole."""

    def __init__(self, pictures: Pictures, truth: Truth) -> None:
        intact = identify(pictures, truth)
        painted = np.where(intact >= 0, truth.painted[intact], pictures.painted).tolist()
        frames = pictures.frames.tolist()
        self.painted = dict(zip(frames, painted, strict=True))
        self.whole = dict(zip(frames, (intact >= 0).tolist(), strict=True))


def _differs(number: int, sought: _Shown, in_order: _Shown) -> bool:
    """Whether seeking gives another frame, or damages one that is whole.

    What a decoder makes of damage depends on what it has seen before, so a damaged picture may look different
    each time, and so may those that are decoded from it.
    """
    if sought.whole[number]:
        return in_order.whole[number] and sought.painted[number] != in_order.painted[number]
    near = [other for other in in_order.whole if abs(other - number) <= KEYFRAME_INTERVAL]
    steps = np.diff([in_order.painted[other] for other in sorted(near)])
    return all(in_order.whole[other] for other in near) and bool((steps == 1).all())
