"""What can be learnt of a video file without decoding it: its frames, when each is shown, what is missing.

Containers state frame counts, durations and rates that are often missing or wrong, so frames are numbered by
walking the packets: frame n is the n-th that a player shows, from 0. Only the first frame is decoded, to see
that one can be and which way up it is.

Legend: V frames of the video.
"""

import re
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.stream import Disposition

from vtn.errors import InputError

# Formats that state how long the video is, so that a file which was cut short can be told from a short video.
_FORMATS_WITH_LENGTH = {"mp4", "avi", "matroska"}
# What the stated length may exceed the packets by, in seconds: rounding, and the delay of B-frames.
_LENGTH_TOLERANCE = 0.5
# The same for short videos, as a part of the stated length, and the least that it comes to.
_LENGTH_TOLERANCE_PART, _LEAST_LENGTH_TOLERANCE = 0.05, 0.1
# A stated rate is believed if it is this close to the measured one.
_RATE_TOLERANCE = 0.01
# Part of the time between frames by which each may miss its even place before the rate counts as variable.
_EVEN_TOLERANCE = 0.25


class VideoError(InputError):
    """A video file that cannot be read; the message names the file and says why."""


@dataclass(frozen=True, eq=False)
class VideoInfo:
    """What `probe_video` found.

    Attributes:
        num_frames: Frames that the file shows, V.
        fps: Average rate, frames per second.
        height: Of a picture the right way up, pixels.
        width: Of a picture the right way up, pixels.
        pixel_aspect: Width of a pixel over its height, the right way up; 1.0 where the file does not say.
        rotation: Degrees by which decoded pictures are turned clockwise to be the right way up: 0, 90, 180
            or 270. Mirroring is not undone.
        pts: Shape (V,), int64: presentation time of each frame in units of time_base, increasing. None where
            the file does not give usable times, so that frames can only be counted from the start.
        keyframes: Shape (number of keyframes, 2), int64: (number of the frame, time to seek to), by number;
            no rows where pts is None.
        time_base: Seconds per unit of pts.
        missing: A clause on what the file lacks, as "it states 10.00 s of video and holds 6.80 s"; empty if
            nothing.
    """

    num_frames: int
    fps: float
    height: int
    width: int
    pixel_aspect: float
    rotation: int
    pts: np.ndarray | None
    keyframes: np.ndarray
    time_base: Fraction
    missing: str

    def shown_at(self, numbers: torch.Tensor) -> torch.Tensor:
        """Turn frame numbers that were chosen as if frames were evenly spaced into those that are shown then.

        Number k stands for the time k / fps after the first frame, so that the first number is the first
        frame and the last number the last. At a constant rate, which rounding by the container does not make
        variable, that is frame k itself.

            pts 0, 100, 110, 120 (ms), fps 25:  [0, 1, 2, 3]  ->  [0, 0, 0, 3]

        Args:
            numbers: int64, in [0, V), any shape.

        Returns:
            Same shape, int64, in [0, V).
        """
        if self.pts is None or self.num_frames < 2:
            return numbers
        times = self.pts - self.pts[0]
        interval = times[-1] / (self.num_frames - 1)
        even = np.arange(self.num_frames) * interval
        # One unit at least: a container may count in units that are not much shorter than a frame.
        if np.abs(times - even).max() <= max(_EVEN_TOLERANCE * interval, 1):
            return numbers
        # Rounding must not put a frame after the very time that stands for it.
        on_screen = np.searchsorted(times, even + 1, side="right") - 1
        return torch.from_numpy(on_screen)[numbers]


def probe_video(path: str | Path) -> VideoInfo:
    """Number the frames of a video without decoding them, where its container gives their times.

    Args:
        path: Any file that PyAV opens and that has a video stream; cover pictures do not count as one. Of
            several streams the one that is marked as the default is taken, else the first.

    Raises:
        VideoError: If the file is missing, empty or no video, or no frame of it can be decoded. A file that
            is cut short or damaged is not refused: see VideoInfo.missing.
    """
    with open_video(path) as (container, stream):
        packets = _walk(container, stream)
        if packets.first is None:
            raise VideoError(f"No frame of {path} can be decoded.")
        pts, keyframes = _number_frames(container, stream, packets)
        missing = _missing(container, stream, packets)
        fps = _frames_per_second(stream, pts)
        # PyAV gives the angle that the file states, counter-clockwise, from -180 to 180.
        rotation = round(-packets.first.rotation / 90) % 4 * 90
        height, width = packets.first.height, packets.first.width
        pixel_aspect = float(stream.sample_aspect_ratio or 1)
        time_base = stream.time_base
    if rotation in (90, 270):
        height, width, pixel_aspect = width, height, 1 / pixel_aspect
    num_frames = count_frames(path) if pts is None else len(pts)
    return VideoInfo(
        num_frames, fps, height, width, pixel_aspect, rotation, pts, keyframes, time_base, missing
    )


@contextmanager
def open_video(path: str | Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """Open a file and its video stream, to be decoded on one thread.

    Raises:
        VideoError: If there is no video in it, and for whatever FFmpeg objects to, then or later.
    """
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
            # Sorting keeps the order of the file among those that are equally marked.
            stream = sorted(streams, key=lambda s: not s.disposition & Disposition.default)[0]
            if stream.codec_context is None:
                raise VideoError(f"{path} is in a video format that this FFmpeg has no decoder for.")
            stream.codec_context.thread_count = 1
            yield container, stream
    except av.FFmpegError as error:
        raise VideoError(f"{path} cannot be decoded as a video: {error.strerror}.") from error


def packets_of(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet | None]:
    """Packets of the stream, as far as the container is whole, then None: the decoder gives what it kept."""
    with suppress(av.InvalidDataError):
        yield from (packet for packet in container.demux(stream) if packet.size)
    yield None


def decode_packet(stream: av.VideoStream, packet: av.Packet | None) -> list[av.VideoFrame]:
    """Frames that the decoder gives out on being fed a packet; none for a packet that it rejects."""
    try:
        return stream.decode(packet)
    except av.FFmpegError:
        return []


def count_frames(path: str | Path) -> int:
    """Count the frames of a video by decoding all of it."""
    with open_video(path) as (container, stream):
        return sum(len(decode_packet(stream, packet)) for packet in packets_of(container, stream))


class _Packets:
    """Numbers of the packets that are shown, in decoding order: the packets themselves hold the whole file.

    Attributes:
        pts: Presentation times; of those packets that have one.
        seek_to: For each of these a time that seeks to it or earlier: containers index by pts or by dts.
        is_key: For each of these whether decoding can begin there.
        without_pts: How many packets have no presentation time.
        num_corrupt: How many packets are incomplete; they are not among the others.
        last_duration: Of the last packet, in units of the stream.
        first: The first frame that can be decoded, or None.
    """

    def __init__(self) -> None:
        self.pts, self.seek_to, self.is_key = array("q"), array("q"), array("b")
        self.without_pts = self.num_corrupt = self.last_duration = 0
        self.first: av.VideoFrame | None = None

    def add(self, packet: av.Packet) -> None:
        """Note one packet that is shown."""
        self.last_duration = packet.duration or 0
        if packet.is_corrupt:
            self.num_corrupt += 1
        elif packet.pts is None:
            self.without_pts += 1
        else:
            self.pts.append(packet.pts)
            self.seek_to.append(packet.pts if packet.dts is None else min(packet.pts, packet.dts))
            self.is_key.append(packet.is_keyframe)


def _walk(container: av.container.InputContainer, stream: av.VideoStream) -> _Packets:
    """Go through the file once; decode until there is a frame."""
    packets = _Packets()
    for packet in packets_of(container, stream):
        if packets.first is None:
            packets.first = next(iter(decode_packet(stream, packet)), None)
        # Discarded ones are decoded but, by an edit list, not shown.
        if packet is not None and not packet.is_discard:
            packets.add(packet)
    return packets


def _number_frames(
    container: av.container.InputContainer, stream: av.VideoStream, packets: _Packets
) -> tuple[np.ndarray | None, np.ndarray]:
    """VideoInfo.pts and VideoInfo.keyframes."""
    decoded = np.array(packets.pts, dtype=np.int64)
    pts = np.sort(decoded)
    # AVI stores no pts. FFmpeg then gives H.264 packets the order in which they are decoded, which is wrong
    # as soon as there are B-frames.
    wrong = container.format.name == "avi" and stream.codec_context.has_b_frames and (pts == decoded).all()
    if packets.without_pts or not len(pts) or wrong or (np.diff(pts) == 0).any():
        return None, np.empty((0, 2), dtype=np.int64)
    is_key = np.array(packets.is_key, dtype=bool)
    # Where no packet is marked as a keyframe, decoding can only begin at the start.
    is_key[0] |= not is_key.any()
    keyframes = np.stack(
        [np.searchsorted(pts, decoded[is_key]), np.array(packets.seek_to, dtype=np.int64)[is_key]], axis=1
    )
    return pts, keyframes[np.argsort(keyframes[:, 0], kind="stable")]


def _missing(container: av.container.InputContainer, stream: av.VideoStream, packets: _Packets) -> str:
    """VideoInfo.missing: whether the packets end well before the length that the file states."""
    clauses = []
    if packets.num_corrupt:
        clauses.append(
            f"{packets.num_corrupt} of its packets {'is' if packets.num_corrupt == 1 else 'are'} incomplete"
        )
    stated, since = None, min(packets.pts, default=0)
    tag = _seconds(stream.metadata.get("DURATION", ""))
    if stream.duration is not None:
        stated = float(stream.duration * stream.time_base)
    elif container.duration is not None and len(container.streams) == 1:
        # The container's length is that of its longest stream, so it speaks of the video only when alone.
        stated = container.duration / av.time_base
    elif tag is not None:
        stated = tag  # Matroska's, of this stream
    if stream.duration is None and "matroska" in container.format.name:
        since = 0  # it counts lengths from time 0, not from the first frame
    states_length = _FORMATS_WITH_LENGTH.intersection(container.format.name.split(","))
    if states_length and stated is not None and packets.pts:
        units = max(packets.pts) + packets.last_duration - since
        found = float(units * stream.time_base)
        tolerance = max(_LENGTH_TOLERANCE_PART * stated, _LEAST_LENGTH_TOLERANCE)
        if found < stated - min(_LENGTH_TOLERANCE, tolerance):
            clauses.append(f"it states {stated:.2f} s of video and holds {found:.2f} s")
    return "; ".join(clauses)


def _seconds(text: str) -> float | None:
    """Seconds of "00:00:02.005000000"."""
    found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", text)
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else None


def _frames_per_second(stream: av.VideoStream, pts: np.ndarray | None) -> float:
    """Average rate by the times of the frames, in the container's words where those say the same."""
    # A single picture has no rate; any will do, since every clip of it is that picture.
    stated = float(stream.average_rate or stream.guessed_rate or 1)
    if pts is None or len(pts) < 2:
        return stated
    measured = float((len(pts) - 1) / (int(pts[-1] - pts[0]) * stream.time_base))
    return stated if abs(stated - measured) <= _RATE_TOLERANCE * measured else measured
