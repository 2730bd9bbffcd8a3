"""Which videos a command line means: files, folders, patterns and lists."""

import argparse
import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from slowfast_ext.data.video_list import normalize_path
from slowfast_ext.prepare.find import VideoIndex
from vtn.errors import InputError

STANDARD_INPUT = "-"
_SHOWN = 3
# What stands between a path and its class in PySlowFast's lists, and in those of others.
_LABEL = re.compile(r"[\s,;|]\s*\d+$")


def add_videos(parser: argparse.ArgumentParser, checkpoint: str) -> None:
    """Add the arguments that name videos, after a checkpoint, of which `checkpoint` tells in the help."""
    rest = "then files, folders, patterns, or - for a list on standard input; KEY VALUE pairs over the"
    parser.add_argument(
        "words",
        nargs="*",
        metavar="CHECKPOINT VIDEO",
        help=f"{checkpoint}, {rest} configuration may follow",
    )
    paths = "paths, one on each line; may be repeated"
    parser.add_argument("--list", action="append", default=[], metavar="FILE", help=paths)


def find_videos(words: Sequence[str], lists: Sequence[str | Path] = ()) -> list[str]:
    """Every video that is meant, once, in the order in which it is named.

    Args:
        words: Files; folders, whose videos are taken in order; patterns such as `videos/**/*.mp4`; `-` for a
            list on standard input.
        lists: Files with a path on each line, or a path and a class.

    Returns:
        Paths without `//`, `.` and `..`, of files that are there.

    Raises:
        InputError: If there are none, a file or folder is missing, or a list cannot be used.
    """
    found = [path for word in words for path in _of_word(word)]
    for name in lists:
        found += _of_list(_read_lines(Path(name)), str(name), Path(name).parent)
    videos = list(dict.fromkeys(map(normalize_path, found)))
    if not videos:
        raise InputError("there is no video: name files, folders or patterns, or a list with --list FILE")
    return videos


def _of_word(word: str) -> list[str]:
    if word == STANDARD_INPUT:
        return _of_list(_lines(sys.stdin.buffer.read(), "standard input"), "standard input", Path())
    if os.path.isdir(word):
        index = VideoIndex(Path(word))
        return [os.path.join(word, name) for name in index.files]
    if os.path.exists(word):
        return [word]
    if not glob.has_magic(word):
        raise InputError(f"video {word}: no such file")
    found = sorted(name for name in glob.iglob(word, recursive=True) if os.path.isfile(name))
    if not found:
        raise InputError(f"no file fits the pattern {word}")
    return found


def _read_lines(path: Path) -> list[str]:
    if not path.is_file():
        raise InputError(f"--list {path}: no such file")
    try:
        return _lines(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"--list {path}: {error.strerror}") from error


def _lines(text: bytes, name: str) -> list[str]:
    try:
        return text.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text (byte {error.start}).") from None


def _of_list(lines: Iterable[str], name: str, folder: Path) -> list[str]:
    """Videos of a list, from the working directory, or where they are not there from the list's folder."""
    found, missing = [], []
    rows = [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
    for number, row in rows:
        path = next(filter(os.path.isfile, _readings(row, folder)), None)
        if path is None:
            missing.append(f"{row[:200]} (line {number})")
        else:
            found.append(path)
    if missing:
        shown = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        raise InputError(f"{len(missing)} of the {len(rows)} videos in {name} do not exist: {shown}.")
    if not found:
        raise InputError(f"{name} lists no videos.")
    return found


def _readings(row: str, folder: Path) -> Iterator[str]:
    """The whole row as a path, which may end with a number, and without its class."""
    for name in dict.fromkeys([row, _LABEL.sub("", row).rstrip()]):
        yield name
        yield os.path.join(folder, name)
