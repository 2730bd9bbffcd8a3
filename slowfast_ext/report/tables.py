"""Result tables: the same rows as Markdown to read, CSV for a spreadsheet and JSON for a program."""

import contextlib
import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vtn.errors import InputError

Row = Mapping[str, str | int | float | None]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        key: Name of the value in a row; also the heading in CSV.
        title: Heading in Markdown, with the unit.
        format: Format specification of numbers in Markdown, such as ".1f"; CSV and JSON keep all digits.
    """

    key: str
    title: str
    format: str = ""


def to_markdown(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """Format rows as an aligned Markdown table.

    Args:
        rows: A value that is None or missing is shown as a dash.
        columns: What to show, from left to right. Columns of numbers are aligned to the right.

    Returns:
        Lines ending in a newline: heading, rule, one line for each row.
    """
    table = [[column.title for column in columns]]
    table += [[_cell(row.get(column.key), column.format) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in table) for i in range(len(columns))]
    numeric = [_is_numeric(rows, column.key) for column in columns]
    rule = [
        "-" * (width - 1) + ":" if right else "-" * width
        for width, right in zip(widths, numeric, strict=True)
    ]
    lines = [table[0], rule, *table[1:]]
    return "".join(_line(line, widths, numeric) for line in lines)


def _is_numeric(rows: Sequence[Row], key: str) -> bool:
    values = [row.get(key) for row in rows]
    return any(value is not None for value in values) and not any(isinstance(value, str) for value in values)


def _cell(value: str | int | float | None, specification: str) -> str:
    if value is None:
        return "-"
    return value.replace("|", "\\|") if isinstance(value, str) else format(value, specification)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = [
        cell.rjust(width) if on_right else cell.ljust(width)
        for cell, width, on_right in zip(cells, widths, right, strict=True)
    ]
    return f"| {' | '.join(padded)} |\n"


def to_csv(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """Format rows as CSV with a heading of keys; a value that is None or missing is left empty."""
    text = io.StringIO()
    writer = csv.DictWriter(
        text, [column.key for column in columns], extrasaction="ignore", lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8, whole or not at all; an InputError if it cannot be written."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise InputError(f"cannot write {path}: {error.strerror}.") from error


def write_tables(rows: Sequence[Row], columns: Sequence[Column], stem: Path) -> list[Path]:
    """Write stem.md, stem.csv and stem.json; returns the three paths.

    Raises:
        InputError: If a file cannot be written.
    """
    texts = {
        ".md": to_markdown(rows, columns),
        ".csv": to_csv(rows, columns),
        ".json": json.dumps({"rows": [dict(row) for row in rows]}, indent=1) + "\n",
    }
    paths = []
    for suffix, text in texts.items():
        path = stem.with_name(stem.name + suffix)
        write_text(path, text)
        paths.append(path)
    return paths
