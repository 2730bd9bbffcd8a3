"""Probe and read a video file that is held in memory, as torchvision's functions of the same names did.

Times are counted from a file's first frame, as PySlowFast main counts its frames from 0. Colours follow the
file's tags; rotation tags are ignored, as torchvision ignored them.
"""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

import av
import numpy as np
import torch
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from slowfast_ext.video.opening import SAFE_OPTIONS, decode_packet, packets_of

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
        with _open(video_data) as container:
            return VideoMetaData(**_describe_video(container), **_describe_audio(container))
    except Exception:  # whatever is raised for a file that cannot be read
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
        seek_frame_margin: Seconds before the stretch at which decoding begins at the latest.
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
    pictures: list[np.ndarray] = []
    to_picture = _Converter(video_min_dimension)
    if read_video_stream:
        with contextlib.suppress(Exception):  # whatever is raised for a file that cannot be read
            for time, frame in _timed_frames(video_data, start, seek_frame_margin):
                if time > end + _TOLERANCE:
                    break
                if time >= start - _TOLERANCE:
                    pictures.append(to_picture(frame))
    frames = torch.from_numpy(np.stack(pictures)) if pictures else torch.empty(0, dtype=torch.uint8)
    return frames, torch.empty(0)


class _Converter:
    """Turns decoded frames into pictures of the first one's shape, (H, W, 3) uint8, RGB."""

    def __init__(self, min_dimension: int) -> None:
        self._min_dimension = min_dimension
        self._size: tuple[int, int] | None = None
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        self._size = self._size or self._scaled_size(frame.width, frame.height)
        width, height = self._size
        rgb = self._reformatter.reformat(frame, width, height, "rgb24", interpolation="AREA", threads=1)
        return rgb.to_ndarray()

    def _scaled_size(self, width: int, height: int) -> tuple[int, int]:
        scale = Fraction(self._min_dimension or min(width, height), min(width, height))
        # The builtin rounds halves to even, torchvision rounded them up.
        return int(width * scale + Fraction(1, 2)), int(height * scale + Fraction(1, 2))


def _open(video_data: torch.Tensor | bytes) -> av.container.InputContainer:
    data = video_data.numpy() if isinstance(video_data, torch.Tensor) else video_data
    return av.open(io.BytesIO(data), metadata_errors="replace", options=SAFE_OPTIONS)


def _video_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    for stream in container.streams.video:
        # Without a decoder for its format a stream has no context.
        if stream.codec_context is not None and not stream.disposition & Disposition.attached_pic:
            return stream
    return None


def _describe_video(container: av.container.InputContainer) -> dict[str, bool | float | Fraction]:
    stream = _video_stream(container)
    if stream is None:
        return {}
    return {
        "has_video": True,
        "video_timebase": _TIME_BASE,
        "video_duration": _seconds_of_video(container, stream),
        "video_fps": _frames_per_second(stream),
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


def _frames_per_second(stream: av.VideoStream) -> float:
    return float(stream.guessed_rate or stream.average_rate or _UNKNOWN_RATE)


def _seconds_of_video(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    # Matroska and Flash state when the last frame ends, counted from 0 and not from the first frame.
    tag = stream.metadata.get("DURATION")  # "00:00:02.005000000", of this stream
    if tag is not None and tag.count(":") == 2:
        hours, minutes, seconds = (float(part) for part in tag.split(":"))
        end = 3600 * hours + 60 * minutes + seconds
    elif container.duration is not None and len(container.streams) == 1:
        end = container.duration / av.time_base  # of the longest stream, so it speaks of the video only alone
    else:
        return 0.0
    return max(end - float((stream.start_time or 0) * stream.time_base), 0.0)


def _timed_frames(
    video_data: torch.Tensor | bytes, start: float, margin: float
) -> Iterator[tuple[float, av.VideoFrame]]:
    """Frames in the order in which they are shown, with the seconds since the video's first frame.

    Args:
        start: Seconds; all frames from there on are given, and any number before.
        margin: Seconds before it at which decoding begins at the latest.
    """
    with _open(video_data) as container:
        stream = _video_stream(container)
        if stream is None:
            return
        stream.codec_context.thread_count = 1  # the loader runs many processes
        frames = _decode(container, stream)
        first = next(frames, None)
        if first is None:
            return
        interval = 1 / _frames_per_second(stream)
        # AVI stores no presentation times, and those that FFmpeg makes up are wrong where there are B-frames.
        has_times = first.pts is not None and not (
            container.format.name == "avi" and stream.codec_context.has_b_frames
        )
        frames = chain([first], frames)
        if has_times and start > margin:
            to_pts = first.pts + int((start - margin) / stream.time_base)
            last_pts = first.pts + int((start + _TOLERANCE) / stream.time_base)
            found = _seek(container, stream, to_pts, last_pts)
            if found is None:
                yield from _timed_frames(video_data, 0.0, margin)
                return
            frames = found
        time = -interval
        for frame in frames:
            counted = not has_times or frame.pts is None
            time = time + interval if counted else float((frame.pts - first.pts) * stream.time_base)
            yield time, frame


def _decode(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    for packet in packets_of(container, stream):
        yield from decode_packet(stream, packet)


def _seek(
    container: av.container.InputContainer, stream: av.VideoStream, to_pts: int, last_pts: int
) -> Iterator[av.VideoFrame] | None:
    """Frames from a keyframe near to_pts; None if the first to come is later than last_pts."""
    try:
        container.seek(to_pts, stream=stream)
    except av.FFmpegError:
        return None
    frames = _decode(container, stream)
    # With intra refresh the decoder withholds frames after a "keyframe", which begins a gradual repair.
    first = next(frames, None)
    if first is None or first.pts is None or first.pts > last_pts:
        return None
    return chain([first], frames)
