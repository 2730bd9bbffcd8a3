"""Accuracy against cost: how often the answer is right, and what it costs to classify a video."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from slowfast_ext.report.figures import INK, colour_of, quiet, save

_MARKERS = ("o", "^", "s", "D")


@dataclass(frozen=True)
class Point:
    """One model under one inference protocol.

    Attributes:
        model: Decides the colour.
        protocol: Decides the marker.
        gflops: Of the whole video: GFLOPs of one view times the views.
        top1: Accuracy, percent.
    """

    model: str
    protocol: str
    gflops: float
    top1: float


def plot_scatter(
    points: Sequence[Point], path: Path, *, chance: float | None = None, title: str = ""
) -> None:
    """Draw top-1 accuracy against GFLOPs x views on a logarithmic axis.

    Args:
        points: Models get their colours, protocols their markers, in order of appearance.
        path: Picture to write.
        chance: Accuracy of guessing, percent, drawn as a line if given.
        title: Heading, none if empty.
    """
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    models = list(dict.fromkeys(point.model for point in points))
    protocols = list(dict.fromkeys(point.protocol for point in points))
    axes.set_xscale("log")
    for index, model in enumerate(models):
        # A line joins the protocols of one model: it shows what more views cost and what they gain.
        own = sorted((point for point in points if point.model == model), key=lambda point: point.gflops)
        axes.plot(
            [p.gflops for p in own], [p.top1 for p in own], color=colour_of(index), linewidth=1, alpha=0.5
        )
        for point in own:
            marker = _MARKERS[protocols.index(point.protocol) % len(_MARKERS)]
            axes.plot(
                point.gflops,
                point.top1,
                marker,
                color=colour_of(index),
                markersize=9,
                markeredgecolor="white",
                clip_on=False,
            )
    if chance is not None:
        axes.axhline(chance, color="#888888", linewidth=1, linestyle=(0, (4, 3)))
        axes.text(
            0.995,
            chance + 1,
            "chance",
            transform=axes.get_yaxis_transform(),
            ha="right",
            fontsize=8,
            color="#666666",
        )
    _limits(axes, points)
    quiet(axes)
    axes.set_xlabel("GFLOPs per view x views (for one video, logarithmic)", color=INK)
    axes.set_ylabel("top-1 accuracy, %", color=INK)
    _legends(axes, models, protocols)
    if title:
        axes.set_title(title, fontsize=11, loc="left", color=INK)
    save(figure, path)


def _limits(axes: Axes, points: Sequence[Point]) -> None:
    costs = [point.gflops for point in points]
    axes.set_xlim(min(costs) / 2, max(costs) * 2)
    axes.set_ylim(0, 103)
    decades = range(math.floor(math.log10(min(costs) / 2)), math.ceil(math.log10(max(costs) * 2)) + 1)
    ticks = [factor * 10.0**decade for decade in decades for factor in (1, 2, 5)]
    axes.set_xticks([tick for tick in ticks if min(costs) / 2 <= tick <= max(costs) * 2])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()


def _legends(axes: Axes, models: Sequence[str], protocols: Sequence[str]) -> None:
    """Colours stand for models, markers for protocols. Both are below the axes, where they hide no point."""
    handles = [axes.plot([], [], "s", color=colour_of(i), label=model)[0] for i, model in enumerate(models)]
    handles += [
        axes.plot([], [], _MARKERS[i % len(_MARKERS)], color="#777777", label=protocol)[0]
        for i, protocol in enumerate(protocols)
    ]
    axes.figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9
    )
