"""A video that is read once, in order, while it comes: a pipe, a camera, a stream of the network, or a file.

Nothing is sought, and what is kept does not grow with the video. Frames are read in a thread of their own, so
that whoever waits for one can be interrupted.
"""

import os
import queue
import re
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from typing import Any

import av
import torch

from slowfast_ext.video.clock import LiveClock
from slowfast_ext.video.convert import Converter
from slowfast_ext.video.missing import (
    clause_of_backward,
    clause_of_incomplete,
    clause_of_jumps,
    clause_of_length,
    clauses_of_counts,
)
from slowfast_ext.video.opening import (
    SAFE_OPTIONS,
    Damage,
    VideoError,
    decode_packet,
    find_video_stream,
    packets_of,
    prepare_decoder,
)
from slowfast_ext.video.probing import PictureShape, shape_of
from slowfast_ext.video.walk import StatedLength, stated_length

STANDARD_INPUT = "-"
# Containers may count time in milliseconds, so a frame may seem to come this much too early, seconds.
ROUNDING = 0.002
# What a stream of the network may lead to: not to files of this machine.
_NETWORK = "http,https,httpproxy,tcp,tls,udp,udplite,rtp,srtp,rtsp,rtmp,rtmps,rtmpt,srt,hls,crypto,data"
_NETWORK_FORMATS = "rtsp,rtp,sdp,hls,rtp_mpegts,mpjpeg"
# A server that says nothing for so long, in seconds, is not waited for.
_SECONDS_TO_OPEN = 30.0
# Frames that are read before they are asked for.
_AHEAD = 4
_END = object()


@dataclass(frozen=True)
class LiveFrame:
    """One frame.

    Attributes:
        number: From 0.
        seconds: Since the first frame; never less than before.
        picture: (H, W, 3) uint8, RGB; None of a frame that is not looked at.
    """

    number: int
    seconds: float
    picture: torch.Tensor | None


@dataclass
class _Seen:
    """What is noted of the packets and frames on the way."""

    frames: int = 0
    rejected: int = 0
    marked: int = 0
    incomplete: int = 0
    backward: int = 0
    jumps: int = 0
    first: float | None = None
    end: float = 0.0
    end_of_all: float = 0.0
    clauses: list[str] = field(default_factory=list)


class LiveVideo:
    """Frames of one source, once.

    Args:
        source: A file, a FIFO, `-` for standard input, a URL, or the name of a device.
        kind: FFmpeg's name of its format; needed for devices, such as "v4l2".

    Attributes:
        shape: Of the pictures; known when the first frame has come.
    """

    shape: PictureShape

    def __init__(self, source: str, kind: str | None = None) -> None:
        self.source, self._kind = source, kind
        self._seen, self._damage, self._length = _Seen(), Damage(), ""

    def __str__(self) -> str:
        """What a message calls it."""
        return "standard input" if self.source == STANDARD_INPUT else self.source

    @property
    def missing(self) -> str:
        """What was found missing or damaged so far, in words; empty if nothing."""
        seen = self._seen
        clauses = [*seen.clauses, self._length]
        clauses += [clause_of_incomplete(seen.incomplete)] if seen.incomplete else []
        clauses += [clause_of_backward(seen.backward)] if seen.backward else []
        clauses += [clause_of_jumps(seen.jumps)] if seen.jumps else []
        clauses += clauses_of_counts(self._damage.places, seen.rejected, seen.marked)
        return "; ".join(filter(None, clauses))

    def frames(self, rate: float) -> Iterator[LiveFrame]:
        """Every frame as it comes; `rate` of them a second have a picture, all if there are fewer.

        Raises:
            VideoError: If the source cannot be opened, or no frame of it can be decoded.
        """
        waiting: queue.Queue = queue.Queue(_AHEAD)
        left = threading.Event()

        def hand_over(item: Any) -> bool:
            while not left.is_set():
                try:
                    waiting.put(item, timeout=0.2)
                    return True
                except queue.Full:
                    pass
            return False

        def read() -> None:
            try:
                for frame in self._read(rate):
                    if not hand_over(frame):
                        return
                hand_over(_END)
            except BaseException as error:  # goes on where frames are asked for
                hand_over(error)

        # A daemon: it may wait for ever for a frame that does not come.
        threading.Thread(target=read, name="live", daemon=True).start()
        try:
            while (item := waiting.get()) is not _END:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            left.set()

    def _read(self, rate: float) -> Iterator[LiveFrame]:
        seen, convert, looks, clock = self._seen, None, 0, None
        with self._opened() as (container, stream):
            stated = stated_length(container, stream)
            clock = LiveClock(stream)
            for packet in packets_of(container, None, self._damage):
                if packet is not None:
                    self._note(packet, stream)
                    if packet.stream_index != stream.index:
                        continue
                for frame in decode_packet(stream, packet, self._damage):
                    if convert is None:
                        self.shape, clause = shape_of(str(self), frame, stream)
                        seen.clauses.append(clause)
                        convert = Converter(self.shape)
                    seconds = clock.seconds(frame)
                    due = int((seconds + ROUNDING) * rate) + 1
                    picture = convert(frame) if due > looks else None
                    looks = due if picture is not None else looks
                    yield LiveFrame(seen.frames, seconds, picture)
                    seen.frames += 1
                seen.backward, seen.jumps = clock.backward, clock.jumps
                self._count_damage()
            self._length = self._missing_length(container, stated)
        if convert is None:
            raise VideoError(
                f"No frame of {self} can be decoded. An MP4 whose index comes last must be a file."
            )

    def _count_damage(self) -> None:
        """Keep numbers only: of a stream without an end the lists would grow."""
        damage, seen = self._damage, self._seen
        seen.rejected += len(damage.rejected)
        seen.marked += len(damage.marked)
        damage.rejected.clear()
        damage.marked.clear()

    def _note(self, packet: av.Packet, stream: av.VideoStream) -> None:
        seen, of_video = self._seen, packet.stream_index == stream.index
        seen.incomplete += packet.is_corrupt and of_video
        if packet.pts is None or not packet.time_base:
            return
        begin = float(packet.pts * packet.time_base)
        end = begin + float((packet.duration or 0) * packet.time_base)
        seen.end_of_all = max(seen.end_of_all, end)
        if of_video:
            seen.first = begin if seen.first is None else min(seen.first, begin)
            seen.end = max(seen.end, end)

    def _missing_length(self, container: av.container.InputContainer, stated: StatedLength | None) -> str:
        seen = self._seen
        if seen.first is None:
            return ""
        return clause_of_length(container, stated, seen.first, seen.end, seen.end_of_all)

    @contextmanager
    def _opened(self) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
        try:
            what, options = self._for_av()
            timeout = (_SECONDS_TO_OPEN, None) if isinstance(what, str) else None
            container = av.open(
                what, format=self._kind, options=options, timeout=timeout, metadata_errors="replace"
            )
        except VideoError:
            raise
        except (av.ArgumentError, av.error.InvalidDataError) as error:
            raise VideoError(
                f"{self} is no video that can be read in order: it is empty, its beginning is damaged, or "
                "it is an MP4 whose index comes last, which must be a file."
            ) from error
        except (OSError, av.FFmpegError) as error:
            raise VideoError(f"{self} cannot be opened: {error.strerror}.") from error
        except Exception as error:  # an unknown format, for one
            raise VideoError(f"{self} cannot be opened: {error}.") from error
        with container:
            stream = find_video_stream(container)
            if stream is None:
                raise VideoError(f"{self} has no video stream.")
            prepare_decoder(self, stream)
            yield container, stream

    def _for_av(self) -> tuple[str | FileIO, dict[str, str]]:
        """What av.open takes, and options: a file is data and leads nowhere, other sources were typed."""
        pixels = {"max_pixels": SAFE_OPTIONS["max_pixels"]}
        if self.source == STANDARD_INPUT:
            return _Bytes(FileIO(0, closefd=False)), SAFE_OPTIONS
        if re.match(r"[a-z][a-z0-9+.-]*://", self.source):
            formats = f"{SAFE_OPTIONS['format_whitelist']},{_NETWORK_FORMATS}"
            return self.source, {**pixels, "protocol_whitelist": _NETWORK, "format_whitelist": formats}
        try:
            mode = os.stat(self.source).st_mode
        except OSError as error:
            if self._kind is None:
                raise VideoError(f"{self} cannot be opened: {error.strerror}.") from error
            return self.source, pixels  # a device without a file, as the screen
        if stat.S_ISREG(mode):
            return f"file:{self.source}", SAFE_OPTIONS
        if stat.S_ISFIFO(mode):
            return _Bytes(FileIO(self.source)), SAFE_OPTIONS
        if self._kind is None or stat.S_ISDIR(mode):
            raise VideoError(
                f"{self} is no file and no pipe: name the kind of a device, such as --format v4l2."
            )
        return self.source, pixels


class _Bytes:
    """Bytes that cannot be sought, whatever they come from."""

    def __init__(self, file: FileIO) -> None:
        self._file = file

    def read(self, count: int) -> bytes:
        """What is there, at most `count`; waits for some."""
        return self._file.read(count)
