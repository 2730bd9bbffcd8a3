"""Pictures of accuracy class by class, for two classes or for hundreds.

Shape legend: K classes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from slowfast_ext.report.classes import most_confused
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

# More classes than this cannot be read one by one; the picture shows those that tell most, and says so.
_MOST_NAMED = 30
# More cells than these have no room for their numbers.
_MOST_NUMBERED = 12
_PAIRS = 20
_LONGEST_NAME = 32
# Inches of one class.
_ROW, _CELL = 0.27, 0.34


def plot_class_accuracy(
    accuracies: Mapping[str, np.ndarray], class_names: Sequence[str], path: Path, *, title: str = ""
) -> None:
    """Draw each class's accuracy, the models beside each other.

    Of more than 30 classes it shows the 30 on which the models differ most, or, for one model, its 30 worst.

    Args:
        accuracies: Name of each model and its (K,) accuracies in percent; nan for a class without a video.
        class_names: (K,) names.
        path: Picture to write.
        title: Heading, none if empty.

    Raises:
        InputError: If the picture cannot be written.
    """
    table = np.array([np.asarray(values, dtype=float) for values in accuracies.values()])
    shown, sentence = _classes_to_show(table)
    figure = Figure(figsize=(9, max(2.4, 1.5 + _ROW * len(shown))), layout="constrained")
    axes = figure.subplots()
    _draw_dots(
        axes, table[:, shown], [printable(name, f"model {i + 1}") for i, name in enumerate(accuracies)]
    )
    axes.set_yticks(range(len(shown)), [_name(class_names, index) for index in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    entitle(axes, "\n".join(filter(None, (printable(title), sentence))))
    legend_below(figure, axes.get_legend_handles_labels()[0])
    save(figure, path)


def _classes_to_show(table: np.ndarray) -> tuple[np.ndarray, str]:
    """Numbers of the classes to draw, from top to bottom, and what the picture says about the choice.

    Args:
        table: (models, K) percent.
    """
    known = np.flatnonzero(~np.isnan(table).all(axis=0))
    without = table.shape[1] - len(known)
    unseen = f"; {_classes(without)} without a video left out" if without else ""
    if len(known) <= _MOST_NAMED:
        return known, f"{_classes(len(known))}{unseen}"
    lowest, highest = np.nanmin(table[:, known], axis=0), np.nanmax(table[:, known], axis=0)
    compared = len(table) > 1
    order = np.lexsort((known, lowest, lowest - highest if compared else lowest))
    which = f"{_MOST_NAMED} that the models differ most on" if compared else f"{_MOST_NAMED} worst"
    return known[order[:_MOST_NAMED]], f"Of {len(known)} classes, the {which}{unseen}"


def _classes(count: int) -> str:
    return "1 class" if count == 1 else f"{count} classes"


def _draw_dots(axes: Axes, table: np.ndarray, models: Sequence[str]) -> None:
    """A row for each class: a dot for each model, a little apart, so that equal ones are all seen."""
    quiet(axes)
    places = np.arange(table.shape[1])
    apart = min(0.16, 0.7 / len(models))
    for place in places[::2]:
        axes.axhspan(place - 0.5, place + 0.5, color="#f4f4f4", linewidth=0, zorder=0)
    for index, (values, model) in enumerate(zip(table, models, strict=True)):
        at = places + (index - (len(models) - 1) / 2) * apart
        look = {"color": colour_of(index), "markersize": 6, "markeredgewidth": 0}
        axes.plot(values, at, marker_of(index), label=model, clip_on=False, **look)
    axes.set_xlim(0, 100)
    axes.set_xlabel("top-1 accuracy of the class, %", color=INK)


def _name(class_names: Sequence[str], index: int) -> str:
    return printable(class_names[index], f"class {index}", longest=_LONGEST_NAME)


def plot_confusion(matrix: np.ndarray, class_names: Sequence[str], path: Path, *, title: str = "") -> None:
    """Draw what the videos of each class were taken for.

    Of more than 30 classes the map has no names; the most frequent mistakes are listed beside it.

    Args:
        matrix: (K, K) counts; the row is the true class, the column the predicted one.
        class_names: (K,) names.
        path: Picture to write.
        title: Heading, none if empty.

    Raises:
        InputError: If the picture cannot be written.
    """
    count = len(matrix)
    if count > _MOST_NAMED:
        figure = Figure(figsize=(13, 6), layout="constrained")
        map_axes, pair_axes = figure.subplots(1, 2, width_ratios=(1.1, 1))
        _draw_pairs(pair_axes, matrix, class_names)
        sentence = f"{count} classes in the order of their numbers"
    else:
        side = max(2.6, _CELL * count)
        figure = Figure(figsize=(side + 3.4, side + 1.8), layout="constrained")
        map_axes = figure.subplots()
        sentence = "Videos of each class, and what they were taken for"
    _draw_map(map_axes, matrix)
    if count <= _MOST_NAMED:
        names = [_name(class_names, index) for index in range(count)]
        map_axes.set_yticks(range(count), names)
        map_axes.set_xticks(range(count), names, rotation=45, ha="right", rotation_mode="anchor")
    if count <= _MOST_NUMBERED:
        _write_counts(map_axes, matrix)
    entitle(map_axes, "\n".join(filter(None, (printable(title), sentence))))
    save(figure, path)


def _shares(matrix: np.ndarray) -> np.ndarray:
    """Percent of each true class, (K, K); nan in the row of a class without a video."""
    videos = matrix.sum(axis=1, keepdims=True)
    return np.where(videos > 0, 100.0 * matrix / np.maximum(videos, 1), np.nan)


def _draw_map(axes: Axes, matrix: np.ndarray) -> None:
    axes.set_facecolor("#dddddd")  # shows where a class has no video
    picture = axes.imshow(_shares(matrix), cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
    axes.set_xlabel("predicted", color=INK)
    axes.set_ylabel("true", color=INK)
    axes.tick_params(colors=INK, labelsize=8)
    bar = axes.figure.colorbar(picture, ax=axes, shrink=0.8)
    bar.set_label("% of the true class", color=INK, fontsize=9)
    bar.ax.tick_params(labelsize=8)


def _write_counts(axes: Axes, matrix: np.ndarray) -> None:
    shares = _shares(matrix)
    for true, predicted in zip(*np.nonzero(matrix), strict=True):
        colour = "white" if shares[true, predicted] > 55 else INK
        text = str(matrix[true, predicted])
        axes.text(predicted, true, text, ha="center", va="center", fontsize=8, color=colour)


def _draw_pairs(axes: Axes, matrix: np.ndarray, class_names: Sequence[str]) -> None:
    """Bars of the most frequent mistakes."""
    quiet(axes)
    pairs = most_confused(matrix, _PAIRS)
    entitle(axes, "The most frequent mistakes: true → predicted")
    if not pairs:
        axes.text(0.5, 0.5, "none", ha="center", color=INK, transform=axes.transAxes)
        return
    counts = [matrix[pair] for pair in pairs]
    axes.barh(range(len(pairs)), counts, height=0.7, color=colour_of(1))
    names = [f"{_name(class_names, true)} → {_name(class_names, predicted)}" for true, predicted in pairs]
    axes.set_yticks(range(len(pairs)), names)
    axes.tick_params(axis="y", labelsize=8)
    for place, (true, _) in enumerate(pairs):
        text = f" {counts[place]} of {matrix[true].sum()}"
        axes.text(counts[place], place, text, va="center", fontsize=8, color=INK)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0, 1.2 * max(counts))
    axes.set_xlabel("videos", color=INK)
