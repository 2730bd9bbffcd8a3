"""Small video files in which every frame carries its own number, so that a test can see which frames it got.

The number is painted as 4 x 4 black and white squares in the middle of the picture: 15 bits and one that
makes the count of white squares odd. The squares survive compression, scaling and centre crops.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

_CELLS = 4
# Side of the painted area as a part of the picture's short side.
_PAINTED = 0.75


def make_video(
    path: Path,
    num_frames: int,
    *,
    fps: Fraction | int = 30,
    size: tuple[int, int] = (96, 64),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    with_audio: bool = False,
    times: Sequence[int] | None = None,
    rotation: int = 0,
    pixel_aspect: Fraction | int = 1,
    picture: Callable[[int, tuple[int, int]], np.ndarray] | None = None,
) -> Path:
    """Write frames numbered 0 to num_frames - 1; the same arguments give the same pictures every time.

    Args:
        size: Width and height of the upright picture, pixels.
        options: For the encoder; keyframes come every 12 frames and libx264 uses two B-frames unless it says
            otherwise.
        container_options: For the muxer, such as {"live": "1"} for a Matroska file that states no duration.
        with_audio: Add a silent sound track, four seconds longer than the pictures.
        times: When each frame is shown, in milliseconds; evenly at fps if not given.
        rotation: Write pictures lying on their side, and a tag that asks for this turn, degrees clockwise.
        pixel_aspect: Width of a pixel over its height, as stored.
        picture: What gives each picture instead of `paint`, from the same arguments.
    """
    encoder = {"g": "12", "threads": "1"}
    if codec == "libx264":
        encoder |= {"bf": "2", "b_strategy": "0", "sc_threshold": "0", "crf": "18"}
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=Fraction(fps), options=encoder | (options or {}))
        stream.width, stream.height = size if rotation % 180 == 0 else size[::-1]
        stream.pix_fmt = pix_fmt
        stream.codec_context.sample_aspect_ratio = Fraction(pixel_aspect)
        if rotation:
            stream.set_display_rotation(-rotation)  # counter-clockwise
        unit = 1 / Fraction(fps) if times is None else Fraction(1, 1000)
        stream.codec_context.time_base = unit
        audio = container.add_stream("aac", rate=8000) if with_audio else None
        for number in range(num_frames):
            upright = (picture or paint)(number, size)
            turned = np.ascontiguousarray(np.rot90(upright, rotation // 90))
            frame = av.VideoFrame.from_ndarray(turned, format="rgb24")
            frame.pts, frame.time_base = number if times is None else times[number], unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if audio:
            _write_silence(container, audio, seconds=num_frames / float(fps) + 4)
    return path


def overwrite_packets(path, broken):
    """Fill the packets with these positions in the file with zeros."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for index, packet in enumerate(container.demux(video=0)):
            if index in broken:
                start = data.index(bytes(packet))
                data[start : start + packet.size] = bytes(packet.size)
    path.write_bytes(data)


def make_audio(path: Path, *, with_cover: bool = False) -> Path:
    """Write a file with a sound track and no pictures, but for a cover if asked for."""
    with av.open(str(path), "w") as container:
        audio = container.add_stream("aac", rate=8000)
        if with_cover:
            cover = container.add_stream("mjpeg", rate=1)
            cover.width, cover.height, cover.pix_fmt = 96, 64, "yuvj420p"
            cover.disposition = Disposition.attached_pic
            container.mux(cover.encode(av.VideoFrame.from_ndarray(paint(0, (96, 64)), format="rgb24")))
            container.mux(cover.encode())
        _write_silence(container, audio, seconds=1)
    return path


def paint(number: int, size: tuple[int, int]) -> np.ndarray:
    """The picture of frame `number`, (height, width, 3) uint8: the squares on mid grey."""
    width, height = size
    picture = np.full((height, width, 3), 128, np.uint8)
    for bit, (rows, columns) in enumerate(_squares(height, width, min(size))):
        white = number >> bit & 1 if bit < 15 else number.bit_count() % 2 == 0
        picture[rows, columns] = 255 if white else 0
    return picture


def read_number(picture: np.ndarray, short_side: int | None = None) -> int:
    """Read the number of a frame back.

    Args:
        picture: (height, width, 3) RGB, 0 to 255: a whole frame or a centre crop of one.
        short_side: Short side that the whole frame has at the scale of `picture`; needed for a crop.

    Raises:
        ValueError: If the squares cannot be told apart or their count is even: no painted frame.
    """
    height, width = picture.shape[:2]
    number = white = 0
    for bit, (rows, columns) in enumerate(
        _squares(height, width, short_side or min(height, width), inset=0.25)
    ):
        brightness = float(picture[rows, columns].mean())
        if 85 < brightness < 170:
            raise ValueError(f"square {bit} has brightness {brightness:.0f}, neither black nor white")
        white += brightness > 128
        if bit < 15:
            number |= (brightness > 128) << bit
    if white % 2 == 0:
        raise ValueError(f"{white} white squares, an even number: this is no painted frame")
    return number


def read_numbers(pictures: np.ndarray, short_side: int | None = None) -> list[int]:
    """read_number of each picture, (frames, height, width, 3)."""
    return [read_number(np.asarray(picture), short_side) for picture in pictures]


def _squares(height: int, width: int, short_side: int, inset: float = 0.0) -> list[tuple[slice, slice]]:
    """Rows and columns of each square, `inset` of its side left out all round."""
    cell = _PAINTED * short_side / _CELLS
    top, left = (height - _CELLS * cell) / 2, (width - _CELLS * cell) / 2

    def part(start: float, index: int) -> slice:
        return slice(round(start + (index + inset) * cell), round(start + (index + 1 - inset) * cell))

    return [(part(top, row), part(left, column)) for row in range(_CELLS) for column in range(_CELLS)]


def _write_silence(container: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    for start in range(0, int(seconds * 8000), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 8000, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
