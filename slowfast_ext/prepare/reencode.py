"""Smaller copies of videos: H.264 in mp4, upright, square pixels, 8 bit, no sound, a keyframe each second.

A clip of a copy costs little to reach, because decoding begins at the keyframe before it.

Legend: H, W height and width of a picture; V frames of a video.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import Interpolation, VideoReformatter

from slowfast_ext.video import VideoError, VideoReader
from slowfast_ext.video.decoding import MissingFrames
from slowfast_ext.video.probing import VideoInfo, probe_video

_KEYFRAME_SECONDS = 1
# Times are kept in the units of the source, if these are not so fine that mp4 may not hold them.
_FINEST_TIME_BASE = Fraction(1, 1_000_000)
_FALLBACK_TIME_BASE = Fraction(1, 90_000)
_BT601 = 6  # AVColorSpace: what RGB is converted to, and what readers assume of small pictures
_LIMITED_RANGE = 1  # AVColorRange
# x264's code for AVX-512 reads beyond the edges of pictures whose sides are no multiples of 16, and its bytes
# depend on what is there. That for SSE2 gives the bytes of its C code on any processor, in 1.15 of the time.
_SAME_EVERYWHERE = "asm=sse2"


def reencode_video(source: VideoReader, target: Path, *, short_side: int, crf: int) -> None:
    """Write a copy of all frames that can be decoded.

    Args:
        source: The video. What is found to be missing or damaged in it is noted there.
        target: File to write, mp4 whatever its name.
        short_side: Of the copy, pixels, even; a smaller picture is not enlarged.
        crf: Quality of libx264, 0 (no loss) to 51.

    Raises:
        VideoError: If no frame can be decoded, or the copy does not have all of them.
    """
    source.with_repair(lambda: _encode(source, target, short_side, crf))
    written, expected = probe_video(target), len(source.info.decodable)
    if written.num_frames != expected or written.missing:
        raise VideoError(
            f"The copy of {source.video} has {written.num_frames} frames instead of {expected} "
            f"{written.missing}."
        )


def copy_size(info: VideoInfo, short_side: int) -> tuple[int, int]:
    """Width and height of a copy: even, shown in the same shape, the short side at most short_side."""
    width, height = info.width * info.pixel_aspect, float(info.height)
    scale = min(1.0, short_side / min(width, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def frame_times(info: VideoInfo) -> tuple[Fraction, np.ndarray]:
    """When each frame is shown, from 0 for the first.

    A constant rate comes out as one even where the container rounds times, as Matroska does to milliseconds.

    Returns:
        Seconds per unit, and (V,) int64 in that unit, increasing.
    """
    rate = _rate(info)
    numbers = np.arange(info.num_frames, dtype=np.int64)
    if info.pts is None:
        return 1 / rate, numbers
    times = info.times
    even = numbers * float(1 / (rate * info.time_base))
    if np.abs(times - even).max() <= 1:
        return 1 / rate, numbers
    if info.time_base >= _FINEST_TIME_BASE:
        return info.time_base, times
    scale = float(info.time_base / _FALLBACK_TIME_BASE)
    return _FALLBACK_TIME_BASE, np.round(times * scale).astype(np.int64)


def _encode(source: VideoReader, target: Path, short_side: int, crf: int) -> None:
    """Decode, scale and encode every frame that can be decoded, as far as is known."""
    info = source.info
    time_base, times = frame_times(info)
    width, height = copy_size(info, short_side)
    with av.open(f"file:{target}", "w", format="mp4") as container:
        # Many files are written at once, each by one thread.
        options = {"preset": "fast", "crf": str(crf), "forced-idr": "1", "threads": "1"}
        options["x264-params"] = _SAME_EVERYWHERE
        stream = container.add_stream("libx264", rate=_rate(info), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = stream.time_base = time_base
        # Keyframes come by time, below: a count would not do where the rate varies.
        stream.gop_size = 100_000
        stream.codec_context.colorspace, stream.codec_context.color_range = _BT601, _LIMITED_RANGE
        for frame in _scaled(source, (width, height), times, time_base):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _rate(info: VideoInfo) -> Fraction:
    return Fraction(info.fps).limit_denominator(1001)


def _scaled(
    source: VideoReader, size: tuple[int, int], times: np.ndarray, time_base: Fraction
) -> Iterator[av.VideoFrame]:
    """Frames for the encoder, in order, those that must be keyframes marked."""
    converter = VideoReformatter()
    width, height = size
    wait = _KEYFRAME_SECONDS / time_base
    last_key = None
    frame_indices = source.info.decodable
    # Not strict: where frames are missing, the reader says so itself at its end.
    for expected, (number, picture) in zip(frame_indices, source.decode(frame_indices), strict=False):
        if number != expected:
            raise MissingFrames(f"{source.video} gives frame {number} where frame {expected} should come.")
        rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture.numpy()), format="rgb24")
        frame = converter.reformat(
            rgb, width=width, height=height, format="yuv420p", interpolation=Interpolation.BICUBIC, threads=1
        )
        frame.pts, frame.time_base = int(times[number]), time_base
        frame.pict_type = PictureType.NONE
        if last_key is None or times[number] - last_key >= wait:
            frame.pict_type, last_key = PictureType.I, times[number]
        yield frame
