"""The picture of a data set: how long its videos are, and how many each class has."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from slowfast_ext.prepare.plan import SPLITS
from slowfast_ext.report.figures import INK, colour_of, entitle, printable, quiet, save
from slowfast_ext.report.lengths import draw_lengths

# With more classes their names would be too small to read.
_NAMED_CLASSES = 25
_LONGEST_NAME = 28


def draw_report(seconds: Sequence[float], counts: Sequence[Mapping[str, str | int]], path: Path) -> None:
    """Draw the picture.

    Args:
        seconds: Length of each video.
        counts: For each class its id as "label", its name as "class", its videos as "train", "val", "test".
        path: File to write; the suffix decides the format.
    """
    named = len(counts) <= _NAMED_CLASSES
    height = max(3.6, 1.4 + 0.24 * len(counts)) if named else 3.8
    figure = Figure(figsize=(10.5, height), layout="constrained")
    lengths, classes = figure.subplots(1, 2)
    draw_lengths(lengths, seconds, f"{len(seconds)} listed videos", "No video is listed")
    ordered = sorted(counts, key=lambda row: -sum(row[split] for split in SPLITS))
    (_draw_named if named else _draw_sorted)(classes, ordered)
    save(figure, path)


def _draw_named(axes: Axes, rows: Sequence[Mapping[str, str | int]]) -> None:
    """A bar with a name for each class."""
    quiet(axes)
    places, before = np.arange(len(rows)), np.zeros(len(rows))
    for index, split in enumerate(_present(rows)):
        values = np.array([row[split] for row in rows])
        axes.barh(places, values, left=before, height=0.72, color=_colour(index), label=split)
        before += values
    axes.set_yticks(places, [_name(row) for row in rows])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    entitle(axes, "Videos of each class")
    axes.set_xlabel("videos", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0, 1.05 * max(1.0, before.max()))
    _legend(axes)


def _draw_sorted(axes: Axes, rows: Sequence[Mapping[str, str | int]]) -> None:
    """A curve for each split over classes, each in its own order, from the largest to the smallest."""
    quiet(axes)
    ranks = np.arange(1, len(rows) + 1)
    for index, split in enumerate(_present(rows)):
        values = np.sort([row[split] for row in rows])[::-1]
        axes.fill_between(ranks, values, step="mid", color=_colour(index), alpha=0.25, linewidth=0)
        axes.step(ranks, values, where="mid", color=_colour(index), linewidth=1.6, label=split)
    entitle(
        axes,
        f"Videos of {len(rows)} classes, in order of size",
    )
    axes.set_xlabel("class, by size", color=INK)
    axes.set_ylabel("videos", color=INK)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.set_xlim(1, len(rows))
    _legend(axes)


def _present(rows: Sequence[Mapping[str, str | int]]) -> list[str]:
    return [split for split in SPLITS if any(row[split] for row in rows)]


def _colour(index: int) -> str:
    """Blue, amber, green."""
    return colour_of(index + 1)


def _legend(axes: Axes) -> None:
    names = axes.get_legend_handles_labels()[1]
    if names:
        axes.legend(
            frameon=False,
            fontsize=9,
            ncols=len(names),
            loc="lower right",
            bbox_to_anchor=(1.0, 1.01),
            borderaxespad=0,
            handlelength=1.2,
            columnspacing=1.0,
        )


def _name(row: Mapping[str, str | int]) -> str:
    """The name of a class, if it fits; its id where the font lacks the script."""
    return printable(str(row["class"]), f"class {row['label']}", longest=_LONGEST_NAME)
