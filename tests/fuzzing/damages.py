"""Thirteen kinds of damage to the bytes of a file.

Each takes the bytes, random numbers and the bytes of another file, and returns the damaged bytes. The order
of DAMAGES decides what a case number means: add at the end.
"""

import math
import random
from collections.abc import Callable

Damage = Callable[[bytes, random.Random, bytes], bytes]

_LARGEST_PART = 0.25
_MOST_BITS = 64
_HEADER = 512
# What breaks arithmetic: nothing, one, the largest and the smallest, round claims of millions.
_VALUES = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 30_000_000, 1_000_000_000)
# Where sizes and counts stand: names of boxes (mp4, mov), of chunks (avi), identifiers (Matroska), words of
# the header (flv, y4m), and start codes (MPEG).
_LANDMARKS = (
    *b"stsz stts stsc stco ctts stss pasp tkhd mdhd mvhd elst trun tfhd tfdt".split(),
    *b"avcC hvcC stsd trak moof colr icpf".split(),
    *b"avih strh strf idx1 movi LIST RIFF 00dc".split(),
    bytes.fromhex("1a45dfa3"),  # EBML
    bytes.fromhex("18538067"),  # Segment
    bytes.fromhex("1f43b675"),  # Cluster
    bytes.fromhex("1654ae6b"),  # Tracks
    bytes.fromhex("4489"),  # Duration
    bytes.fromhex("23e383"),  # DefaultDuration
    bytes.fromhex("2ad7b1"),  # TimestampScale
    bytes.fromhex("54b0"),  # DisplayWidth
    bytes.fromhex("b082"),  # PixelWidth, and its size
    *b"duration width framerate YUV4MPEG2 FRAME".split(),
    bytes.fromhex("000001b3"),  # sequence header
    bytes.fromhex("000001b5"),  # its extension
    bytes.fromhex("000001ba"),  # pack header
    bytes.fromhex("000001e0"),  # pictures
)


def _block(data: bytes, rng: random.Random) -> tuple[int, int]:
    """Beginning and end of a block, of 1 byte to a quarter of the file, on a logarithmic scale."""
    size = _size(data, rng)
    start = rng.randrange(max(1, len(data) - size + 1))
    return start, start + size


def _size(data: bytes, rng: random.Random) -> int:
    return max(1, int(math.exp(rng.uniform(0, math.log(max(2, len(data) * _LARGEST_PART))))))


def _cut_end(data: bytes, rng: random.Random, _: bytes) -> bytes:
    return data[: len(data) - _size(data, rng)]


def _cut_start(data: bytes, rng: random.Random, _: bytes) -> bytes:
    return data[_size(data, rng) :]


def _overwrite(data: bytes, rng: random.Random, _: bytes) -> bytes:
    start, end = _block(data, rng)
    return data[:start] + rng.randbytes(end - start) + data[end:]


def _zero(data: bytes, rng: random.Random, _: bytes) -> bytes:
    start, end = _block(data, rng)
    return data[:start] + bytes(end - start) + data[end:]


def _remove(data: bytes, rng: random.Random, _: bytes) -> bytes:
    start, end = _block(data, rng)
    return data[:start] + data[end:]


def _double(data: bytes, rng: random.Random, _: bytes) -> bytes:
    start, end = _block(data, rng)
    return data[:end] + data[start:]


def _swap(data: bytes, rng: random.Random, _: bytes) -> bytes:
    """Two blocks of one size, the first wholly before the second."""
    size = min(_size(data, rng), len(data) // 2)
    first = rng.randrange(len(data) - 2 * size + 1)
    second = rng.randrange(first + size, len(data) - size + 1)
    one, other = data[first : first + size], data[second : second + size]
    return data[:first] + other + data[first + size : second] + one + data[second + size :]


def _flip_bits(data: bytes, rng: random.Random, _: bytes) -> bytes:
    damaged = bytearray(data)
    for _flip in range(round(math.exp(rng.uniform(0, math.log(_MOST_BITS))))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _header_fields(data: bytes, rng: random.Random, _: bytes) -> bytes:
    """One to eight numbers in the first bytes, of one, two or four bytes each."""
    damaged = bytearray(data)
    for _field in range(rng.randint(1, 8)):
        _write_number(damaged, rng.randrange(min(_HEADER, len(data))), rng)
    return bytes(damaged)


def _huge(data: bytes, rng: random.Random, _: bytes) -> bytes:
    """Sizes and counts near one to three landmarks, wherever in the file they are."""
    places = [found for landmark in _LANDMARKS if (found := _places(data, landmark))]
    damaged = bytearray(data)
    for _field in range(rng.randint(1, 3)):
        place = rng.choice(rng.choice(places)) if places else rng.randrange(min(_HEADER, len(data)))
        # Mostly behind the name, at a whole number of words; the size of a box stands before its name.
        offset = rng.choice((-8, 0, 4, 8, 12, 16, rng.randint(-4, 24)))
        _write_number(damaged, max(0, place + offset), rng)
    return bytes(damaged)


def _places(data: bytes, landmark: bytes, most: int = 20) -> list[int]:
    """Where the bytes behind a landmark begin, so many times at most."""
    places, start = [], 0
    while len(places) < most and (found := data.find(landmark, start)) >= 0:
        start = found + len(landmark)
        places.append(start)
    return places


def _write_number(damaged: bytearray, place: int, rng: random.Random) -> None:
    """Put an awkward number at a place; the length stays."""
    width = rng.choice((1, 2, 4, 4))
    value = rng.choice(_VALUES) & (1 << 8 * width) - 1
    place = min(place, len(damaged) - width)
    damaged[place : place + width] = value.to_bytes(width, "big" if rng.random() < 0.7 else "little")


def _append(data: bytes, _: random.Random, other: bytes) -> bytes:
    return data + other


def _random_header(data: bytes, rng: random.Random, _: bytes) -> bytes:
    """Some of the bytes at the beginning, one or a few or nearly all."""
    damaged, size = bytearray(data), min(_size(data, rng) + 8, len(data))
    how_many = max(1, int(size * rng.choice((0.01, 0.05, 0.2, 0.8))))
    for place in rng.sample(range(size), how_many):
        damaged[place] ^= rng.randint(1, 255)
    return bytes(damaged)


def _several(data: bytes, rng: random.Random, other: bytes) -> bytes:
    for _step in range(rng.randint(2, 6)):
        data = rng.choice(_SMALL)(data, rng, other)
    return data


_SMALL = (_cut_end, _overwrite, _zero, _remove, _double, _swap, _flip_bits, _header_fields)
DAMAGES: dict[str, Damage] = {
    "cut end": _cut_end,
    "cut start": _cut_start,
    "overwrite": _overwrite,
    "zero": _zero,
    "remove": _remove,
    "double": _double,
    "swap": _swap,
    "flip bits": _flip_bits,
    "header fields": _header_fields,
    "huge numbers": _huge,
    "append": _append,
    "random header": _random_header,
    "several": _several,
}
