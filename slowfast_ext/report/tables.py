"""Result tables: the same rows as Markdown to read, CSV for a spreadsheet and JSON for a program."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slowfast_ext.files import to_csv, write_text

Row = Mapping[str, str | int | float | None]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        key: Name of the value in a row; also the heading in CSV.
        title: Heading in Markdown, with the unit.
        format: Format specification of numbers in Markdown, such as ".1f"; CSV and JSON keep all digits.
        group: Heading above this column and its neighbours of the same group on a page; none if empty.
    """

    key: str
    title: str
    format: str = ""
    group: str = ""


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


def write_tables(rows: Sequence[Row], columns: Sequence[Column], stem: Path) -> list[Path]:
    """Write stem.md, stem.csv and stem.json; returns the three paths.

    Raises:
        InputError: If a file cannot be written.
    """
    texts = {
        ".md": to_markdown(rows, columns),
        ".csv": to_csv(rows, [column.key for column in columns]),
        ".json": json.dumps({"rows": [dict(row) for row in rows]}, indent=1) + "\n",
    }
    paths = []
    for suffix, text in texts.items():
        path = stem.with_name(stem.name + suffix)
        write_text(path, text)
        paths.append(path)
    return paths
