"""Which frames of a video to look at: index arithmetic, no files and no pixels.

Every function returns frame numbers, int64, counted from 0 at the first frame of the video unless it says
otherwise.

Legend: V frames in the whole video, T frames taken from it, "span" the temporal footprint counted in native
frames.
"""

import math

import torch

from vtn.errors import InputError

# Truncation happens after this is added, so that an index which is whole but for rounding (0.29 * 100 is
# 28.999999999999996 in floating point) does not fall to the frame before.
_ROUNDING = 1e-6


def temporal_footprint(*, num_frames: int, sampling_rate: int, target_fps: float) -> float:
    """Length of a clip in seconds, the same for every video: 16 * 8 / 25 = 5.12."""
    _require_positive(num_frames=num_frames, sampling_rate=sampling_rate, target_fps=target_fps)
    return num_frames * sampling_rate / target_fps


def clip_frame_indices(
    num_video_frames: int,
    video_fps: float,
    *,
    num_frames: int,
    sampling_rate: int,
    target_fps: float,
    start: float,
) -> torch.Tensor:
    """Choose the frames of one clip, evenly spaced over its temporal footprint.

    The footprint, num_frames * sampling_rate / target_fps seconds, is `span` frames of this video. The clip
    begins at s = start * (V - span) and takes every span / T frames or so, from s to s + span - 1:

        V=12, T=4, span 12:  X--X---X---X  ->  [0, 3, 7, 11]

    Args:
        num_video_frames: Frames in the whole video, V.
        video_fps: Native rate of the video, frames per second.
        num_frames: Frames in the clip, T.
        sampling_rate: Step between neighbouring frames, counted at target_fps.
        target_fps: Rate at which sampling_rate is expressed, frames per second.
        start: Where the clip lies among its valid starts, 0.0 (first) to 1.0 (last).

    Returns:
        Shape (T,), non-decreasing, in [0, V). A clip longer than the video begins at frame 0 and repeats the
        last frame.

    Raises:
        InputError: If a count or a rate is not positive, or start lies outside [0, 1].

    Source: VTN, Sec. 4.1 (training clips of 2.56 or 5.12 s). The host computes the same positions in float32.
    """
    first, span = _clip_position(
        num_video_frames,
        video_fps,
        num_frames=num_frames,
        sampling_rate=sampling_rate,
        target_fps=target_fps,
        start=start,
    )
    positions = torch.linspace(first, first + span - 1, num_frames, dtype=torch.float64)
    return (positions + _ROUNDING).long().clamp(0, num_video_frames - 1)


def authors_clip_frame_indices(
    num_video_frames: int,
    video_fps: float,
    *,
    num_frames: int,
    sampling_rate: int,
    target_fps: float,
    start: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose the frames of one clip as the authors' code does, and number them from the clip's first frame.

    Their code decodes only the clip, from the first whole frame at or after s, and indexes what it decoded:
    the model is given 0, 10, 20, ... wherever the clip lies.

    Args:
        num_video_frames, video_fps, num_frames, sampling_rate, target_fps, start: As in clip_frame_indices.

    Returns:
        Two tensors of shape (T,): the frames to read, counted from the first frame of the video; and the same
        frames counted from the first frame of the clip, which is what the model is given.

    Raises:
        InputError: As clip_frame_indices.

    Source: the authors' release, by experiment; the decoding rule is the host's datasets/decoder.py.
    """
    first, span = _clip_position(
        num_video_frames,
        video_fps,
        num_frames=num_frames,
        sampling_rate=sampling_rate,
        target_fps=target_fps,
        start=start,
    )
    first_whole = math.ceil(first - _ROUNDING)
    # float32, as there: its rounding is part of the authors' numbers.
    in_clip = torch.linspace(0, span - 1, num_frames).clamp(0, num_video_frames - 1 - first_whole).long()
    return first_whole + in_clip, in_clip


def multi_view_starts(num_clips: int) -> list[float]:
    """Give the start of each clip of multi-view inference, as clip_frame_indices takes it.

    Clip i of n begins at i / n of the way to the last valid start, so the last start itself is never used:
    4 clips -> [0.0, 0.25, 0.5, 0.75].

    Raises:
        InputError: If num_clips is not positive.

    Source: the host's datasets/decoder.py, get_start_end_idx.
    """
    _require_positive(num_clips=num_clips)
    return [index / num_clips for index in range(num_clips)]


def full_video_frame_indices(num_video_frames: int, *, num_frames: int) -> torch.Tensor:
    """Choose frames that span the whole video, evenly, whatever its length.

    Frame i of T is frame floor(i * (V - 1) / (T - 1)) of the video: the first and the last are always there,
    a longer video is sub-sampled, a shorter one repeats frames, and V = T takes each frame once.

        V=10, T=4:  X--X--X--X  ->  [0, 3, 6, 9]

    Args:
        num_video_frames: Frames in the whole video, V.
        num_frames: Frames to take, T.

    Returns:
        Shape (T,), non-decreasing, in [0, V). T = 1 takes frame 0.

    Raises:
        InputError: If a count is not positive.

    Source: VTN, Sec. 4.1, full-video inference. The authors' code covers ten seconds only: see
        authors_full_video_frame_indices.
    """
    _require_positive(num_video_frames=num_video_frames, num_frames=num_frames)
    return torch.arange(num_frames) * (num_video_frames - 1) // max(num_frames - 1, 1)


def places_of_moments(moments: torch.Tensor, num_video_frames: int, num_frames: int) -> torch.Tensor:
    """Where moments of a video lie among the T frames of `full_video_frame_indices`.

    Frame i of T is at place i, which stands for the middle of the frame of the video that it shows.

    Args:
        moments: Floats in [0, V], in frames of the video: frame f is on the screen from f to f + 1.
        num_video_frames: V.
        num_frames: T.

    Returns:
        Places of the same shape, -0.5 to T - 0.5 where the video has no fewer frames than are taken.
    """
    return (moments - 0.5) * _places_per_frame(num_video_frames, num_frames)


def moments_of_places(places: torch.Tensor, num_video_frames: int, num_frames: int) -> torch.Tensor:
    """The reverse of `places_of_moments`, clamped to the video: [0, V]."""
    moments = places / _places_per_frame(num_video_frames, num_frames) + 0.5
    return moments.clamp(0, num_video_frames)


def _places_per_frame(num_video_frames: int, num_frames: int) -> float:
    _require_positive(num_video_frames=num_video_frames, num_frames=num_frames)
    return max(num_frames - 1, 1) / max(num_video_frames - 1, 1)


def authors_full_video_frame_indices(
    num_video_frames: int, video_fps: float, *, num_frames: int, target_fps: float
) -> torch.Tensor:
    """Choose the frames that the authors' code calls the full video: its first seconds.

    Those are num_frames / target_fps seconds: 250 / 25 = 10 s, the length of a Kinetics video. A longer one
    is not covered. The authors validate on ten seconds at a random place and test on the first ten; here it
    is always the first.

    Args:
        num_video_frames: Frames in the whole video, V.
        video_fps: Native rate of the video, frames per second.
        num_frames: Frames to take, T.
        target_fps: Rate that gives the seconds covered, frames per second.

    Returns:
        Shape (T,), non-decreasing, in [0, V).

    Raises:
        InputError: If a count or a rate is not positive.

    Source: the authors' release, by experiment.
    """
    _require_positive(
        num_video_frames=num_video_frames, video_fps=video_fps, num_frames=num_frames, target_fps=target_fps
    )
    span = num_frames / target_fps * video_fps
    # One frame too far for a short video, as there; float32, as there.
    end = min(span - 1, num_video_frames)
    return torch.linspace(0, end, num_frames).clamp(0, num_video_frames - 1).long()


def slow_pathway_indices(num_frames: int, *, alpha: int) -> torch.Tensor:
    """Choose the frames of SlowFast's slow pathway among the fast pathway's.

    Args:
        num_frames: Frames in the fast pathway, T.
        alpha: How many times fewer the slow pathway has.

    Returns:
        Shape (ceil(T / alpha),), positions in [0, T). The host takes floor(T / alpha), the same where alpha
        divides T; where it does not, its own stride-alpha fusion produces the ceiling: 250 / 4 -> 63.

    Raises:
        InputError: If an argument is not positive.
    """
    _require_positive(num_frames=num_frames, alpha=alpha)
    return torch.linspace(0, num_frames - 1, math.ceil(num_frames / alpha)).long()


def _clip_position(
    num_video_frames: int,
    video_fps: float,
    *,
    num_frames: int,
    sampling_rate: int,
    target_fps: float,
    start: float,
) -> tuple[float, float]:
    """First position and span of a clip, both in native frames and both fractional."""
    _require_positive(num_video_frames=num_video_frames, video_fps=video_fps)
    if not 0 <= start <= 1:
        raise InputError(f"start is {start}, outside [0, 1].")
    footprint = temporal_footprint(num_frames=num_frames, sampling_rate=sampling_rate, target_fps=target_fps)
    # A clip is at least one frame long, or its positions would run backwards.
    span = max(footprint * video_fps, 1.0)
    return start * max(num_video_frames - span, 0), span


def _require_positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise InputError(f"{name} is {value}; it must be positive.")
