"""Lists of videos of any length, read in pieces: text, CSV, Parquet."""

import csv
import os
import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from slowfast_ext.data.video_list import normalize_path
from slowfast_ext.jobs.names import is_url
from vtn.errors import InputError

# Columns that hold videos, the first that is there.
_COLUMNS = ("path", "video", "video_path", "url", "uri", "file", "filename")
# A class after a path, as in PySlowFast's lists: left out where what stands before it ends like a file.
_LABEL = re.compile(r"(?<=\.\w)(?P<suffix>\w{0,4})[\s,;|]\s*\d+$")
_ROWS = 2**16  # of Parquet, at once
_TRIED = 100


def read_names(path: Path) -> Iterator[str]:
    """Paths and URLs of a list, in its order.

    Args:
        path: A .parquet file, a CSV file with a column of paths, or text with a path on each line, which a
            class may follow. Relative paths start from the working directory or, if the first that is there
            is not there but in the folder of the list, from that.

    Raises:
        InputError: If it cannot be read or names no videos.
    """
    if not path.is_file():
        raise InputError(f"--list {path}: no such file")
    rows = _of_parquet(path) if path.suffix == ".parquet" else _of_text(path)
    first = list(islice(rows, _TRIED))
    if not first:
        raise InputError(f"{path} lists no videos.")
    folder = _start(first, path.parent)
    for row in chain(first, rows):
        if "\n" in row or "\r" in row:
            raise InputError(f"{path}: the name {row[:200]!r} has a line break in it")
        yield row if is_url(row) else normalize_path(os.path.join(folder, row))


def _start(rows: Sequence[str], folder: Path) -> str:
    """Where relative paths start; an empty text is the working directory."""
    for row in rows:
        if not is_url(row) and not os.path.isabs(row):
            if os.path.isfile(row):
                return ""
            if os.path.isfile(folder / row):
                return str(folder)
    return ""


def _of_text(path: Path) -> Iterator[str]:
    number = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            columns = next(csv.reader([head.strip()]), [])
            column = _column(columns) if path.suffix == ".csv" or len(columns) > 1 else None
            if column is not None:
                for number, row in enumerate(csv.reader(file), start=1):
                    if number > 1 and len(row) > column and row[column].strip():
                        yield row[column].strip()
                return
            for number, line in enumerate(file, start=1):  # noqa: B007
                if row := line.strip():
                    yield _LABEL.sub(r"\g<suffix>", row)
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text (after line {number}).") from None
    except OSError as error:
        raise InputError(f"--list {path}: {error.strerror}") from error


def _column(columns: Sequence[str]) -> int | None:
    """The number of the column of videos; None if there is no head."""
    names = [column.strip().lower() for column in columns]
    return next((names.index(name) for name in _COLUMNS if name in names), None)


def _of_parquet(path: Path) -> Iterator[str]:
    pyarrow, parquet = require_parquet()
    try:
        with parquet.ParquetFile(path) as file:
            column = _column(file.schema_arrow.names)
            names = file.schema_arrow.names
            if column is None:
                raise InputError(
                    f"{path} has no column of videos, such as path or url, but {', '.join(names)}"
                )
            for batch in file.iter_batches(_ROWS, columns=[names[column]]):
                yield from filter(None, map(str, batch.column(0).drop_null().to_pylist()))
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"--list {path}: it is no Parquet file that can be read ({error})") from error


def require_parquet() -> tuple[Any, Any]:
    """Modules pyarrow and pyarrow.parquet.

    Raises:
        InputError: If they are not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError("Parquet needs the package pyarrow: pip install pyarrow") from None
    return pyarrow, pyarrow.parquet
