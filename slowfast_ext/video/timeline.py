"""When the frames of a video are shown, which are lost in between, and how much of it the file lacks.

The times around a hole give it away: in a video of constant rate the time from one frame to the next is one
interval, or a whole number of them where frames are lost. Where the rate varies, or is not the one that the
file states, nobody can know.

Legend: n frames that the file holds, V frames of the video with those that are lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# A step from one frame to the next is an ordinary one if it is no longer than this many intervals.
_ORDINARY = 1.5
# A video is of constant rate if at least this part of its steps is ordinary, and these differ from the
# interval by at most this part of it.
_ORDINARY_PART, _JITTER = 0.7, 0.3
# A stated rate may differ by this part from the one that the steps show.
_RATE_TOLERANCE = 0.03
# The time over a hole may differ by this part of an interval from a whole number of intervals.
_HOLE_TOLERANCE = 0.3
# A step that is longer than this many seconds, and this many times all the rest, is a wrong time, not a hole.
_JUMP_SECONDS, _JUMP_TIMES = 60.0, 4.0
# What a stated length may exceed the found one by, in seconds: rounding, and the delay of B-frames. For short
# videos as a part of the stated length, and the least that it comes to.
_LENGTH_TOLERANCE, _LENGTH_TOLERANCE_PART, _LEAST_LENGTH_TOLERANCE = 0.5, 0.05, 0.1


@dataclass(frozen=True, eq=False)
class Timeline:
    """Where in the video the frames of a file stand.

    Attributes:
        frame_indices: (n,) int64, number of each frame in the video, rising from 0.
        times: (V,) int64, when each frame of the video is shown, from 0, in the unit of the times given.
        jumps: How many steps were too long to be true; they count as one interval each.
    """

    frame_indices: np.ndarray
    times: np.ndarray
    jumps: int = 0

    @property
    def num_lost(self) -> int:
        """Frames that are lost between others, V - n."""
        return len(self.times) - len(self.frame_indices)


def place_frames(pts: np.ndarray, unit: float, stated_rates: Sequence[float]) -> Timeline:
    """Number frames by their times, leaving out the numbers of those that are lost.

        30 fps in ms: 0, 33, 67, 167, 200  ->  numbers 0, 1, 2, 5, 6

    Args:
        pts: (n,) int64, n > 0, presentation times, increasing.
        unit: Seconds per unit of pts.
        stated_rates: Frames per second that the file states; holes are looked for only if the steps confirm
            one of them. Empty if the file writes down every time, so that a long step is there on purpose.
    """
    steps = np.diff(pts)
    everything = Timeline(np.arange(len(pts)), pts - pts[0])
    if len(steps) < 2:
        return everything
    steps, jumps = _without_jumps(steps, unit)
    times = np.concatenate([[0], np.cumsum(steps)])
    everything = Timeline(np.arange(len(pts)), times, jumps)
    interval = _interval(steps)
    believed = interval and any(abs(rate * interval * unit - 1) <= _RATE_TOLERANCE for rate in stated_rates)
    intervals = _whole_intervals(steps, interval) if believed else None
    if intervals is None or intervals.max() == 1:
        return everything
    frame_indices = np.concatenate([[0], np.cumsum(intervals)])
    everywhere = np.interp(np.arange(frame_indices[-1] + 1), frame_indices, times)
    return Timeline(frame_indices, np.round(everywhere).astype(np.int64), jumps)


def _without_jumps(steps: np.ndarray, unit: float) -> tuple[np.ndarray, int]:
    """The steps, with one ordinary step in the place of each that cannot be true; and how many those are."""
    usual = int(np.median(steps))
    jumps = 0
    while True:
        longest = int(steps.argmax())
        rest = int(steps.sum() - steps[longest])
        if steps[longest] * unit <= _JUMP_SECONDS or steps[longest] <= _JUMP_TIMES * rest:
            return steps, jumps
        steps = steps.copy()
        steps[longest] = max(usual, 1)
        jumps += 1


def _interval(steps: np.ndarray) -> float | None:
    """The time between two frames where it is constant but for holes, else None."""
    usual = float(np.median(steps))
    ordinary = steps[steps <= _ORDINARY * usual]
    interval = float(ordinary.mean())  # of rounded times the mean is exact, the median is not
    # One unit at least: a container may count in units that are not much shorter than a frame.
    even = np.abs(ordinary - interval) <= max(_JITTER * interval, 1)
    return interval if even.mean() > 0.95 and len(ordinary) >= _ORDINARY_PART * len(steps) else None


def _whole_intervals(steps: np.ndarray, interval: float) -> np.ndarray | None:
    """Each step in intervals, at least one; None if a long step is no whole number of them."""
    intervals = np.maximum(np.round(steps / interval), 1).astype(np.int64)
    long = intervals > 1
    tolerance = max(_HOLE_TOLERANCE * interval, 1.0)
    fits = np.abs(steps[long] - intervals[long] * interval) <= tolerance
    return intervals if fits.all() else None


def is_short_of(found: float, stated: float) -> bool:
    """Whether a length in seconds falls short of the one that the file states, by more than rounding."""
    tolerance = max(_LENGTH_TOLERANCE_PART * stated, _LEAST_LENGTH_TOLERANCE)
    return found < stated - min(_LENGTH_TOLERANCE, tolerance)
