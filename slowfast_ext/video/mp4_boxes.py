"""MP4 and QuickTime headers, checked before FFmpeg builds its tables from them.

A file of a few kilobytes can claim 30 million samples, for which FFmpeg takes a gigabyte and half a minute.
The file's own structure is read here (ISO/IEC 14496-12): boxes of a 4-byte size and a 4-byte name, some of
which hold others. Only the headers of boxes and the counts in sample tables are looked at.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

# Boxes on the way to the sample tables.
_PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}
# First boxes by which FFmpeg, too, knows such a file.
_FIRST = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"sidx", b"moof", b"udta"}
# Tables of entries: where the count stands behind the box's header, and bytes of each entry.
_TABLES = {
    b"stts": (4, 8),
    b"ctts": (4, 8),
    b"stsc": (4, 12),
    b"stco": (4, 4),
    b"co64": (4, 8),
    b"stss": (4, 4),
}
_MOST_BOXES = 10_000
# Claims up to this number cost little, so FFmpeg may make of them what it can; longer ones are not added up.
_HARMLESS = 1_000_000


@dataclass(frozen=True)
class _Box:
    """A box: its name, where its content begins and ends, and whether it is in no other."""

    name: bytes
    begin: int
    end: int
    is_outermost: bool


@dataclass(frozen=True)
class Mp4Boxes:
    """What the boxes of a file show.

    Attributes:
        problem: A clause on what the headers claim although the file is too small for it; empty if nothing.
            The rest then counts up to there.
        has_index: Whether there is a box moov, without which nothing can be found. Many files have it at
            their end.
        is_fragmented: Whether samples are in fragments, each of which has a time of its own.
        media_bytes: Bytes that are for samples: the content of the mdat boxes.
    """

    problem: str
    has_index: bool
    is_fragmented: bool
    media_bytes: int


def read_mp4_boxes(file: BinaryIO, size: int) -> Mp4Boxes | None:
    """Go once through the boxes of a file.

    Args:
        file: Any file, at its first byte.
        size: Bytes of the file.

    Returns:
        None if it is no MP4 or QuickTime file.
    """
    if file.read(8)[4:] not in _FIRST:
        return None
    names, media_bytes, problem = set(), 0, ""
    for box in _boxes(file, 0, size):
        problem = _problem_of(file, box, size)
        if problem:
            break
        if box.is_outermost:
            names.add(box.name)
            media_bytes += box.end - box.begin if box.name == b"mdat" else 0
    return Mp4Boxes(problem, b"moov" in names, b"moof" in names, media_bytes)


def _boxes(file: BinaryIO, begin: int, end: int, is_outermost: bool = True) -> Iterator[_Box]:
    """Boxes in [begin, end) and within their parents, outer ones first, as far as their sizes make sense."""
    for _ in range(_MOST_BOXES):
        if begin + 8 > end:
            return
        file.seek(begin)
        header = file.read(16)
        if len(header) < 8:
            return
        length, name = struct.unpack(">I4s", header[:8])
        content = begin + 8
        if length == 1 and len(header) == 16:
            length, content = struct.unpack(">Q", header[8:])[0], begin + 16
        elif length == 0:  # up to the end of what it is in
            length = end - begin
        if length < content - begin:
            return
        stop = min(begin + length, end)
        yield _Box(name, content, stop, is_outermost)
        if name in _PARENTS:
            yield from _boxes(file, content, stop, False)
        begin += length


def _problem_of(file: BinaryIO, box: _Box, file_size: int) -> str:
    """What a sample table claims that cannot be."""
    if box.name == b"stsz":
        file.seek(box.begin + 4)
        head = file.read(8)
        if len(head) < 8:
            return ""
        each, count = struct.unpack(">II", head)
        # With one size for all samples there is no table, and the count is believed.
        possible = file_size // each if each else (box.end - box.begin - 12) // 4
        return _claim(box, count, possible)
    if box.name not in _TABLES:
        return ""
    offset, entry = _TABLES[box.name]
    file.seek(box.begin + offset)
    head = file.read(4)
    if len(head) < 4:
        return ""
    (count,) = struct.unpack(">I", head)
    problem = _claim(box, count, (box.end - box.begin - 8) // entry)
    if problem or box.name != b"stts" or count > _HARMLESS:
        return problem
    table = file.read(count * entry)
    # The first of the two numbers of an entry says for how many samples the second is meant.
    samples = sum(number for number, _ in struct.iter_unpack(">II", table[: len(table) // 8 * 8]))
    return _claim(box, samples, file_size)


def _claim(box: _Box, count: int, possible: int) -> str:
    if count <= max(possible, _HARMLESS):
        return ""
    name = box.name.decode("latin-1")
    return f"its header (box {name}) claims {count:,} entries, but there is room for {max(possible, 0):,}"
