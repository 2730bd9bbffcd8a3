"""Files that are written whole or not at all."""

import contextlib
import csv
import io
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vtn.errors import InputError, first_of
from vtn.weight_files import whole_file

_PIECE = 2**20


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8, whole or not at all.

    Raises:
        InputError: If it cannot be written; names the file.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with whole_file(path, part) as file:
            file.write(text.encode())
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}.") from error


@contextlib.contextmanager
def whole_folder(path: Path, *, may_hold: Collection[str]) -> Iterator[Path]:
    """Fill a folder that gets its name when it is complete; what had the name before is then removed.

    Args:
        path: The folder; its parent must exist.
        may_hold: Names of files that it may hold already, and that are written anew.

    Raises:
        InputError: If something else has the name, or is in the folder.
        OSError: If it cannot be written; what was there stays, and nothing is left of the new one.
    """
    path = path.resolve()
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is no folder: name another one, or one that is not there yet")
    before = sorted(os.listdir(path)) if path.exists() else []
    if others := [name for name in before if name not in may_hold]:
        raise InputError(f"the folder {path} holds something else ({first_of(others, 3)}): name another one")
    part, old = (path.with_name(f".{path.name}.{os.getpid()}.{what}") for what in ("part", "old"))
    part.mkdir()
    try:
        yield part
        if before:
            path.rename(old)
        part.rename(path)  # takes the place of an empty folder
    except BaseException:  # Ctrl-C too
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    finally:
        for folder in (part, old):
            shutil.rmtree(folder, ignore_errors=True)


def feed(digest: Any, path: str | Path) -> None:
    """Feed the bytes of a file to a digest of hashlib, a piece at a time: `hashlib.file_digest` needs 3.11.

    Raises:
        OSError: If it cannot be read.
    """
    with open(path, "rb") as file:
        while block := file.read(_PIECE):
            digest.update(block)


def reason_of(error: BaseException) -> str:
    """Why a file could not be written, on one line: in the words of the system where they are from it."""
    return getattr(error, "strerror", None) or " ".join(str(error).split())


def to_csv(rows: Iterable[Mapping[str, str | int | float | None]], keys: Sequence[str]) -> str:
    """Format rows as CSV, headed by `keys`; a value that is None or missing is left empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, keys, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
