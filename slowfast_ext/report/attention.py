"""Pictures of what the model looked at: frames of a video over the CLS token's attention (paper figure 3).

Shape legend: T frames that the model saw, n frames that are shown, H heads, L layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure, SubFigure

from slowfast_ext.report.figures import INK, save
from vtn.errors import InputError

_WARM = colormaps["inferno"]


@dataclass(frozen=True)
class AttentionStrip:
    """One video to draw.

    Attributes:
        frames: (n, height, width, 3) uint8 RGB, the frames to show, in time order.
        shown: (n,) which of the T frames of `weights` those are.
        weights: (T,) attention of the CLS token, non-negative.
        seconds: (T,) time of every frame, rising.
        caption: Heading, such as label and prediction.
        action_seconds: [start, end) of the true action, or None where it is not known.
    """

    frames: np.ndarray
    shown: np.ndarray
    weights: np.ndarray
    seconds: np.ndarray
    caption: str
    action_seconds: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if len(self.frames) != len(self.shown) or not len(self.shown):
            raise InputError(f"shown has {len(self.shown)} frames but frames has {len(self.frames)}.")
        if self.weights.shape != self.seconds.shape or self.weights.ndim != 1:
            raise InputError(
                f"weights is {self.weights.shape} and seconds {self.seconds.shape}: both must be (T,)."
            )


def attention_inside(weights: np.ndarray, inside: np.ndarray) -> float:
    """Share of the attention on marked frames, in [0, 1].

    Args:
        weights: (T,) non-negative, not all zero.
        inside: (T,) bool.
    """
    return float(weights[inside].sum() / weights.sum())


def plot_strips(strips: Sequence[AttentionStrip], path: Path, *, title: str = "") -> None:
    """Draw one band for each video: frames, a heat bar of the attention over time, the true action beneath.

    Warm is high. Within each video the colours run from 0 to its largest weight, so they say where the model
    looked, not how strongly compared with another video.

    Args:
        strips: Videos, from top to bottom.
        path: Picture to write.
        title: Heading, none if empty.

    Raises:
        InputError: If there is no video.
    """
    if not strips:
        raise InputError("strips is empty: there is no video to draw.")
    columns = max(len(strip.shown) for strip in strips)
    figure = Figure(figsize=(0.95 * columns, 1.95 * len(strips) + 0.3), layout="constrained")
    parts = figure.subfigures(len(strips), 1, squeeze=False, hspace=0.04)[:, 0]
    for part, strip in zip(parts, strips, strict=True):
        _draw_strip(part, strip)
    if title:
        figure.suptitle(title, fontsize=12, color=INK)
    save(figure, path)


def _draw_strip(part: SubFigure, strip: AttentionStrip) -> None:
    peak = strip.weights.max()
    count = len(strip.shown)
    grid = part.add_gridspec(2, count, height_ratios=(5, 1.2), wspace=0.03, hspace=0.02)
    # The average between neighbouring shown frames: one frame's own weight may miss the peak beside it.
    edges = np.concatenate(([0], (strip.shown[1:] + strip.shown[:-1] + 1) // 2, [len(strip.weights)]))
    for column in range(count):
        axes = part.add_subplot(grid[0, column])
        axes.imshow(strip.frames[column])
        axes.set_xticks([])
        axes.set_yticks([])
        weight = strip.weights[edges[column] : edges[column + 1]].mean()
        axes.spines[:].set(color=_WARM(weight / peak), linewidth=3)
    bar = part.add_subplot(grid[1, :])
    _draw_bar(bar, strip, peak)
    part.suptitle(strip.caption, fontsize=10, color=INK, x=0.005, ha="left")


def _draw_bar(axes, strip: AttentionStrip, peak: float) -> None:
    start, end = strip.seconds[0], strip.seconds[-1]
    axes.imshow(
        strip.weights[None] / peak,
        cmap=_WARM,
        vmin=0,
        vmax=1,
        aspect="auto",
        extent=(start, end, 0, 1),
        interpolation="nearest",
    )
    axes.set_ylim(-0.55, 1)
    if strip.action_seconds is not None:
        left, right = np.clip(strip.action_seconds, start, end)
        axes.plot((left, right), (-0.3, -0.3), color="#009e73", linewidth=4, solid_capstyle="butt")
        axes.text(
            (left + right) / 2, -0.62, "true action", ha="center", va="top", fontsize=8, color="#007a59"
        )
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_xticks([start, end], [f"{start:.0f} s", f"{end:.1f} s"])
    axes.tick_params(length=0, labelsize=8, colors=INK)
