"""Frames of a video file by their number, exactly: frame n is the n-th that a player shows, from 0.

A file is read twice. `probe_video` walks its packets without decoding them and learns when each frame is
shown; `read_frames` decodes only what lies between the last keyframe before a wanted frame and that frame.
Containers announce frame counts and durations that are often missing or wrong, so neither is used to number
frames.

Rotation tags are ignored, as the host does. Legend: n frames asked for, H, W their height and width.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path

import av
import torch
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from vtn.errors import InputError

# Formats that state how long the video is, so that a file which was cut short can be told from a short video.
_FORMATS_WITH_LENGTH = {"mp4", "avi", "matroska"}
# What the stated length may exceed the packets by, in seconds: rounding, and the delay of B-frames.
_LENGTH_TOLERANCE = 0.5
# Opening the file again and seeking costs about as much as decoding this many frames.
_FRAMES_WORTH_A_SEEK = 32


class VideoError(InputError):
    """A video file that cannot be read; the message names the file and says why."""


@dataclass(frozen=True)
class VideoInfo:
    """What `probe_video` found.

    Attributes:
        num_frames: Frames that the file shows.
        fps: Average rate, frames per second.
        pts: Presentation time of each frame in units of the stream, increasing; None where the file does not
            give usable times, so that frames can only be counted from the start.
        keyframes: (number of the frame, time to seek to), by number; empty where pts is None.
    """

    num_frames: int
    fps: float
    pts: tuple[int, ...] | None
    keyframes: tuple[tuple[int, int], ...]


def probe_video(path: str | Path) -> VideoInfo:
    """Number the frames of a video without decoding it, where its container gives their times.

    Args:
        path: Any file that PyAV opens and that has a video stream; cover pictures do not count as one.

    Raises:
        VideoError: If the file is missing, empty, no video, without frames, or shorter than it says it is.
    """
    with _open(path) as (container, stream):
        # An empty packet ends the stream; discarded ones are decoded but, by an edit list, not shown.
        shown = [packet for packet in container.demux(stream) if packet.size and not packet.is_discard]
        _check_length(path, container, stream, shown)
        pts = sorted(packet.pts for packet in shown if packet.pts is not None)
        if len(pts) == len(shown) and _times_are_usable(container, stream, shown, pts):
            keyframes = _keyframes(shown, pts)
        else:
            pts, keyframes = None, ()
        num_frames = len(shown)
        fps = _frames_per_second(stream, pts)
    if pts is None:
        num_frames = _count_by_decoding(path)
    if num_frames == 0:
        raise VideoError(f"{path} holds no video frames.")
    return VideoInfo(num_frames, fps, None if pts is None else tuple(pts), keyframes)


def read_frames(
    path: str | Path, frame_indices: Sequence[int], info: VideoInfo | None = None
) -> torch.Tensor:
    """Decode the frames asked for, each distinct one once.

    Args:
        path: The video file.
        frame_indices: Frame numbers in [0, info.num_frames), in any order, repeats allowed.
        info: What probe_video(path) returned; probed here if not given.

    Returns:
        Shape (n, H, W, 3), uint8, RGB, in the order of frame_indices. Decoding never holds more than the
        distinct frames, on one thread.

    Raises:
        InputError: If frame_indices is empty or names a frame that the video does not have.
        VideoError: If the file cannot be read, or gives fewer frames than it lists.
    """
    info = info or probe_video(path)
    indices = [int(index) for index in frame_indices]
    wanted = sorted(set(indices))
    if not wanted:
        raise InputError(f"frame_indices for {path} is empty.")
    for index in (wanted[0], wanted[-1]):
        if not 0 <= index < info.num_frames:
            raise InputError(f"frame_indices has {index}, but {path} has frames 0 to {info.num_frames - 1}.")
    slots = {number: slot for slot, number in enumerate(wanted)}
    frames, missing = None, set(wanted)
    # One converter for all frames: `frame.to_ndarray("rgb24")` sets up one, with its threads, for each.
    converter = VideoReformatter()
    for number, frame in _decode(path, wanted, info):
        rgb = torch.from_numpy(converter.reformat(frame, format="rgb24", threads=1).to_ndarray())
        if frames is None:
            frames = torch.empty((len(wanted), *rgb.shape), dtype=torch.uint8)
        if rgb.shape != frames.shape[1:]:
            raise VideoError(
                f"{path} changes its picture size at frame {number}: {tuple(rgb.shape[:2])} after "
                f"{tuple(frames.shape[1:3])} (height, width)."
            )
        frames[slots[number]] = rgb
        missing.discard(number)
    if missing:
        raise VideoError(
            f"{path} is truncated or damaged: {info.num_frames} frames are listed in it, but frame "
            f"{min(missing)} cannot be decoded."
        )
    return frames if indices == wanted else frames[[slots[index] for index in indices]]


@contextmanager
def _open(path: str | Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """Open a file and its video stream; whatever FFmpeg objects to, then or later, becomes a VideoError."""
    if not Path(path).is_file():
        raise VideoError(f"{path} does not exist or is not a file.")
    if Path(path).stat().st_size == 0:
        raise VideoError(f"{path} is empty (0 bytes).")
    try:
        # "file:" so that a colon in the name is not taken for a protocol; tags may be in any encoding.
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
            if not streams:
                raise VideoError(f"{path} has no video stream.")
            if streams[0].codec_context is None:
                raise VideoError(f"{path} is in a video format that this FFmpeg has no decoder for.")
            streams[0].codec_context.thread_count = 1
            yield container, streams[0]
    except av.FFmpegError as error:
        raise VideoError(f"{path} cannot be decoded as a video: {error.strerror}.") from error


def _check_length(
    path: str | Path,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    packets: list[av.Packet],
) -> None:
    """Refuse a file whose packets end well before the length that it states, or in the middle of one."""
    if not packets or not _FORMATS_WITH_LENGTH.intersection(container.format.name.split(",")):
        return
    if packets[-1].is_corrupt:
        raise VideoError(f"{path} is truncated: its last packet is incomplete.")
    stated = None
    if stream.duration is not None:
        stated = float(stream.duration * stream.time_base)
    elif container.duration is not None and len(container.streams) == 1:
        # The container's length is that of its longest stream, so it speaks of the video only when alone.
        stated = container.duration / av.time_base
    times = [packet.pts for packet in packets if packet.pts is not None]
    if stated is None or not times:
        return
    found = float((max(times) + (packets[-1].duration or 0) - min(times)) * stream.time_base)
    if found < stated - _LENGTH_TOLERANCE:
        raise VideoError(f"{path} is truncated: it states {stated:.2f} s of video and holds {found:.2f} s.")


def _times_are_usable(
    container: av.container.InputContainer, stream: av.VideoStream, packets: list[av.Packet], pts: list[int]
) -> bool:
    """Whether sorting the packets by pts puts the frames in the order in which they are shown."""
    if any(before == after for before, after in pairwise(pts)):
        return False
    # AVI stores no pts. FFmpeg then gives H.264 packets the order in which they are decoded, which is wrong
    # as soon as there are B-frames.
    in_decoding_order = all(before.pts < after.pts for before, after in pairwise(packets))
    return not (container.format.name == "avi" and stream.codec_context.has_b_frames and in_decoding_order)


def _keyframes(packets: list[av.Packet], pts: list[int]) -> tuple[tuple[int, int], ...]:
    """Number of each keyframe with a time that seeks to it or earlier: containers index by pts or by dts."""
    found = []
    for packet in packets:
        if packet.is_keyframe:
            seek_to = packet.pts if packet.dts is None else min(packet.pts, packet.dts)
            found.append((bisect_left(pts, packet.pts), seek_to))
    # Where no packet is marked as a keyframe, decoding can only begin at the start.
    return tuple(sorted(found)) or tuple((0, time) for time in pts[:1])


def _frames_per_second(stream: av.VideoStream, pts: list[int] | None) -> float:
    """Average rate as the container has it, else from the times of the frames."""
    if stream.average_rate:
        return float(stream.average_rate)
    if pts and len(pts) > 1:
        return float((len(pts) - 1) / ((pts[-1] - pts[0]) * stream.time_base))
    # A single picture has no rate; any will do, since every clip of it is that picture.
    return float(stream.guessed_rate or 1)


def _count_by_decoding(path: str | Path) -> int:
    with _open(path) as (container, stream):
        return sum(1 for _ in container.decode(stream))


def _decode(path: str | Path, wanted: list[int], info: VideoInfo) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield (number, frame) of the wanted frames, seeking over stretches where none is wanted."""
    if info.pts is None:
        yield from _decode_by_count(path, wanted)
        return
    run = []
    for number in wanted:
        if run and _keyframe_before(number, info)[0] > run[-1] + _FRAMES_WORTH_A_SEEK:
            yield from _decode_run(path, run, info)
            run = []
        run.append(number)
    yield from _decode_run(path, run, info)


def _decode_by_count(path: str | Path, wanted: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decode from the start of the file and count."""
    with _open(path) as (container, stream):
        for number, frame in enumerate(container.decode(stream)):
            if wanted[bisect_left(wanted, number)] == number:
                yield number, frame
            if number == wanted[-1]:
                return


def _decode_run(path: str | Path, run: list[int], info: VideoInfo) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decode from the keyframe before the run; what that does not give, from the start of the file."""
    missing = set(run)
    with _open(path) as (container, stream):
        packets = _seek_before(container, stream, run[0], info)
        if packets is not None:
            for number, frame in _decode_packets(packets, run, info):
                missing.discard(number)
                yield number, frame
    # With intra refresh a "keyframe" begins a gradual repair, during which the decoder withholds the frames.
    if missing:
        with _open(path) as (container, stream):
            yield from _decode_packets(container.demux(stream), sorted(missing), info)


def _decode_packets(
    packets: Iterable[av.Packet], run: list[int], info: VideoInfo
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield the run's frames by their presentation times, and stop after the last."""
    numbers = {info.pts[number]: number for number in run}
    last = info.pts[run[-1]]
    for frame in chain.from_iterable(packet.decode() for packet in packets):
        if frame.pts in numbers:
            yield numbers[frame.pts], frame
        if frame.pts is not None and frame.pts >= last:
            return


def _seek_before(
    container: av.container.InputContainer, stream: av.VideoStream, number: int, info: VideoInfo
) -> Iterable[av.Packet] | None:
    """Packets from a keyframe shown no later than frame `number`; None if no seek leads to one."""
    _, seek_to = _keyframe_before(number, info)
    try:
        container.seek(seek_to, stream=stream)
    except av.FFmpegError:
        return None
    packets = container.demux(stream)
    first = next(packets)
    if not first.is_keyframe or first.pts is None or first.pts > info.pts[number]:
        return None
    return chain([first], packets)


def _keyframe_before(number: int, info: VideoInfo) -> tuple[int, int]:
    """The last keyframe shown no later than frame `number`, or the first one of the file."""
    # One shown later will not do, even if it is decoded earlier: with an open GOP the frames shown before it
    # need pictures from before it.
    return info.keyframes[max(bisect_right(info.keyframes, number, key=lambda keyframe: keyframe[0]) - 1, 0)]
