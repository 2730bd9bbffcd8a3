"""What a comparison writes: tables, pictures and a page that holds both."""

import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import date
from itertools import groupby
from pathlib import Path

import torch

from slowfast_ext.compare.columns import COLUMNS, EXPLANATION, HEADLINE, NAMES, ON_SCREEN, RATIOS, known
from slowfast_ext.compare.contenders import count_videos, digest, list_file, splits_of
from slowfast_ext.compare.pictures import PICTURES, draw_pictures
from slowfast_ext.compare.ratios import make_ratios
from slowfast_ext.compare.rows import FAILED, OK, ResultRow
from slowfast_ext.compare.run import Comparison
from slowfast_ext.files import to_csv, write_text
from slowfast_ext.host import describe_host
from slowfast_ext.report.machine import describe_machine
from slowfast_ext.report.page import Section, write_page
from slowfast_ext.report.tables import Row, to_markdown

_PACKAGES = ("torch", "timm", "av", "pyslowfast")


def facts_of(comparison: Comparison, command: str) -> dict[str, str | int]:
    """On what, with what, when and how the numbers were found."""
    facts: dict[str, str | int] = {
        "command": command,
        "date": date.today().isoformat(),
        "machine": describe_machine(*_PACKAGES),
        "host": describe_host().partition(";")[0].removeprefix("Host: "),
        "threads": torch.get_num_threads(),
    }
    listed = {
        list_file(contender, split): (contender, split)
        for contender in comparison.contenders
        for split in splits_of(contender)
    }
    for path, (contender, split) in listed.items():
        facts[f"{split} list"] = f"{path}, {count_videos(contender, split)} videos, SHA-256 {digest(path)}"
    return facts


def write_rows(comparison: Comparison, rows: Sequence[ResultRow], command: str) -> list[Path]:
    """Write results.json, .csv and .md with what is known so far; returns the three paths."""
    facts = facts_of(comparison, command)
    table = [row.as_row() for row in rows]
    names = [contender.name for contender in comparison.contenders if contender.is_vtn]
    ratios = [ratio.as_row() for ratio in make_ratios(rows, names)]
    content = {**facts, "rows": table, "ratios": ratios}
    paths = [comparison.out / f"results.{ending}" for ending in ("json", "csv", "md")]
    write_text(paths[0], json.dumps(content, indent=1) + "\n")
    write_text(paths[1], to_csv(table, [field.name for field in fields(ResultRow)]))
    write_text(paths[2], _markdown(facts, table, ratios, _what_to_know(comparison, table)))
    return paths


def _what_to_know(comparison: Comparison, table: Sequence[Row]) -> list[str]:
    """What an accuracy over so few videos, of so few classes, can say."""
    counts = [row["num_videos"] for row in table if row["num_videos"]]
    if not counts:
        return []
    classes = comparison.contenders[0].cfg.MODEL.NUM_CLASSES
    notes = [
        f"One of {min(counts)} videos is {100 / min(counts):.1f} points of top-1 accuracy; guessing among "
        f"{classes} classes gives {100 / classes:.1f} %."
    ]
    trained = [contender for contender in comparison.contenders if contender.train]
    if trained and digest(list_file(trained[0], "val")) == digest(list_file(trained[0], "test")):
        notes.append("The test list is the validation list: there are no videos apart to judge a choice by.")
    return notes


def _markdown(
    facts: dict[str, str | int], table: Sequence[Row], ratios: Sequence[Row], notes: Sequence[str]
) -> str:
    parts = ["# Models side by side\n", f"`{facts['command']}`\n"]
    parts.append("".join(f"- {name}: {value}\n" for name, value in facts.items() if name != "command"))
    for name, columns in groupby(known(COLUMNS, table), key=lambda column: column.group):
        parts += [f"## {name}\n", to_markdown(table, [*NAMES, *columns])]
    reasons = [
        f"- {row['model']}, {row['protocol']}: {row['status']}"
        + (f": {row['reason']}\n" if row["reason"] else "\n")
        for row in table
        if row["status"] != OK
    ]
    if reasons:
        parts += ["## Rows without a test\n", "".join(reasons)]
    if ratios:
        parts += ["## VTN against the others\n", to_markdown(ratios, RATIOS), HEADLINE + "\n"]
    return "\n".join([*parts, EXPLANATION + "\n", *(f"{note}\n" for note in notes)])


def write_all(
    comparison: Comparison,
    rows: Sequence[ResultRow],
    command: str,
    more: Sequence[Section] = (),
    *,
    say: Callable[[str], None],
) -> None:
    """Write tables, pictures and the page, show the main table, and say where everything is.

    Args:
        comparison: What was compared.
        rows: Of all models and protocols.
        command: What was typed.
        more: Sections that come last on the page.
        say: Receives lines.
    """
    files = write_rows(comparison, rows, command)
    sections = [*draw_pictures(comparison, rows), *more]
    content = json.loads(files[0].read_text())
    page = comparison.out / "index.html"
    facts = {name: str(value) for name, value in content.items() if name not in ("rows", "ratios")}
    ratios = Section("VTN against the others", HEADLINE, RATIOS, content["ratios"])
    write_page(
        page,
        title="Models side by side",
        facts=facts,
        columns=[*NAMES, *COLUMNS],
        rows=content["rows"],
        notes=[EXPLANATION, *_what_to_know(comparison, content["rows"])],
        sections=[*([ratios] if ratios.rows else []), *sections],
    )
    say("\n" + to_markdown(content["rows"], [*NAMES, *known(ON_SCREEN, content["rows"])]))
    for row in rows:
        if row.status == FAILED:
            say(f"failed: {row.model}, {row.protocol}: {row.reason}")
    say("Tables, pictures, and a page that has all of it:")
    folder = [PICTURES] if sections else []
    for file in (*files, *(comparison.out / name for name in folder), page):
        say(f"  {file}")
