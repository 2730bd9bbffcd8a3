"""Where a GIF breaks off. FFmpeg takes whatever follows a damaged place for a part of the last picture.

A GIF is a header and a chain of blocks up to a trailer (GIF89a specification): every picture and extension is
made of sub-blocks that begin with their own length, so a damaged place breaks the chain.
"""

from typing import BinaryIO

_EXTENSION, _PICTURE, _TRAILER = b"!", b",", b";"


def check_gif(file: BinaryIO, size: int) -> str:
    """Follow the blocks of a GIF.

    Args:
        file: Any file, at its first byte; of other formats nothing is said.
        size: Bytes of the file.

    Returns:
        A clause on where the chain of blocks breaks, or "".
    """
    if file.read(6) not in (b"GIF87a", b"GIF89a"):
        return ""
    _skip_colours(file, file.read(7)[4:5])
    while True:
        begin = file.tell()
        kind = file.read(1)
        if kind == _TRAILER:
            return ""
        if kind == _EXTENSION:
            file.seek(1, 1)
        elif kind == _PICTURE:
            _skip_colours(file, file.read(9)[8:9])
            file.seek(1, 1)
        else:
            return f"the chain of its blocks breaks after {begin:,} of {size:,} bytes"
        if not _skip_sub_blocks(file):
            return f"it ends within a block, after {size:,} bytes"


def _skip_colours(file: BinaryIO, flags: bytes) -> None:
    """Skip the table of colours that the highest flag announces; the lowest three give its size."""
    if flags and flags[0] & 0x80:
        file.seek(3 << (flags[0] & 7) + 1, 1)


def _skip_sub_blocks(file: BinaryIO) -> bool:
    """Skip blocks of a length and as many bytes up to an empty one; False at the end of the file."""
    while length := file.read(1):
        if length == b"\0":
            return True
        file.seek(length[0], 1)
    return False
