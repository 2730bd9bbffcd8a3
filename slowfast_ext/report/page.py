"""One page of results: a single HTML file with its pictures inside, which asks the network for nothing."""

import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile
from pathlib import Path

from slowfast_ext.files import write_text
from slowfast_ext.report.html import as_text, facts_list, scrolled, whole_page
from slowfast_ext.report.page_look import SCRIPT, STYLE
from slowfast_ext.report.tables import Column, Row
from vtn.errors import InputError

_PNG = b"\x89PNG\r\n\x1a\n"
# Dots per inch that pictures are drawn with, and that a page has.
_PICTURE_DPI, _PAGE_DPI = 150, 96
# Pixels; a wider picture stands alone, because it could not be read at half its size.
_HALF_A_PAGE = 720


@dataclass(frozen=True)
class Picture:
    """A picture of a page.

    Attributes:
        path: A PNG file.
        caption: A sentence below it.
        alt: What it shows, for those who cannot see it; the caption if empty.
    """

    path: Path
    caption: str
    alt: str = ""


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        title: Its heading, and its link at the top.
        text: A sentence or two below the heading, or nothing.
        columns: Those of a table, or none.
        rows: Those of the table.
        pictures: Pictures below the table, or none.
        notes: Sentences below all of it.
    """

    title: str
    text: str = ""
    columns: Sequence[Column] = ()
    rows: Sequence[Row] = ()
    pictures: Sequence[Picture] = ()
    notes: Sequence[str] = ()


def write_page(
    path: Path,
    *,
    title: str,
    facts: Mapping[str, str],
    columns: Sequence[Column],
    rows: Sequence[Row],
    notes: Sequence[str] = (),
    sections: Sequence[Section] = (),
) -> None:
    """Write a page: a table of results, notes to it, sections, and the facts at the end.

    All text is shown as it is, whatever it holds. A click on the heading of a column sorts the table. Columns
    in which no row has a value are left out. Columns of one group stand under its name, and a reader can
    choose to see one group alone. A row whose `status` is "failed" shows its `reason` instead of values.

    Args:
        path: HTML file to write.
        title: Heading.
        facts: How the results came about: what, and its value, such as the machine and the command.
        columns: Those of the first table; the first one stays in sight when the others are scrolled.
        rows: Its rows.
        notes: Sentences below the table.
        sections: What follows.

    Raises:
        InputError: If a picture cannot be read, or the page cannot be written.
    """
    results = Section("Results", columns=columns, rows=rows, notes=notes)
    parts = [results, *sections]
    names = [part.title for part in parts] + (["How it was measured"] if facts else [])
    links = "".join(f'<a href="#part-{number}">{as_text(name)}</a>' for number, name in enumerate(names))
    body = "".join(_section(part, number) for number, part in enumerate(parts))
    if facts:
        body += f"{_heading(names[-1], len(parts))}{facts_list(facts)}</section>"
    body = f"<header><h1>{as_text(title)}</h1>\n<nav>{links}</nav></header>\n<main>{body}</main>\n"
    write_text(path, whole_page(title, body, style=STYLE, script=SCRIPT))


def _heading(title: str, number: int) -> str:
    return f'<section id="part-{number}"><h2>{as_text(title)}</h2>\n'


def _section(section: Section, number: int) -> str:
    parts = [_heading(section.title, number)]
    if section.text:
        parts.append(f"<p>{as_text(section.text)}</p>\n")
    if section.rows:
        parts.append(_table(section.rows, section.columns, section.title))
    if section.pictures:
        parts.append(f'<div class="pictures">{"".join(map(_figure, section.pictures))}</div>\n')
    if section.notes:
        parts.append(
            f'<ul class="notes">{"".join(f"<li>{as_text(note)}</li>" for note in section.notes)}</ul>\n'
        )
    return "".join([*parts, "</section>\n"])


def _figure(picture: Picture) -> str:
    try:
        data = picture.path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the picture {picture.path}: {error.strerror}.") from error
    if not data.startswith(_PNG):
        raise InputError(f"the picture {picture.path} is no PNG file.")
    width, height = struct.unpack(">II", data[16:24])
    page_width = width * _PAGE_DPI // _PICTURE_DPI
    look = f'width="{width}" height="{height}" style="--width: {page_width}px"'
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    image = f'<img src="{source}" alt="{as_text(picture.alt or picture.caption)}" {look}>'
    caption = f"<figcaption>{as_text(picture.caption)}</figcaption>"
    start = '<figure class="broad">' if page_width > _HALF_A_PAGE else "<figure>"
    return f"{start}{scrolled(image, picture.caption)}{caption}</figure>\n"


@dataclass(frozen=True)
class _Place:
    """A column in its table: its number, and that of its group, which is None outside groups."""

    column: Column
    number: int
    group: int | None
    starts: bool
    numeric: bool

    def attributes(self, *classes: str) -> str:
        """Those that all cells of the column have."""
        names = [*classes, *(["number"] if self.numeric else []), *(["starts"] if self.starts else [])]
        names += ["name"] if self.number == 0 else []
        shown = f' class="{" ".join(names)}"' if names else ""
        group = "" if self.group is None else f' data-group="{self.group}"'
        return f'{shown} data-column="{self.number}"{group}'


def _places(rows: Sequence[Row], columns: Sequence[Column]) -> list[_Place]:
    """The columns that have a value in some row that shows its values."""
    shown = [row for row in rows if not _failed(row)] or rows
    used = [
        column
        for number, column in enumerate(columns)
        if number == 0 or any(row.get(column.key) is not None for row in shown)
    ]
    places = []
    for group, (name, members) in enumerate(groupby(used, key=lambda column: column.group)):
        for position, column in enumerate(members):
            values = [row[column.key] for row in shown if row.get(column.key) is not None]
            numeric = bool(values) and not any(isinstance(value, str) for value in values)
            inside = group if name else None
            places.append(_Place(column, len(places), inside, bool(name) and position == 0, numeric))
    return places


def _failed(row: Row) -> bool:
    return row.get("status") == "failed"


def _table(rows: Sequence[Row], columns: Sequence[Column], label: str) -> str:
    places = _places(rows, columns)
    body = "".join(_row(row, places) for row in rows)
    return scrolled(f"<table>{_headings(places)}<tbody>{body}</tbody></table>", label) + "\n"


def _headings(places: Sequence[_Place]) -> str:
    """A line of columns; above it, where there are groups, a line of their names."""
    grouped = any(place.group is not None for place in places)
    above, below = "", ""
    for group, members in groupby(places, key=lambda place: place.group):
        members = list(members)
        if group is not None:
            look = f'class="group starts" data-group="{group}" colspan="{len(members)}" scope="colgroup"'
            above += f"<th {look}>{as_text(members[0].column.group)}</th>"
        cells = "".join(_leaf(place, alone=grouped and group is None) for place in members)
        above, below = (above + cells, below) if grouped and group is None else (above, below + cells)
    return (
        f"<thead><tr>{above}</tr><tr>{below}</tr></thead>" if grouped else f"<thead><tr>{below}</tr></thead>"
    )


def _leaf(place: _Place, *, alone: bool) -> str:
    span = ' rowspan="2"' if alone else ""
    return f'<th{place.attributes()}{span} scope="col">{as_text(place.column.title)}</th>'


def _row(row: Row, places: Sequence[_Place]) -> str:
    if not _failed(row):
        return f"<tr>{''.join(_cell(row, place) for place in places)}</tr>\n"
    # What the row is called stands before the first group; the reason takes the place of all else.
    names = list(takewhile(lambda place: place.group is None, places))
    names = names[:1] if len(names) == len(places) else names
    reason = f'<div class="reason">failed: {as_text(row.get("reason") or "the log tells why")}</div>'
    across = f'<td class="across starts" colspan="{len(places) - len(names)}">{reason}</td>'
    return f'<tr class="failed">{"".join(_cell(row, place) for place in names)}{across}</tr>\n'


def _cell(row: Row, place: _Place) -> str:
    value = row.get(place.column.key)
    tag = 'th scope="row"' if place.number == 0 else "td"
    end = tag.split()[0]
    if value is None or value != value:  # nan
        return f"<{tag}{place.attributes('blank')}>&ndash;</{end}>"
    if isinstance(value, str):
        shown = f"<div>{as_text(value)}</div>" if place.number == 0 else as_text(value)
        return f"<{tag}{place.attributes()}>{shown}</{end}>"
    shown = as_text(format(value, place.column.format))
    return f'<{tag}{place.attributes()} data-value="{float(value)!r}">{shown}</{end}>'
