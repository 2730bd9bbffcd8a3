"""Deletion and insertion curves and the reliability of scores, side by side in one picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from slowfast_ext.report.figures import INK, colour_of, legend_below, quiet, save
from slowfast_ext.report.removal import RANDOM

_GREY = "#8a8a8a"
_SIZES = 900.0  # area of the dot of a bin that has all videos, square points


def plot_removal(found: Mapping[str, Any], path: Path, *, title: str) -> None:
    """Draw what `summarize_removals` found, and `calibration` with its bins.

    Args:
        found: As tools/plot_evidence.py writes it.
        path: Picture to write; the suffix decides the format.
        title: Heading.

    Raises:
        InputError: If the file cannot be written.
    """
    figure = Figure(figsize=(13, 4.4), layout="constrained")
    figure.suptitle(title, fontsize=12, color=INK, x=0.01, ha="left")
    deletion, insertion, reliability = figure.subplots(1, 3)
    of = f"score of the {found['followed']} class"
    for axes, kind, words in (
        (deletion, "deletion", "taken away, the most important first"),
        (insertion, "insertion", "put in, the most important first"),
    ):
        for name, colour in _colours(found).items():
            _draw_curve(axes, found["fractions"], found["orders"][name][kind], colour)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel=f"share of the frames {words}", ylabel=of)
        axes.set_title(kind.capitalize(), fontsize=11, color=INK)
        quiet(axes)
    _draw_reliability(reliability, found["calibration"])
    handles = [
        Line2D([], [], color=colour, label=_named(found, name)) for name, colour in _colours(found).items()
    ]
    legend_below(figure, handles)
    save(figure, path)


def _colours(found: Mapping[str, Any]) -> dict[str, str]:
    names = [name for name in found["orders"] if name != RANDOM]
    return {name: colour_of(index) for index, name in enumerate(names)} | {RANDOM: _GREY}


def _named(found: Mapping[str, Any], name: str) -> str:
    areas = (found["orders"][name][f"{kind}_area"]["mean"] for kind in ("deletion", "insertion"))
    return f"{name}: areas {' and '.join(f'{area:.3f}' for area in areas)}"


def _draw_curve(axes: Axes, fractions: list[float], curve: Mapping[str, Any], colour: str) -> None:
    axes.plot(fractions, curve["mean"], color=colour, linewidth=2)
    if curve["low"] is not None:
        axes.fill_between(fractions, curve["low"], curve["high"], color=colour, alpha=0.15, linewidth=0)


def _draw_reliability(axes: Axes, calibration: Mapping[str, Any]) -> None:
    """A dot for each bin, before and after temperature scaling; its area grows with the videos in it."""
    axes.plot((0, 1), (0, 1), color=_GREY, linewidth=1)
    shown = [("bins", "ece", "as it is", INK)]
    if "bins_scaled" in calibration:
        shown.append(("bins_scaled", "ece_scaled", "temperature scaled", colour_of(2)))
    for bins, error, words, colour in shown:
        count, confidence, accuracy = (
            np.array(calibration[bins][name]) for name in ("count", "confidence", "accuracy")
        )
        size, label = _SIZES * count / count.sum(), f"{words}: error {calibration[error]:.3f}"
        axes.scatter(confidence, accuracy, size, color=colour, alpha=0.6, linewidths=0)
        axes.scatter([], [], 30, color=colour, label=label)  # in the legend all dots are alike
    axes.set(
        xlim=(0, 1),
        ylim=(-0.03, 1.03),
        xlabel="score of the predicted class",
        ylabel="share of right answers",
    )
    axes.set_title("Reliability", fontsize=11, color=INK)
    axes.legend(frameon=False, fontsize=9, loc="best")
    quiet(axes)
