"""Probe and read a video file that is held in memory, as torchvision's functions of the same names did.

Times are counted from a file's first frame, as PySlowFast main counts its frames from 0. Colours follow the
file's tags; rotation tags are ignored, as torchvision ignored them.
"""

import contextlib
import io
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import torch

from slowfast_ext.video import VideoError, VideoReader
from slowfast_ext.video.convert import Converter, room_for_pictures
from slowfast_ext.video.opening import find_video_stream, open_container
from slowfast_ext.video.probing import VideoInfo
from slowfast_ext.video.walk import stated_length

# Unit of the times that main is told and asks in. Not the file's own: main takes its numerator for 1, which
# it need not be in AVI, and rounds down to it, which would lose frames in Matroska's milliseconds.
_TIME_BASE = Fraction(1, 1_000_000)
# Seconds by which a frame may miss the range asked for: half a millisecond, since containers round times to
# their own unit, and a little for the range's own rounding.
_TOLERANCE = 0.0006
# FFmpeg's own guess, for a file that does not let its rate be known.
_UNKNOWN_RATE = 25


@dataclass(frozen=True)
class VideoMetaData:
    """What a file says of itself; the names are torchvision's.

    Attributes:
        has_video: Whether it has a video stream that can be decoded; cover pictures do not count.
        video_timebase: Seconds per unit of video_pts_range; a microsecond, whatever the file counts in.
        video_duration: Seconds; 0.0 if the file does not say how long its pictures go on.
        video_fps: Frames per second.
        has_audio: Whether it has a sound track.
        audio_timebase: Seconds per unit of the sound track's times.
        audio_duration: Seconds; 0.0 if the file does not say.
        audio_sample_rate: Samples per second.
    """

    has_video: bool = False
    video_timebase: Fraction = Fraction(0)
    video_duration: float = 0.0
    video_fps: float = 0.0
    has_audio: bool = False
    audio_timebase: Fraction = Fraction(0)
    audio_duration: float = 0.0
    audio_sample_rate: float = 0.0


def probe_video_from_memory(video_data: torch.Tensor | bytes) -> VideoMetaData:
    """Read a file's headers.

    Args:
        video_data: The file: bytes, or shape (number of bytes,), uint8.

    Returns:
        Nothing is raised for what is no video: has_video and has_audio are False.
    """
    try:
        with open_container(_file_object(video_data)) as container:
            return VideoMetaData(**_describe_video(container), **_describe_audio(container))
    except VideoError:
        return VideoMetaData()


def read_video_from_memory(
    video_data: torch.Tensor | bytes,
    *,
    seek_frame_margin: float = 0.25,
    read_video_stream: bool = True,
    video_width: int = 0,
    video_height: int = 0,
    video_min_dimension: int = 0,
    video_pts_range: tuple[int, int] = (0, -1),
    video_timebase_numerator: int = 0,
    video_timebase_denominator: int = 1,
    read_audio_stream: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Decode the frames that are shown in a stretch of time; the arguments are torchvision's.

    Args:
        video_data: The file: bytes, or shape (number of bytes,), uint8.
        seek_frame_margin: Not needed: decoding begins at the keyframe that the first frame depends on.
        read_video_stream: False reads nothing.
        video_width: Only 0 is possible; main asks for no other.
        video_height: Likewise.
        video_min_dimension: Scale the short side to this many pixels; 0 does not scale.
        video_pts_range: First and last time, both included, after the first frame; a negative last one
            means the end of the video.
        video_timebase_numerator: The unit of video_pts_range, in seconds.
        video_timebase_denominator: Likewise.
        read_audio_stream: Sound is never read.

    Returns:
        Frames, (T, H, W, 3) uint8, RGB, or shape (0,) if there are none; and an empty tensor for the sound.
        Nothing is raised for damaged files: whatever can be decoded is there.
    """
    if video_width or video_height:
        raise NotImplementedError("frames are scaled by video_min_dimension, not to a width or height")
    unit = Fraction(video_timebase_numerator, video_timebase_denominator)
    start, end = (float(pts * unit) for pts in video_pts_range)
    if video_pts_range[1] < 0:
        end = float("inf")
    frames = torch.empty(0, dtype=torch.uint8)
    if read_video_stream:
        with contextlib.suppress(VideoError):
            reader = VideoReader(_file_object(video_data))
            frames = reader.with_repair(lambda: _read(reader, start, end, video_min_dimension))
    return frames, torch.empty(0)


def _read(reader: VideoReader, start: float, end: float, short_side: int) -> torch.Tensor:
    """The frames that are shown from start to end, as stored, (T, H, W, 3) uint8; shape (0,) if none are."""
    frame_indices = _range_of(reader.info, start, end)
    if not frame_indices:
        return torch.empty(0, dtype=torch.uint8)
    width, height = _scaled_size(reader.info, short_side)
    to_picture = Converter(reader.info, upright=False, size=(width, height), interpolation="AREA")
    frames = room_for_pictures(len(frame_indices), height, width)
    slots = {number: slot for slot, number in enumerate(frame_indices)}
    for number, picture in reader.decode(frame_indices, to_picture):
        frames[slots[number]] = picture
    return frames


def _range_of(info: VideoInfo, start: float, end: float) -> list[int]:
    """Numbers of the frames that are shown from start to end, seconds after the first one, rising."""
    times = np.arange(info.num_frames) / info.fps
    if info.times is not None:
        times = info.times * float(info.time_base)
    times = times - times[max(info.first, info.decodable[0])]
    inside = np.flatnonzero((times >= max(start, 0.0) - _TOLERANCE) & (times <= end + _TOLERANCE))
    return sorted(set(inside.tolist()).intersection(info.decodable))


def _scaled_size(info: VideoInfo, short_side: int) -> tuple[int, int]:
    """Width and height, the shorter one of them short_side; 0 does not scale."""
    width, height = info.stored_size
    scale = Fraction(short_side or min(width, height), min(width, height))
    # The builtin rounds halves to even, torchvision rounded them up.
    return int(width * scale + Fraction(1, 2)), int(height * scale + Fraction(1, 2))


def _file_object(video_data: torch.Tensor | bytes) -> io.BytesIO:
    return io.BytesIO(video_data.numpy() if isinstance(video_data, torch.Tensor) else video_data)


def _describe_video(container: av.container.InputContainer) -> dict[str, bool | float | Fraction]:
    stream = find_video_stream(container)
    if stream is None or stream.codec_context is None:
        return {}
    return {
        "has_video": True,
        "video_timebase": _TIME_BASE,
        "video_duration": _seconds_of_video(container, stream),
        "video_fps": float(stream.guessed_rate or stream.average_rate or _UNKNOWN_RATE),
    }


def _describe_audio(container: av.container.InputContainer) -> dict[str, bool | float | Fraction]:
    stream = next(iter(container.streams.audio), None)
    if stream is None or stream.codec_context is None:
        return {}
    return {
        "has_audio": True,
        "audio_timebase": stream.time_base,
        "audio_duration": float((stream.duration or 0) * stream.time_base),
        "audio_sample_rate": float(stream.codec_context.sample_rate),
    }


def _seconds_of_video(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    stated = stated_length(container, stream)
    if stated is None or stated.of_all:  # that of the longest stream says nothing of the video
        return 0.0
    begin = float((stream.start_time or 0) * stream.time_base) if stated.from_zero else 0.0
    return max(stated.seconds - begin, 0.0)
