"""Learning curves from PySlowFast's log: the `json_stats` lines that training prints."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from slowfast_ext.report.figures import INK, colour_of, quiet, save
from vtn.errors import InputError

_MARK = "json_stats: "
_LOG_NAME = "stdout.log"


@dataclass(frozen=True)
class Curves:
    """One training run, epoch by epoch; epochs count from 1.

    Attributes:
        train_epochs: Epochs of the next two lists.
        train_loss: Mean loss.
        train_top1_error: Percent, on training clips.
        val_epochs: Epochs of the next list.
        val_top1_error: Percent, on the validation list.
    """

    train_epochs: list[int]
    train_loss: list[float]
    train_top1_error: list[float]
    val_epochs: list[int]
    val_top1_error: list[float]


def parse_stats(line: str) -> dict | None:
    """The statistics in one line of a log, or None where it holds none.

    Raises:
        json.JSONDecodeError: If the statistics are cut off.
    """
    _, mark, text = line.partition(_MARK)
    return json.loads(text) if mark else None


def read_curves(path: Path) -> Curves:
    """Read a run's log.

    Of an epoch that was run twice, because training was interrupted and resumed, the second run counts.

    Args:
        path: The log, or the OUTPUT_DIR that holds it as stdout.log.

    Raises:
        InputError: If there is no such log, a line is damaged, or no epoch was finished.
    """
    log = path / _LOG_NAME if path.is_dir() else path
    if not log.is_file():
        raise InputError(f"there is no training log {log}.")
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    train: dict[int, dict] = {}
    val: dict[int, dict] = {}
    for number, line in enumerate(lines, start=1):
        try:
            stats = parse_stats(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                break  # the run was killed while it wrote
            raise InputError(f"{log}, line {number}: its json_stats cannot be read ({error.msg}).") from error
        kind = (stats or {}).get("_type")
        if kind in ("train_epoch", "val_epoch"):
            epoch = int(stats["epoch"].split("/")[0])
            (train if kind == "train_epoch" else val)[epoch] = stats
    if not train:
        raise InputError(f"{log} holds no finished training epoch.")
    return Curves(
        train_epochs=sorted(train),
        train_loss=[train[epoch]["loss"] for epoch in sorted(train)],
        train_top1_error=[train[epoch]["top1_err"] for epoch in sorted(train)],
        val_epochs=sorted(val),
        val_top1_error=[val[epoch]["top1_err"] for epoch in sorted(val)],
    )


def plot_curves(runs: Mapping[str, Curves], path: Path, *, title: str = "") -> None:
    """Draw training loss, and top-1 error in training (thin) and validation (bold), of one or more runs.

    Args:
        runs: Name of each run, in the order of their colours.
        path: Picture to write; the suffix decides the format.
        title: Heading, none if empty.
    """
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    loss, error = figure.subplots(1, 2)
    for index, (name, run) in enumerate(runs.items()):
        colour = colour_of(index)
        loss.plot(run.train_epochs, run.train_loss, color=colour, linewidth=1.8, label=name)
        error.plot(run.train_epochs, run.train_top1_error, color=colour, linewidth=1.0, alpha=0.45)
        error.plot(
            run.val_epochs, run.val_top1_error, "o-", color=colour, linewidth=1.8, markersize=4, label=name
        )
    loss.set_title("Training loss", fontsize=10, loc="left", color=INK)
    error.set_title("Top-1 error, %: validation (dots), training (thin)", fontsize=10, loc="left", color=INK)
    loss.set_ylim(0, 1.08 * max(max(run.train_loss) for run in runs.values()))
    error.set_ylim(0, 102)
    for axes in (loss, error):
        quiet(axes)
        axes.set_xlabel("epoch", color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    loss.legend(frameon=False, fontsize=9)
    if title:
        figure.suptitle(title, fontsize=11, color=INK)
    save(figure, path)


def name_runs(paths: Sequence[Path]) -> list[str]:
    """Short names for logs: the folder of each, or the whole path of all if two folders have one name."""
    folders = [path if path.is_dir() else path.parent for path in paths]
    names = [folder.resolve().name for folder in folders]
    unique = len(set(names)) == len(names)
    return names if unique else [str(path) for path in paths]
