"""Pictures of what the model looked at: frames of a video over the CLS token's attention (paper figure 3).

Shape legend: T frames that the model saw, n frames in the picture, H heads, L layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slowfast_ext.report.figures import INK, save
from vtn.errors import InputError

# Inches. Above the pictures of a video stands its caption, below them the heat bar.
_WIDTH, _PICTURES_TOP, _BELOW_PICTURES = 15.0, 0.3, 0.8
_WARM = colormaps["plasma"]  # blue to yellow, as in the paper


@dataclass(frozen=True)
class AttentionStrip:
    """One video to draw.

    Attributes:
        frames: (n, height, width, 3) uint8 RGB, the frames to show, in time order.
        frame_indices: (n,) their numbers among the T frames of `weights`.
        weights: (T,) attention of the CLS token, non-negative.
        seconds: (T,) time of every frame, rising.
        caption: Heading, such as label and prediction.
        action_seconds: [start, end) of the true action, or None where it is not known.
    """

    frames: np.ndarray
    frame_indices: np.ndarray
    weights: np.ndarray
    seconds: np.ndarray
    caption: str
    action_seconds: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if len(self.frames) != len(self.frame_indices) or not len(self.frame_indices):
            raise InputError(
                f"frame_indices has {len(self.frame_indices)} frames but frames has {len(self.frames)}."
            )
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


def even_frames(num_frames: int, count: int) -> np.ndarray:
    """Middles of `count` equal parts of `num_frames` frames, so that each picture stands above its own time.

    Returns:
        (count,) int64, non-decreasing, in [0, num_frames).
    """
    return ((np.arange(count) + 0.5) * num_frames / count).astype(np.int64)


def plot_strips(strips: Sequence[AttentionStrip], path: Path, *, title: str = "") -> None:
    """Draw one band for each video: frames, a heat bar of the attention over time, the true action beneath.

    Warm is high. The colours of a bar run from 0 to its largest weight, so they show where the model looked,
    and two videos cannot be compared by them. The border of a picture shows the mean weight of the frames
    around it, relative to the largest such mean.

    Args:
        strips: Videos, from top to bottom.
        path: Picture to write.
        title: Heading, none if empty.

    Raises:
        InputError: If there is no video.
    """
    if not strips:
        raise InputError("strips is empty: there is no video to draw.")
    heights = [_PICTURES_TOP + _picture_height(strip) + _BELOW_PICTURES for strip in strips]
    heading = 0.4 if title else 0.0
    figure = Figure(figsize=(_WIDTH, heading + sum(heights)))
    if title:
        figure.text(0, 1, title, fontsize=12, color=INK, va="top")
    top = heading
    for strip, height in zip(strips, heights, strict=True):
        _draw_strip(figure, strip, top)
        top += height
    save(figure, path)


def _picture_height(strip: AttentionStrip) -> float:
    height, width = strip.frames.shape[1:3]
    return _WIDTH / len(strip.frame_indices) * height / width


def _axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """New axes at a place given in inches from the upper left corner, without ticks."""
    total_width, total_height = figure.get_size_inches()
    box = (left / total_width, 1 - (top + height) / total_height, width / total_width, height / total_height)
    axes = figure.add_axes(box)
    axes.set_xticks([])
    axes.set_yticks([])
    return axes


def _draw_strip(figure: Figure, strip: AttentionStrip, top: float) -> None:
    count, step = len(strip.frame_indices), _WIDTH / len(strip.frame_indices)
    pictures_top = top + _PICTURES_TOP
    figure.text(
        0, 1 - (pictures_top - 0.08) / figure.get_size_inches()[1], strip.caption, fontsize=10, color=INK
    )
    means = _means_around_pictures(strip)
    for column in range(count):
        axes = _axes(figure, (column + 0.03) * step, pictures_top, 0.94 * step, _picture_height(strip))
        axes.imshow(strip.frames[column], aspect="auto")
        axes.spines[:].set(color=_WARM(means[column] / means.max()), linewidth=3)
    _draw_bar(_axes(figure, 0, pictures_top + _picture_height(strip) + 0.06, _WIDTH, 0.55), strip)


def _means_around_pictures(strip: AttentionStrip) -> np.ndarray:
    """Mean weight, (n,), of the frames nearer to a picture than to the others, so that no peak is missed."""
    edges = np.concatenate(
        ([0], (strip.frame_indices[1:] + strip.frame_indices[:-1] + 1) // 2, [len(strip.weights)])
    )
    # Where a short video shows a frame twice, its own weight is all there is.
    starts, ends = np.minimum(edges[:-1], strip.frame_indices), np.maximum(edges[1:], strip.frame_indices + 1)
    return np.array([strip.weights[start:end].mean() for start, end in zip(starts, ends, strict=True)])


def _draw_bar(axes: Axes, strip: AttentionStrip) -> None:
    """Attention over time at the top, the true action below it, then seconds."""
    start, end = strip.seconds[0], strip.seconds[-1]
    axes.imshow(
        strip.weights[None] / strip.weights.max(),
        cmap=_WARM,
        vmin=0,
        vmax=1,
        aspect="auto",
        extent=(start, end, 0.6, 1),
        interpolation="nearest",
    )
    axes.set(xlim=(start, end), ylim=(0, 1))
    axes.spines[:].set_visible(False)
    for seconds, side in ((start, "left"), (end, "right")):
        axes.text(seconds, 0.3, f"{seconds:.1f} s", ha=side, va="top", fontsize=8, color=INK)
    if strip.action_seconds is not None:
        left, right = np.clip(strip.action_seconds, start, end)
        axes.plot((left, right), (0.45, 0.45), color="#009e73", linewidth=4, solid_capstyle="butt")
        label = {"ha": "center", "va": "top", "fontsize": 8, "color": "#007a59"}
        axes.text((left + right) / 2, 0.3, "true action", **label)
