"""H.264 in field pictures, which no encoder at hand makes: each field of a frame is a picture and a packet.

Frames are painted as in videos.py, 96 x 64, and every pixel is stored as it is (macroblocks of the type
I_PCM), so that headers are all there is to write. Every tenth frame is a keyframe in one picture; the others
are two fields that nothing refers to. Clauses are those of the standard, ITU-T H.264.
"""

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from videos import paint

_SIZE = (96, 64)
_KEYFRAMES_EVERY = 10
_TIME_BASE, _TICKS = Fraction(1, 90000), 3600  # 25 frames a second


class _Bits:
    """A bit stream: `u` writes v in n bits, `ue` in Exp-Golomb code (9.1)."""

    def __init__(self) -> None:
        self._text = ""

    def u(self, *fields: tuple[int, int]) -> None:
        self._text += "".join(f"{value:0{count}b}" for count, value in fields)

    def ue(self, *values: int) -> None:
        for value in values:
            digits = f"{value + 1:b}"
            self._text += "0" * (len(digits) - 1) + digits

    def align(self) -> None:
        self._text += "0" * (-len(self._text) % 8)

    def unit(self, header: int) -> bytes:
        """End the unit, and put 3 wherever its bytes could be taken for the start of another (7.4.1)."""
        self._text += "1"
        self.align()
        payload = int(self._text, 2).to_bytes(len(self._text) // 8, "big")
        out, zeros = bytearray([0, 0, 0, 1, header]), 0
        for byte in payload:
            if zeros >= 2 and byte <= 3:
                out.append(3)
                zeros = 0
            out.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return bytes(out)


def _parameters() -> bytes:
    """Sequence (7.3.2.1) and picture parameters (7.3.2.2): main profile, 8-bit counters, fields allowed."""
    sequence, picture = _Bits(), _Bits()
    sequence.u((8, 77), (8, 0), (8, 30))
    sequence.ue(0, 4, 0, 4, 1)
    sequence.u((1, 0))
    sequence.ue(_SIZE[0] // 16 - 1, _SIZE[1] // 32 - 1)
    sequence.u((1, 0), (1, 0), (1, 1), (1, 0), (1, 0))
    picture.ue(0, 0)
    picture.u((1, 0), (1, 0))
    picture.ue(0, 0, 0)
    picture.u((1, 0), (2, 0))
    picture.ue(0, 0, 0)
    picture.u((1, 1), (1, 0), (1, 0))
    return sequence.unit(0x67) + picture.unit(0x68)


def _picture(planes: list[np.ndarray], order: int, field: int | None) -> bytes:
    """One slice (7.3.3): a keyframe, or the top (0) or bottom (1) field of a frame that nothing refers to."""
    is_key, bits = field is None, _Bits()
    bits.ue(0, 7, 0)
    bits.u((8, 0 if is_key else 1))  # frame_num
    bits.u((1, 0) if is_key else (2, 2 + field))
    if is_key:
        bits.ue(0)
    bits.u((8, order))
    if is_key:
        bits.u((2, 0))
    bits.ue(0, 1)
    height, width = planes[0].shape
    for top in range(0, height, 16):
        for left in range(0, width, 16):
            bits.ue(25)  # I_PCM
            bits.align()
            for plane, scale in zip(planes, (1, 2, 2), strict=True):
                rows = slice(top // scale, (top + 16) // scale)
                block = plane[rows, left // scale : (left + 16) // scale]
                bits.u(*((8, value) for value in block.flatten().tolist()))
    return bits.unit(0x65 if is_key else 0x01)


def _planes(number: int) -> list[np.ndarray]:
    """Brightness and both colours of a painted frame."""
    frame = av.VideoFrame.from_ndarray(paint(number, _SIZE), format="rgb24").reformat(format="yuv420p")
    width, height = _SIZE
    whole = frame.to_ndarray()
    colours = whole[height:].reshape(2, height // 2, width // 2)
    return [whole[:height], *colours]


def _frames(num_frames: int) -> Iterator[list[bytes]]:
    """The pictures of each frame: one, or two fields."""
    for number in range(num_frames):
        planes, place = _planes(number), number % _KEYFRAMES_EVERY
        if place == 0:
            yield [_parameters() + _picture(planes, 0, None)]
        else:
            yield [_picture([plane[f::2] for plane in planes], 2 * place + f, f) for f in (0, 1)]


def make_field_video(path: Path, num_frames: int) -> Path:
    """Write frames 0 to num_frames - 1, each field with a time of its own."""
    frames = list(_frames(num_frames))
    raw = io.BytesIO(b"".join(b"".join(fields) for fields in frames))
    with av.open(raw, format="h264") as template, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(template.streams.video[0])
        for number, fields in enumerate(frames):
            for place, data in enumerate(fields):
                packet = av.Packet(data)
                packet.stream, packet.time_base = stream, _TIME_BASE
                packet.pts = packet.dts = number * _TICKS + place * _TICKS // 2
                packet.is_keyframe = number % _KEYFRAMES_EVERY == 0
                container.mux(packet)
    return path
