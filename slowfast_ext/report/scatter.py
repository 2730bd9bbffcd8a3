"""Accuracy against cost: how often the answer is right, and what it costs to classify a video."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from matplotlib.transforms import Bbox

from slowfast_ext.report.figures import INK, colour_of, legend_below, printable, quiet, save

_MARKERS = ("o", "^", "s", "D")
_AXIS_LABELS = {
    "gflops": "GFLOPs per view x views (for one video, logarithmic)",
    "milliseconds": "milliseconds for one video, median (logarithmic)",
}
# Where the name of a point may stand, in points from its middle: sideways, upwards, alignment to both.
_PLACES = (
    *(
        (0, 7, "center", "bottom"),
        (0, -8, "center", "top"),
        (8, 0, "left", "center"),
        (-8, 0, "right", "center"),
    ),
    *((7, 7, "left", "bottom"), (7, -7, "left", "top"), (-7, 7, "right", "bottom"), (-7, -7, "right", "top")),
)
_LONGEST_NAME = 24
# Half the side of a point, in points.
_POINT_RADIUS = 5


@dataclass(frozen=True)
class Point:
    """One model under one inference protocol.

    Attributes:
        model: Decides the colour.
        protocol: Decides the marker.
        cost: For a whole video, more than 0: GFLOPs of one view times the views, or milliseconds.
        top1: Accuracy, percent.
    """

    model: str
    protocol: str
    cost: float
    top1: float


def plot_scatter(
    points: Sequence[Point],
    path: Path,
    *,
    cost: Literal["gflops", "milliseconds"] = "gflops",
    chance: float | None = None,
    title: str = "",
) -> None:
    """Draw top-1 accuracy against cost on a logarithmic axis.

    A point has its model's name beside it where that overlaps no other; the legend names all.

    Args:
        points: One or more. Models get their colours, protocols their markers, in order of appearance.
        path: Picture to write.
        cost: What the cost of a point is.
        chance: Accuracy of guessing, percent; drawn as a line if it is given and near the points.
        title: Heading, none if empty.

    Raises:
        InputError: If the picture cannot be written.
    """
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.subplots()
    models = list(dict.fromkeys(point.model for point in points))
    protocols = list(dict.fromkeys(point.protocol for point in points))
    axes.set_xscale("log")
    for index, model in enumerate(models):
        _draw_model(axes, [point for point in points if point.model == model], index, protocols)
    _limits(axes, points)
    if chance is not None and chance >= axes.get_ylim()[0]:
        _draw_chance(axes, chance)
    quiet(axes)
    axes.set_xlabel(_AXIS_LABELS[cost], color=INK)
    axes.set_ylabel("top-1 accuracy, %", color=INK)
    _legends(axes, models, protocols)
    if title:
        axes.set_title(printable(title), fontsize=11, loc="left", color=INK)
    _write_names(axes, points, models)
    save(figure, path)


def _draw_model(axes: Axes, points: Sequence[Point], index: int, protocols: Sequence[str]) -> None:
    """A line joins the protocols of one model: it shows what more views cost and what they gain."""
    own = sorted(points, key=lambda point: point.cost)
    colour = colour_of(index)
    axes.plot([p.cost for p in own], [p.top1 for p in own], color=colour, linewidth=1, alpha=0.5)
    look = {"color": colour, "markersize": 9, "markeredgecolor": "white", "clip_on": False}
    for point in own:
        axes.plot(point.cost, point.top1, _marker(protocols.index(point.protocol)), **look)


def _marker(protocol: int) -> str:
    return _MARKERS[protocol % len(_MARKERS)]


def _draw_chance(axes: Axes, chance: float) -> None:
    axes.axhline(chance, color="#888888", linewidth=1, linestyle=(0, (4, 3)))
    label = {"ha": "right", "va": "bottom", "fontsize": 8, "color": "#666666"}
    axes.text(0.995, chance, "chance", transform=axes.get_yaxis_transform(), **label)


def _limits(axes: Axes, points: Sequence[Point]) -> None:
    """Room on all sides; accuracies that lie close together get the height, not the empty part below them."""
    costs, scores = [point.cost for point in points], [point.top1 for point in points]
    left, right = min(costs) / 2, max(costs) * 2
    axes.set_xlim(left, right)
    room = max(8.0, 0.6 * (max(scores) - min(scores)))
    axes.set_ylim(max(0.0, min(scores) - room), min(103.0, max(scores) + room))
    decades = range(math.floor(math.log10(left)), math.ceil(math.log10(right)) + 1)
    steps = (1, 1.5, 2, 3, 5, 7) if right / left < 30 else (1, 2, 5) if right / left < 3000 else (1,)
    ticks = [factor * 10.0**decade for decade in decades for factor in steps]
    axes.set_xticks([tick for tick in ticks if left <= tick <= right])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()


def _legends(axes: Axes, models: Sequence[str], protocols: Sequence[str]) -> None:
    """Colours stand for models, markers for protocols."""
    handles = [
        Line2D([], [], linestyle="", marker="s", color=colour_of(i), label=printable(model, f"model {i + 1}"))
        for i, model in enumerate(models)
    ]
    handles += [
        Line2D([], [], linestyle="", marker=_marker(i), color="#777777", label=protocol)
        for i, protocol in enumerate(protocols)
    ]
    legend_below(axes.figure, handles)


def _write_names(axes: Axes, points: Sequence[Point], models: Sequence[str]) -> None:
    """Name each point in the first place where the name lies within the axes and on nothing else."""
    figure = axes.figure
    figure.draw_without_rendering()  # the layout decides where the points are
    radius = _POINT_RADIUS * figure.dpi / 72
    taken = []
    for point in points:
        x, y = axes.transData.transform((point.cost, point.top1))
        taken.append(Bbox([(x - radius, y - radius), (x + radius, y + radius)]))
    frame = axes.get_window_extent()
    for point in points:
        index = models.index(point.model)
        name = printable(point.model, f"model {index + 1}", longest=_LONGEST_NAME)
        for right, up, horizontal, vertical in _PLACES:
            text = axes.annotate(
                name,
                (point.cost, point.top1),
                (right, up),
                textcoords="offset points",
                ha=horizontal,
                va=vertical,
                fontsize=8,
                color=INK,
            )
            text.set_in_layout(False)
            box = text.get_window_extent()
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not box.count_overlaps(taken):
                taken.append(box)
                break
            text.remove()
