"""Files that are written whole or not at all."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vtn.errors import InputError
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
