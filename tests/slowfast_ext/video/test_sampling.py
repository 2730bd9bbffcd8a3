"""Index arithmetic against hand-worked lists, exact fractions and the host's own decoder."""

import random
from fractions import Fraction

import pytest
import torch
from fvcore.common.config import CfgNode
from slowfast.datasets import decoder as host_decoder
from slowfast.datasets import video_container as host_container
from slowfast.datasets.utils import pack_pathway_output
from videos import make_video, read_numbers

from slowfast_ext.host import get_host
from slowfast_ext.video.sampling import (
    authors_clip_frame_indices,
    authors_full_video_frame_indices,
    clip_frame_indices,
    full_video_frame_indices,
    multi_view_starts,
    slow_pathway_indices,
    temporal_footprint,
)
from vtn.errors import InputError

CLIP_16X8 = {"num_frames": 16, "sampling_rate": 8, "target_fps": 25}


@pytest.mark.parametrize(
    ("timing", "seconds"),
    [((16, 8, 25), 5.12), ((16, 4, 25), 2.56), ((250, 1, 25), 10.0), ((8, 8, 30), 64 / 30)],
)
def test_temporal_footprint_in_seconds(timing, seconds):
    num_frames, sampling_rate, target_fps = timing
    found = temporal_footprint(num_frames=num_frames, sampling_rate=sampling_rate, target_fps=target_fps)
    assert found == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("video", "timing", "start", "expected"),
    [
        # 5.12 s at 25 fps are 128 frames, at 30 fps 153.6.
        ((300, 25.0), (16, 8, 25), 0.0, [0, 8, 16, 25, 33, 42, 50, 59, 67, 76, 84, 93, 101, 110, 118, 127]),
        (
            (300, 30.0),
            (16, 8, 25),
            0.0,
            [0, 10, 20, 30, 40, 50, 61, 71, 81, 91, 101, 111, 122, 132, 142, 152],
        ),
        # Span 8 in 20 frames: the clip can begin at 0 to 12.
        ((20, 30.0), (4, 2, 30), 0.0, [0, 2, 4, 7]),
        ((20, 30.0), (4, 2, 30), 0.5, [6, 8, 10, 13]),
        ((20, 30.0), (4, 2, 30), 1.0, [12, 14, 16, 19]),
        # Shorter than the clip: the last frame is repeated, wherever the clip begins.
        ((4, 30.0), (8, 1, 30), 0.0, [0, 1, 2, 3, 3, 3, 3, 3]),
        ((4, 30.0), (8, 1, 30), 1.0, [0, 1, 2, 3, 3, 3, 3, 3]),
        ((1, 30.0), (3, 1, 30), 0.7, [0, 0, 0]),
        # 0.29 * 100 is 28.999999999999996 in floating point.
        ((104, 30.0), (4, 1, 30), 0.29, [29, 30, 31, 32]),
        # A clip shorter than a frame stays where it is.
        ((10, 10.0), (2, 1, 30), 0.975, [8, 8]),
        ((10, 30.0), (1, 1, 30), 1.0, [9]),
    ],
)
def test_clip(video, timing, start, expected):
    num_frames, sampling_rate, target_fps = timing
    found = clip_frame_indices(
        *video, num_frames=num_frames, sampling_rate=sampling_rate, target_fps=target_fps, start=start
    )
    assert found.dtype == torch.int64
    assert found.tolist() == expected


@pytest.mark.parametrize(
    "fps", [Fraction(25), Fraction(30), Fraction(30000, 1001), Fraction(15), Fraction(50)]
)
@pytest.mark.parametrize("timing", [(16, 8, 25), (8, 8, 30), (32, 2, 30), (64, 4, 25), (5, 3, 24)])
def test_clip_equals_exact_arithmetic(fps, timing):
    num_frames, sampling_rate, target_fps = timing
    for num_video_frames in (1, 90, 150, 300, 5000):
        for index, start in enumerate(multi_view_starts(10)):
            span = Fraction(num_frames * sampling_rate, target_fps) * fps
            first = Fraction(index, 10) * max(num_video_frames - span, 0)
            exact = [first + (span - 1) * Fraction(i, num_frames - 1) for i in range(num_frames)]
            found = clip_frame_indices(
                num_video_frames,
                float(fps),
                num_frames=num_frames,
                sampling_rate=sampling_rate,
                target_fps=target_fps,
                start=start,
            )
            assert found.tolist() == [min(int(position), num_video_frames - 1) for position in exact]


@pytest.mark.parametrize("num_video_frames", [100, 153, 160, 300, 1234])
@pytest.mark.parametrize("fps", [24.0, 25.0, 30.0, 30000 / 1001])
def test_views_are_where_the_host_puts_them(num_video_frames, fps):
    numbers = torch.arange(num_video_frames)
    for index, start in enumerate(multi_view_starts(10)):
        first, last, *_ = host_decoder.get_start_end_idx(num_video_frames, 16 * 8 / 25 * fps, index, 10)
        theirs = host_decoder.temporal_sampling(numbers, first, last, 16)
        ours = clip_frame_indices(num_video_frames, fps, **CLIP_16X8, start=start)
        # The host works in float32: where a position is whole, it may take the frame before.
        assert (ours - theirs).min() >= 0
        assert (ours != theirs).sum() <= 2
        assert (ours - theirs).max() <= 1


def test_multi_view_starts():
    assert multi_view_starts(1) == [0.0]
    assert multi_view_starts(4) == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize(
    ("num_video_frames", "num_frames", "expected"),
    [
        (10, 4, [0, 3, 6, 9]),
        (5, 5, [0, 1, 2, 3, 4]),
        (3, 7, [0, 0, 0, 1, 1, 1, 2]),
        (1, 3, [0, 0, 0]),
        (9, 1, [0]),
        (7, 4, [0, 2, 4, 6]),
    ],
)
def test_full_video(num_video_frames, num_frames, expected):
    found = full_video_frame_indices(num_video_frames, num_frames=num_frames)
    assert found.dtype == torch.int64
    assert found.tolist() == expected


@pytest.mark.parametrize("num_video_frames", [2, 100, 249, 250, 251, 300, 18000, 1_000_003])
def test_full_video_reaches_both_ends_evenly(num_video_frames):
    found = full_video_frame_indices(num_video_frames, num_frames=250)
    assert found.shape == (250,)
    assert (found[0], found[-1]) == (0, num_video_frames - 1)
    steps = found.diff()
    assert steps.max() - steps.min() <= 1


def test_authors_full_video_is_the_first_ten_seconds():
    """The table that running the authors' release gave."""

    def indices(num_video_frames, fps):
        found = authors_full_video_frame_indices(num_video_frames, fps, num_frames=250, target_fps=25)
        assert found.shape == (250,)
        return found.tolist()

    at_30_fps = indices(300, 30.0)
    assert at_30_fps[:4] == [0, 1, 2, 3]
    assert at_30_fps[-3:] == [296, 297, 299]
    assert len(set(at_30_fps)) == 250
    assert max(torch.tensor(at_30_fps).diff()) == 2
    assert indices(250, 25.0) == list(range(250))
    short = indices(100, 30.0)
    assert short[:4] == [0, 0, 0, 1]
    assert short[-4:] == [98, 99, 99, 99]
    assert {short.count(frame) for frame in range(100)} == {2, 3}
    slow = indices(60, 15.0)
    assert sorted(set(slow)) == list(range(60))
    assert indices(600, 30.0) == at_30_fps
    ntsc = indices(300, 30000 / 1001)
    assert (ntsc[0], ntsc[-2:]) == (0, [297, 298])
    fast = indices(500, 50.0)
    assert fast[:4] == [0, 2, 4, 6]
    assert fast[-3:] == [494, 496, 499]


@pytest.mark.skipif(get_host().NAME != "wheel", reason="the authors' decoder is the wheel's, not main's")
@pytest.mark.parametrize("start", [0.0, 0.3, 0.77, 1.0])
def test_authors_clip_takes_the_frames_of_the_hosts_decoder(tmp_path, monkeypatch, start):
    """Painted numbers that the host's decoder returns, at a start that is set instead of drawn."""
    path = make_video(tmp_path / "video.mp4", 90, fps=30)
    monkeypatch.setattr(random, "uniform", lambda low, high: low + start * (high - low))
    container = host_container.get_video_container(str(path))
    theirs = host_decoder.decode(container, 2, 8, clip_idx=-1, target_fps=25)
    shown, told = authors_clip_frame_indices(
        90, 30.0, num_frames=8, sampling_rate=2, target_fps=25, start=start
    )
    assert shown.tolist() == read_numbers(theirs.numpy())
    assert told.tolist() == (shown - shown[0]).tolist()


def test_authors_clip_counts_from_the_clip():
    shown, told = authors_clip_frame_indices(300, 30.0, **CLIP_16X8, start=1.0)
    # 300 - 153.6 = 146.4: the first whole frame in the clip is 147.
    assert shown[0] == 147
    assert told.tolist() == [0, 10, 20, 30, 40, 50, 61, 71, 81, 91, 101, 111, 122, 132, 142, 152]
    shown, told = authors_clip_frame_indices(3, 30.0, num_frames=5, sampling_rate=1, target_fps=30, start=0.4)
    assert shown.tolist() == told.tolist() == [0, 1, 2, 2, 2]


@pytest.mark.parametrize("num_frames", [4, 8, 16, 32, 64, 160, 400])
@pytest.mark.parametrize("alpha", [2, 4])
def test_slow_pathway_is_the_hosts_where_alpha_divides(num_frames, alpha):
    model = {"ARCH": "slowfast", "SINGLE_PATHWAY_ARCH": ["i3d"], "MULTI_PATHWAY_ARCH": ["slowfast"]}
    cfg = CfgNode({"DATA": {"REVERSE_INPUT_CHANNEL": False}, "MODEL": model, "SLOWFAST": {"ALPHA": alpha}})
    theirs, _ = pack_pathway_output(cfg, torch.arange(num_frames).view(1, -1, 1, 1))
    assert slow_pathway_indices(num_frames, alpha=alpha).tolist() == theirs.flatten().tolist()


def test_slow_pathway_rounds_up():
    assert slow_pathway_indices(9, alpha=4).tolist() == [0, 4, 8]
    assert slow_pathway_indices(3, alpha=8).tolist() == [0]
    full = slow_pathway_indices(250, alpha=4)
    assert full.shape == (63,)
    assert (full[0], full[-1]) == (0, 249)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_video_frames": 0}, r"^num_video_frames is 0; it must be positive"),
        ({"video_fps": 0.0}, r"^video_fps is 0\.0; it must be positive"),
        ({"video_fps": float("nan")}, r"^video_fps is nan; it must be positive"),
        ({"num_frames": -1}, r"^num_frames is -1; it must be positive"),
        ({"sampling_rate": 0}, r"^sampling_rate is 0; it must be positive"),
        ({"target_fps": -25}, r"^target_fps is -25; it must be positive"),
        ({"start": 1.1}, r"^start is 1\.1, outside \[0, 1\]"),
        ({"start": -0.5}, r"^start is -0\.5, outside \[0, 1\]"),
    ],
)
@pytest.mark.parametrize("choose", [clip_frame_indices, authors_clip_frame_indices])
def test_clip_names_the_bad_argument(choose, changes, message):
    arguments = {"num_video_frames": 300, "video_fps": 30.0, "start": 0.0} | CLIP_16X8 | changes
    with pytest.raises(InputError, match=message):
        choose(arguments.pop("num_video_frames"), arguments.pop("video_fps"), **arguments)


def test_the_others_name_the_bad_argument():
    with pytest.raises(InputError, match=r"^num_video_frames is 0; it must be positive"):
        full_video_frame_indices(0, num_frames=250)
    with pytest.raises(InputError, match=r"^num_frames is 0; it must be positive"):
        full_video_frame_indices(10, num_frames=0)
    with pytest.raises(InputError, match=r"^target_fps is 0; it must be positive"):
        authors_full_video_frame_indices(10, 30.0, num_frames=250, target_fps=0)
    with pytest.raises(InputError, match=r"^num_clips is 0; it must be positive"):
        multi_view_starts(0)
    with pytest.raises(InputError, match=r"^alpha is 0; it must be positive"):
        slow_pathway_indices(32, alpha=0)
