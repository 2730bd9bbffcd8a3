"""Learning curves from PySlowFast's log: the `json_stats` lines that training prints."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from slowfast_ext.report.figures import (
    INK,
    colour_of,
    entitle,
    legend_below,
    marker_of,
    printable,
    quiet,
    save,
)
from vtn.errors import InputError

_MARK = "json_stats: "
_LOG_NAME = "stdout.log"
# A process measures its epochs and the time since it began apart; the log has them to 0.01 ms.
_CLOCK_TOLERANCE = 0.05
# Wall time is drawn in the first of these that keeps the axis below the limit.
_UNITS = (("seconds", 1, 300), ("minutes", 60, 300 * 60), ("hours", 3600, float("inf")))
_CONTINUOUS = {"linestyle": "solid", "linewidth": 1.5}
_DASHED = {"linestyle": (0, (4, 2)), "linewidth": 1.2, "markersize": 4.5}
# With more validations than this, markers would hide the line.
_MARKED_VALIDATIONS = 30


@dataclass(frozen=True)
class Curves:
    """One training run, epoch by epoch; epochs count from 1.

    Times are None where the log lacks them: it was written before runs logged `run_seconds`.

    Attributes:
        train_epochs: Epochs of the other lists about training.
        train_loss: Mean loss.
        train_top1_error: Percent, on training clips.
        val_epochs: Epochs of the other lists about validation.
        val_top1_error: Percent, on the validation list.
        train_seconds: Wall time from the start of the training to the end of each training epoch.
        val_seconds: The same to the end of each validation.
        epoch_seconds: Wall time of each training epoch itself.
        evaluation_seconds: Wall time of each validation itself.
        total_seconds: Wall time to the last line of an epoch, epochs that had to be run again included.
    """

    train_epochs: list[int]
    train_loss: list[float]
    train_top1_error: list[float]
    val_epochs: list[int]
    val_top1_error: list[float]
    train_seconds: list[float] | None = None
    val_seconds: list[float] | None = None
    epoch_seconds: list[float] | None = None
    evaluation_seconds: list[float] | None = None
    total_seconds: float | None = None

    @property
    def train_top1(self) -> list[float]:
        """Accuracy on training clips, percent."""
        return [100 - error for error in self.train_top1_error]

    @property
    def val_top1(self) -> list[float]:
        """Accuracy on the validation list, percent."""
        return [100 - error for error in self.val_top1_error]


@dataclass(frozen=True)
class TrainingSummary:
    """A training in a few numbers; None where the log does not tell.

    Attributes:
        epochs: Epochs done.
        seconds_per_epoch: Mean wall time of a training epoch, without validation.
        total_seconds: Wall time of all epochs, with validation and with epochs that had to be run again.
        best_epoch: First epoch whose validation reached the best score.
        seconds_to_best: Wall time from the start of the training to the end of that validation.
        best_top1: That score, percent.
    """

    epochs: int
    seconds_per_epoch: float | None
    total_seconds: float | None
    best_epoch: int | None
    seconds_to_best: float | None
    best_top1: float | None


def summarize(curves: Curves) -> TrainingSummary:
    """Epochs, times and the best validation of a training."""
    seconds = curves.epoch_seconds
    best = max(range(len(curves.val_epochs)), key=lambda i: curves.val_top1[i], default=None)
    timed = best is not None and curves.val_seconds is not None
    return TrainingSummary(
        epochs=max(curves.train_epochs),
        seconds_per_epoch=sum(seconds) / len(seconds) if seconds else None,
        total_seconds=curves.total_seconds,
        best_epoch=None if best is None else curves.val_epochs[best],
        seconds_to_best=curves.val_seconds[best] if timed else None,
        best_top1=None if best is None else curves.val_top1[best],
    )


def parse_stats(line: str) -> dict | None:
    """The statistics in one line of a log, or None where it holds none.

    Raises:
        json.JSONDecodeError: If the statistics are cut off.
    """
    _, mark, text = line.partition(_MARK)
    return json.loads(text) if mark else None


def read_curves(path: Path) -> Curves:
    """Read a run's log.

    Where training was interrupted and continued, the epochs from there on count as they were run last. The
    time of those that were run twice is wall time of the training all the same. Of an epoch that was cut
    short the time up to its last checkpoint is counted; the rest is in no line of the log.

    Args:
        path: The log, or the OUTPUT_DIR that holds it as stdout.log.

    Raises:
        InputError: If there is no such log, a line is damaged, or no epoch was finished.
    """
    log = path / _LOG_NAME if path.is_dir() else path
    if not log.is_file():
        raise InputError(f"there is no training log {log}.")
    train: dict[int, dict[str, Any]] = {}
    val: dict[int, dict[str, Any]] = {}
    lines = _with_wall_time(list(_epoch_lines(log)))
    for stats in lines:
        epoch = int(stats["epoch"].split("/")[0])
        if stats["_type"] == "train_epoch":
            _forget(train, epoch)
            _forget(val, epoch)
        (train if stats["_type"] == "train_epoch" else val)[epoch] = stats
    if not train:
        raise InputError(f"{log} holds no finished training epoch.")
    return _curves_of(train, val, lines[-1]["wall_seconds"])


def _epoch_lines(log: Path) -> Iterator[dict[str, Any]]:
    """What the lines of epochs hold, in the order of the log."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            stats = parse_stats(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                return  # the run was killed while it wrote
            raise InputError(f"{log}, line {number}: its json_stats cannot be read ({error.msg}).") from error
        if (stats or {}).get("_type") in ("train_epoch", "val_epoch"):
            yield stats


def _with_wall_time(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines with `wall_seconds`, the time since the training began, or None where one lacks its time.

    Each process counts its `run_seconds` from 0. A line is of a new process if what it tells of, which took
    `epoch_seconds` or `evaluation_seconds`, would have begun before the line above it was written.
    """
    if not all("run_seconds" in stats for stats in lines):
        return [stats | {"wall_seconds": None} for stats in lines]
    timed, before, last = [], 0.0, 0.0
    told = None
    for stats in lines:
        took = stats.get("epoch_seconds", stats.get("evaluation_seconds", 0.0))
        if stats["run_seconds"] - took < last - _CLOCK_TOLERANCE:
            before += last
            if stats["epoch"] != told:
                # The epoch was begun by an earlier process, which was stopped inside it and told of no time.
                before += max(0.0, took - stats["run_seconds"])
        last = stats["run_seconds"]
        if stats["_type"] == "train_epoch":
            told = stats["epoch"]
        timed.append(stats | {"wall_seconds": before + last})
    return timed


def _forget(found: dict[int, dict[str, Any]], epoch: int) -> None:
    """Drop an epoch and all after it: training went back and did them again."""
    for later in [number for number in found if number >= epoch]:
        del found[later]


def _curves_of(
    train: dict[int, dict[str, Any]], val: dict[int, dict[str, Any]], total_seconds: float | None
) -> Curves:
    def values(found: dict[int, dict[str, Any]], key: str) -> list[float] | None:
        listed = [found[epoch].get(key) for epoch in sorted(found)]
        return None if None in listed or not listed else listed

    return Curves(
        train_epochs=sorted(train),
        train_loss=[train[epoch]["loss"] for epoch in sorted(train)],
        train_top1_error=[train[epoch]["top1_err"] for epoch in sorted(train)],
        val_epochs=sorted(val),
        val_top1_error=[val[epoch]["top1_err"] for epoch in sorted(val)],
        train_seconds=values(train, "wall_seconds"),
        val_seconds=values(val, "wall_seconds"),
        epoch_seconds=values(train, "epoch_seconds"),
        evaluation_seconds=values(val, "evaluation_seconds"),
        total_seconds=total_seconds,
    )


def plot_curves(
    runs: Mapping[str, Curves], path: Path, *, by: Literal["epoch", "seconds"] = "epoch", title: str = ""
) -> None:
    """Draw training loss, and top-1 accuracy in training (solid) and validation (dashed), of some runs.

    Source: VTN (arXiv:2102.00719), figures 4 and 5.

    Args:
        runs: Name of each run, in the order of their colours.
        path: Picture to write; the suffix decides the format.
        by: What the horizontal axis is: epochs, or wall time since the training began.
        title: Heading, none if empty.

    Raises:
        InputError: If wall time is asked for and a log does not have it, or the picture cannot be written.
    """
    untimed = [name for name, run in runs.items() if by == "seconds" and run.train_seconds is None]
    if untimed:
        raise InputError(f"the log of {untimed[0]} has no times; draw its curves by epoch.")
    unit, scale = _wall_unit(runs) if by == "seconds" else ("", 1)
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    for index, (name, run) in enumerate(runs.items()):
        _draw_run(loss, accuracy, run, index, printable(name, f"run {index + 1}"), scale if unit else None)
    entitle(loss, "Training loss")
    entitle(accuracy, "Top-1 accuracy, %")
    loss.set_ylim(0, 1.08 * max(max(run.train_loss) for run in runs.values()))
    accuracy.set_ylim(0, 102)
    for axes in (loss, accuracy):
        quiet(axes)
        axes.set_xlabel(f"wall time, {unit}" if unit else "epoch", color=INK)
        if unit:
            axes.set_xlim(left=0)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    names = loss.get_legend_handles_labels()[0]
    styles = [
        Line2D([], [], color=INK, label="training", **_CONTINUOUS),
        Line2D([], [], color=INK, label="validation", **_DASHED),
    ]
    legend_below(figure, [*names, *styles])
    if title:
        figure.suptitle(printable(title), fontsize=11, color=INK)
    save(figure, path)


def _wall_unit(runs: Mapping[str, Curves]) -> tuple[str, int]:
    """Name of the unit of wall time, and its seconds."""
    longest = max(max([*run.train_seconds, *(run.val_seconds or [])]) for run in runs.values())
    return next((unit, seconds) for unit, seconds, limit in _UNITS if longest <= limit)


def _draw_run(
    loss: Axes, accuracy: Axes, run: Curves, index: int, name: str, unit_seconds: int | None
) -> None:
    """Draw one run by epoch, or by wall time if a unit is given."""
    if unit_seconds is None:
        train_at, val_at = run.train_epochs, run.val_epochs
    else:
        train_at = [seconds / unit_seconds for seconds in run.train_seconds]
        val_at = [seconds / unit_seconds for seconds in run.val_seconds or []]
    # A line of one point would not be seen.
    alone = {"marker": marker_of(index), "markersize": 5} if len(train_at) == 1 else {}
    marker = marker_of(index) if len(val_at) <= _MARKED_VALIDATIONS else ""
    colour = colour_of(index)
    loss.plot(train_at, run.train_loss, color=colour, label=name, **_CONTINUOUS, **alone)
    accuracy.plot(train_at, run.train_top1, color=colour, **_CONTINUOUS, **alone)
    accuracy.plot(val_at, run.val_top1, color=colour, marker=marker, **_DASHED)


def name_runs(paths: Sequence[Path]) -> list[str]:
    """Short names for logs: the folder of each, or the whole path of all if two folders have one name."""
    folders = [path if path.is_dir() else path.parent for path in paths]
    names = [folder.resolve().name for folder in folders]
    unique = len(set(names)) == len(names)
    return names if unique else [str(path) for path in paths]
