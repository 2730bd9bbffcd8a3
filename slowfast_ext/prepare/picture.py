"""The picture of a data set: how long its videos are, and how many each class has."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from slowfast_ext.prepare.plan import SPLITS
from slowfast_ext.report.figures import INK, colour_of, printable, quiet, save

_FEWEST_BINS, _MOST_BINS = 10, 40
# With more classes their names would be too small to read.
_NAMED_CLASSES = 25
# Videos beyond this part of all are counted in words: one of two hours would squeeze all others.
_SHOWN_PART = 0.995
_LONGEST_NAME = 28
# The scale is logarithmic if a bar is this many times as tall as the median one.
_TALL = 25


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
    _draw_lengths(lengths, seconds)
    ordered = sorted(counts, key=lambda row: -sum(row[split] for split in SPLITS))
    (_draw_named if named else _draw_sorted)(classes, ordered)
    save(figure, path)


def _draw_lengths(axes: Axes, seconds: Sequence[float]) -> None:
    quiet(axes)
    if not seconds:
        axes.set_title("No video is listed", fontsize=10, loc="left", color=INK)
        return
    median, longest = float(np.median(seconds)), max(seconds)
    end = float(np.quantile(seconds, _SHOWN_PART))
    # A few that are a little longer squeeze nothing.
    end = longest if longest <= 1.5 * end else end
    # Lengths that are nearly equal still get bars of a sensible width.
    begin, end = min(seconds), max(end, min(seconds) + 1.0)
    shown = [length for length in seconds if length <= end]
    bins = min(_MOST_BINS, max(_FEWEST_BINS, round(len(seconds) ** 0.5)))
    bars, _, _ = axes.hist(
        shown, np.linspace(begin, end, bins + 1), color=colour_of(1), edgecolor="white", linewidth=0.4
    )
    axes.axvline(median, color=colour_of(0), linewidth=1.4)
    axes.set_title(
        f"Length of {len(seconds)} listed videos; the line is the median, {median:.3g} s",
        fontsize=10,
        loc="left",
        color=INK,
    )
    longer = len(seconds) - len(shown)
    axes.set_xlabel(f"seconds ({longer} longer, up to {longest:.4g})" if longer else "seconds", color=INK)
    # Nearly all videos of Kinetics last 10 s; the others would not be seen.
    logarithmic = max(bars) > _TALL * np.median(bars[bars > 0])
    if logarithmic:
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.7)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("videos (logarithmic)" if logarithmic else "videos", color=INK)


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
    axes.set_title("Videos of each class", fontsize=10, loc="left", color=INK)
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
    axes.set_title(
        f"Videos of {len(rows)} classes, in order of size",
        fontsize=10,
        loc="left",
        color=INK,
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
