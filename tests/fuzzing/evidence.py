"""What a damaged file itself betrays, by PyAV alone: no more can be asked of a program that reads it."""

import struct
from pathlib import Path

import av
import numpy as np

from fuzzing.kinds import Kind

# Signs that are there without decoding.
OF_PACKETS = frozenset({"error", "hole", "length"})
# File properties of ASF (wmv), and where in them the length is, in units of 100 ns, and the delay in it, ms.
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_LENGTH, _ASF_DELAY, _ASF_HEADER = 64, 80, 500
# Steps between frames longer than this many usual ones are holes.
_HOLE = 2.5
# Part of the stated length that may be missing, and seconds besides.
_SHORT, _ROUNDING = 0.15, 0.1


def find_evidence(path: Path, kind: Kind) -> frozenset[str]:
    """Signs of damage.

    Args:
        path: A file that opens.
        kind: Of the undamaged file: where its rate varies, a long step is no hole.

    Returns:
        "error": the container objects; "flag": the decoder flags or refuses a frame, or a packet is
        incomplete; "hole": frames are missing by the time stamps; "length": it is shorter than it states.
    """
    signs = set()
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            stream.codec_context.options = {"err_detect": "crccheck+bitstream+buffer"}
            times = _decode(container, stream, signs)
            stated = _stated_seconds(container, stream) or _stated_by_asf(path)
            times = np.sort(np.array(times, float)) * float(stream.time_base)
    except Exception:
        # PyAV raises more than its own errors where a file is damaged; whatever it is, it is a sign.
        return frozenset(signs | {"error"})
    steps = np.diff(times)
    # FFmpeg guesses the times in MPEG-PS, and gives some frames of undamaged files the same ones.
    usable = len(steps) and not kind.varied and steps.min() > 0
    if usable and steps.max() > _HOLE * np.median(steps):
        signs.add("hole")
    length = times[-1] - times[0] if len(times) else 0.0
    if stated is not None and length < stated * (1 - _SHORT) - _ROUNDING:
        signs.add("length")
    return frozenset(signs)


def _decode(container: av.container.InputContainer, stream: av.VideoStream, signs: set[str]) -> list[int]:
    """Decode everything; the times of all packets that have one."""
    times = []
    try:
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None:
                times.append(packet.pts)
            try:
                flagged = any(frame.is_corrupt for frame in stream.decode(packet))
            except av.FFmpegError:
                flagged = True
            if flagged or packet.is_corrupt:
                signs.add("flag")
    except Exception:
        signs.add("error")
    return times


def _stated_seconds(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    """Length of the video in the words of the file."""
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / av.time_base
    return None


def _stated_by_asf(path: Path) -> float | None:
    """Length in the header of an ASF file, which FFmpeg does not tell of one that is cut."""
    data = path.read_bytes()
    start = data.find(_ASF_PROPERTIES, 0, _ASF_HEADER)
    if start < 0 or len(data) < start + _ASF_DELAY + 8:
        return None
    (length,) = struct.unpack_from("<Q", data, start + _ASF_LENGTH)
    (delay,) = struct.unpack_from("<Q", data, start + _ASF_DELAY)
    return length / 1e7 - delay / 1e3
