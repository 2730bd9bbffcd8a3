"""How long videos are, as reports of data sets and of jobs show it: a row of a table, and bars."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from slowfast_ext.report.figures import INK, colour_of, entitle, quiet

SPREAD = ("least", "5 %", "median", "mean", "95 %", "most")
_FEWEST_BINS, _MOST_BINS = 10, 40
# Videos beyond this part of all are counted in words: one of two hours would squeeze all others.
_SHOWN_PART = 0.995
# The scale is logarithmic if a bar is this many times as tall as the median one.
_TALL = 25


def spread_row(name: str, values: Sequence[float]) -> dict[str, str | float]:
    """A row with the keys of SPREAD; the name is "of"."""
    five, half, ninety_five = np.percentile(values, (5, 50, 95)).tolist()
    return {
        "of": name,
        "least": min(values),
        "5 %": five,
        "median": half,
        "mean": float(np.mean(values)),
        "95 %": ninety_five,
        "most": max(values),
    }


def draw_lengths(axes: Axes, seconds: Sequence[float], videos: str, none: str) -> None:
    """Draw bars.

    Args:
        axes: Where.
        seconds: Length of each video.
        videos: How many of what kind, as the title says it.
        none: The title where there are none.
    """
    quiet(axes)
    if not seconds:
        entitle(axes, none)
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
    entitle(
        axes,
        f"Length of {videos}; the line is the median, {median:.3g} s",
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
