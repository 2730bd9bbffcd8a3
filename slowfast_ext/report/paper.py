"""The paper's tables 3 and 4 beside ours: Markdown to read, CSV for a spreadsheet, JSON for a program."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from slowfast_ext.files import to_csv, write_text
from slowfast_ext.report.machine import describe_machine
from slowfast_ext.report.paper_counts import Row, count_rows
from slowfast_ext.report.tables import Column, to_markdown
from vtn.errors import InputError

_TABLE_3 = (
    Column("model", "model"),
    Column("inference", "inference"),
    Column("paper", "params paper, M"),
    Column("ours", "params ours, M", ".2f"),
    Column("ratio", "ours / paper", ".3f"),
    Column("minutes", "train / val minutes paper"),
    Column("paper_top1", "top-1 paper", ".1f"),
    Column("paper_top5", "top-5 paper", ".1f"),
    Column("mark", "note"),
)
_TABLE_4 = (
    Column("model", "model"),
    Column("inference", "inference"),
    Column("shape", "views x frames x crop²"),
    Column("paper", "GFLOPs paper", ",d"),
    Column("ours", "GFLOPs ours", ",.1f"),
    Column("ratio", "ours / paper", ".3f"),
    Column("executed_conv_linear", "executed: conv + linear", ",.1f"),
    Column("executed_products", "executed: products", ",.1f"),
    Column("executed_total", "executed: sum", ",.1f"),
    Column("paper_top1", "top-1 paper", ".1f"),
    Column("mark", "note"),
)
_CSV = (
    *("table", "model", "inference", "quantity", "paper", "ours", "ratio", "note"),
    *("frames", "crop", "views", "executed_conv_linear", "executed_products", "executed_total"),
    *("ours_text_window", "paper_top1", "paper_top5", "paper_train_minutes", "paper_epochs"),
    *("paper_val_minutes", "config", "overrides"),
)
_TITLE = "# Tables 3 and 4 of the paper (arXiv:2102.00719) beside ours"
_TEXT_3 = (
    "All parameters, trained or not. Minutes, of one training epoch and of the validation set on 8 V100, and "
    "accuracies, in percent on Kinetics-400, are the paper's: neither that machine nor Kinetics was at hand."
)
_TEXT_4 = (
    "GFLOPs of all views of a video; a multiply-add counts as one. *Paper* and *ours* count convolutions and "
    "linear layers. *Executed* is what runs here for the same logits: the last temporal layer works for "
    "[CLS] alone, and [CLS] attends without a key and a value of each frame. *Products* are those of two "
    "activations (attention, non-local blocks), which the paper's numbers leave out; *sum* is everything "
    "for which there is a formula. The paper gives 72.1 in table 3 and 72.2 in table 4 for non-local I3D on "
    "the full video."
)
_TEXT_UNCOUNTED = (
    "Operators that have no formula and are in none of these numbers, with the millions of values that they "
    "return in one full-video view. PySlowFast's own counter, fvcore, also leaves out fused attention, and "
    "does not say so; here attention is counted, under *products*."
)


def make_tables(out: Path, *, command: str, say: Callable[[str], None] = print) -> None:
    """Count, print the tables, write tables.md, tables.csv and tables.json.

    Args:
        out: Folder to write into; made if it does not exist.
        command: What was typed, for the JSON.
        say: Called with every text to show.

    Raises:
        InputError: If the folder cannot be made, which is tried before counting, or a file not be written.
    """
    _make_folder(out)
    rows, uncounted = count_rows(say)
    markdown = to_page(rows, uncounted)
    record = {
        "machine": describe_machine("torch", "timm", "pyslowfast"),
        "command": command,
        "rows": rows,
        "uncounted": uncounted,
    }
    write_text(out / "tables.md", markdown)
    write_text(out / "tables.csv", to_csv(rows, _CSV))
    write_text(out / "tables.json", json.dumps(record, indent=1) + "\n")
    say(f"\n{markdown}")
    say(f"written: {out / 'tables.md'}, tables.csv and tables.json beside it")


def to_page(rows: Sequence[Row], uncounted: Sequence[Row]) -> str:
    """Both tables, their notes and the operators without a formula, as a page of Markdown."""
    letters = {note: chr(ord("a") + i) for i, note in enumerate(_distinct(row["note"] for row in rows))}
    shown = [_shown(row, letters) for row in rows]
    sections = [_TITLE + "\n"]
    for table, title, text, columns in (
        (3, "Table 3: parameters", _TEXT_3, _TABLE_3),
        (4, "Table 4: GFLOPs of a video", _TEXT_4, _TABLE_4),
    ):
        own = [row for row in shown if row["table"] == table]
        notes = "".join(f"- ({letters[note]}) {note}\n" for note in _distinct(row["note"] for row in own))
        sections.append(f"## {title}\n\n{to_markdown(own, columns)}\n{text}\n\n{notes}")
    sections.append(f"## Not counted\n\n{_TEXT_UNCOUNTED}\n\n{_uncounted_list(uncounted)}")
    return "\n".join(sections)


def _distinct(notes: Iterable[str | None]) -> list[str]:
    return list(dict.fromkeys(note for note in notes if note is not None))


def _shown(row: Row, letters: dict[str, str]) -> Row:
    """A row with the cells that are only for reading."""
    cells = {**row, "mark": f"({letters[row['note']]})" if row["note"] else ""}
    if row["table"] == 3:
        cells["minutes"] = f"{row['paper_train_minutes']} / {row['paper_val_minutes']}"
    else:
        cells["shape"] = f"{row['views']} x {row['frames']} x {row['crop']}²"
    return cells


def _uncounted_list(uncounted: Sequence[Row]) -> str:
    """One line for each set of operators; models of one family share one."""
    by_model: dict[str, list[Row]] = {}
    for use in uncounted:
        if use["inference"] == "full-video":
            by_model.setdefault(use["model"], []).append(use)
    alike: dict[frozenset, list[str]] = {}
    for model, uses in by_model.items():
        alike.setdefault(frozenset(use["operator"] for use in uses), []).append(model)
    lines = []
    for first, *others in alike.values():
        uses = by_model[first]
        large = [
            f"`{use['operator']}` {use['elements'] / 1e6:,.0f}" for use in uses if use["elements"] >= 1e6
        ]
        small = [f"`{use['operator']}`" for use in uses if use["elements"] < 1e6]
        also = f" (the same operators in {', '.join(others)})" if others else ""
        lines.append(f"- **{first}**{also}: {', '.join(large)}; below 1: {', '.join(small)}.\n")
    return "".join(lines)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise InputError(f"--out {out} is a file; give a folder to write the tables into.") from error
    except OSError as error:
        raise InputError(f"--out {out} cannot be made: {error.strerror}.") from error
