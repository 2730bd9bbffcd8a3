"""Where frames stand by their times, worked out by hand."""

import numpy as np
import pytest

from slowfast_ext.video.timeline import is_short_of, place_frames

MS = 0.001


def numbers(pts, rates=(30.0,)):
    return place_frames(np.array(pts), MS, rates).frame_indices.tolist()


def test_a_hole_takes_as_many_numbers_as_frames_would_fit():
    # 30 frames a second in whole milliseconds; frames 3 and 4 are gone.
    assert numbers([0, 33, 67, 167, 200, 233, 267, 300]) == [0, 1, 2, 5, 6, 7, 8, 9]
    # Rounded steps do not add up to a wrong count: 100 s without frame 1500 to 1599.
    pts = [round(n * 1000 / 30) for n in range(3000) if not 1500 <= n < 1600]
    assert numbers(pts) == [n for n in range(3000) if not 1500 <= n < 1600]


def test_times_of_lost_frames_are_in_between():
    timeline = place_frames(np.array([500, 540, 660, 700, 740]), MS, [25.0])
    assert timeline.frame_indices.tolist() == [0, 1, 4, 5, 6]
    assert timeline.times.tolist() == [0, 40, 80, 120, 160, 200, 240]
    assert timeline.num_lost == 2


@pytest.mark.parametrize(
    ("pts", "rates"),
    [
        ([0, 40, 80, 120, 160, 960, 1000, 1040], [30.0]),  # another rate than the one that is stated
        ([0, 40, 80, 120, 160, 960, 1000, 1040], []),  # every time is explicit
        ([0, 33, 67, 85, 120, 133, 167, 300, 333], [30.0]),  # the rate varies
        ([0, 33, 67, 100, 133, 180, 213, 247], [30.0]),  # one frame is late, by no whole number of steps
        ([0, 33, 100, 133, 233, 267, 367, 400, 500], [30.0]),  # half of the steps are long
        ([0, 33], [30.0]),
        ([7], [30.0]),
    ],
)
def test_where_nothing_can_be_told_nothing_is_lost(pts, rates):
    timeline = place_frames(np.array(pts), MS, rates)
    assert timeline.frame_indices.tolist() == list(range(len(pts)))
    assert timeline.times.tolist() == [time - pts[0] for time in pts]
    assert (timeline.num_lost, timeline.jumps) == (0, 0)


def test_a_time_that_cannot_be_true_is_no_hole():
    """A jump of a day in half a second of video counts as one step."""
    timeline = place_frames(np.array([0, 40, 80, 86_400_080, 86_400_120, 86_400_160]), MS, [25.0])
    assert timeline.frame_indices.tolist() == [0, 1, 2, 3, 4, 5]
    assert timeline.times.tolist() == [0, 40, 80, 120, 160, 200]
    assert timeline.jumps == 1
    # A pause of a minute in ten minutes is believed.
    pts = [*range(0, 300_000, 40), *range(360_000, 600_000, 40)]
    assert place_frames(np.array(pts), MS, [25.0]).jumps == 0


def test_lengths():
    assert not is_short_of(9.6, 10.0)
    assert is_short_of(9.4, 10.0)
    assert not is_short_of(0.92, 1.0)  # a tenth of a second at least
    assert is_short_of(0.88, 1.0)
    assert not is_short_of(12.0, 10.0)
