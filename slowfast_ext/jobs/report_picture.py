"""The picture of a job: lengths, rate over time by machine, failures, and time against length."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from slowfast_ext.jobs.summary import JobSummary, Spent
from slowfast_ext.report.figures import INK, colour_of, entitle, printable, quiet, save
from slowfast_ext.report.lengths import draw_lengths

_MACHINES, _REASONS, _LONGEST_REASON, _LONGEST_NAME = 6, 7, 78, 16
_MOST_STEPS, _VIDEOS_OF_A_STEP = 60, 6
_GREY = "#a8a8a8"


def draw_job(summary: JobSummary, path: Path) -> None:
    """Draw the picture; the suffix of its file decides the format.

    Raises:
        InputError: If it cannot be written.
    """
    figure = Figure(figsize=(11.5, 7.6), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.12, w_pad=0.12)
    (lengths, rate), (reasons, times) = figure.subplots(2, 2)
    seconds = [spent.seconds for spent in summary.sample if spent.seconds > 0]
    if seconds:
        of = "" if len(seconds) == summary.seconds.count else f" of {summary.seconds.count}"
        count = sum(summary.states.values())
        draw_lengths(lengths, seconds, f"{len(seconds)}{of} video{'s' if count > 1 else ''}", "")
    else:
        _empty(lengths, "Lengths of videos", "none is known")
    _draw_rate(rate, summary)
    _draw_reasons(reasons, summary)
    _draw_times(times, [spent for spent in summary.sample if min(spent) > 0])
    save(figure, path)


def rate_of(summary: JobSummary) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Videos in a second, of each machine; of many machines the last ones are together.

    Returns:
        Edges of n steps of time, seconds at work since the begin, (n + 1,); and for each machine, (n,).
    """
    whole, pauses, times = summary.whole(), summary.pauses(), summary.times
    at_work = summary.seconds_at_work(whole)
    edges = _edges(at_work, min(_MOST_STEPS, whole.videos // _VIDEOS_OF_A_STEP), whole.begin, times.width)
    machines = list(summary.machines())
    groups: dict[str, list[str]] = {}
    for name in machines[:_MACHINES]:
        groups.setdefault(_short(name), []).append(name)
    if others := machines[_MACHINES:]:
        groups[f"{len(others)} others"] = others
    rates = {}
    for group, names in groups.items():
        counts = np.zeros(len(edges) - 1)
        for name in names:
            numbers, videos = np.array(sorted(times.counts[name].items()), dtype=float).T
            at = _since_begin((numbers + 0.5) * times.width, whole.begin, pauses)
            counts += np.histogram(np.clip(at, 0, at_work), edges, weights=videos)[0]
        rates[group] = counts / np.diff(edges)
    return edges, rates


def _since_begin(second: np.ndarray, begin: float, pauses: Sequence[tuple[int, int]]) -> np.ndarray:
    """Seconds at work before a time."""
    return second - begin - sum(np.clip(second - first, 0, last - first) for first, last in pauses)


def _draw_rate(axes: Axes, summary: JobSummary) -> None:
    """Videos in a second over time, of machines above each other; pauses are left out."""
    edges, rates = rate_of(summary)
    whole, pauses, at_work = summary.whole(), summary.pauses(), edges[-1]
    quiet(axes)
    unit, scale = ("s", 1) if sum(rates.values()).max() >= 0.5 else ("h", 3600)
    name_of_time, width = _unit(at_work)
    below = np.zeros(len(edges) - 1)
    for index, (name, of_group) in enumerate(rates.items()):
        above = below + of_group * scale
        colour = _GREY if index == _MACHINES else colour_of(index + 1)
        axes.stairs(above, edges / width, baseline=below, fill=True, color=colour, alpha=0.85, label=name)
        below = above
    for begin, _ in pauses:
        at = _since_begin(np.array(begin), whole.begin, pauses)
        axes.axvline(at / width, color=INK, linewidth=1, linestyle=":")
    mean = whole.videos / at_work * scale
    axes.axhline(mean, color=colour_of(0), linewidth=1.2)
    entitle(
        axes,
        f"Videos in {'a second' if unit == 's' else 'an hour'}; the line is the mean, {mean:.3g}",
    )
    axes.set_xlim(0, at_work / width)
    axes.set_ylim(0, 1.08 * max(below.max(), mean))
    left_out = " (dotted: nobody was for a while, which is left out)" if pauses else ""
    axes.set_xlabel(f"{name_of_time} at work{left_out}", color=INK)
    axes.set_ylabel(f"videos/{unit}", color=INK)
    if len(rates) > 1:
        axes.legend(frameon=False, fontsize=8, ncols=1, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _edges(at_work: float, most: int, begin: float, width: int) -> np.ndarray:
    """Of steps that are whole bins of the time that is counted, the first and the last of them in part."""
    step = width * max(1, math.ceil(at_work / width / max(1, most)))
    inner = np.arange(step - begin % width, at_work, step)
    # A short rest is part of the step before it: of so little time the rate would be chance.
    inner = inner[(inner > step / 2) & (inner < at_work - step / 2)]
    return np.array([0.0, *inner, at_work])


def _draw_reasons(axes: Axes, summary: JobSummary) -> None:
    """A bar for each reason, under its words: of failures first, then of repairs."""
    title = "Why videos failed"
    told = [(why, reason.videos, colour_of(0)) for why, reason in summary.failures.told()]
    if repairs := [(why, reason.videos, colour_of(2)) for why, reason in summary.repairs.told()]:
        title = "Why videos failed (red), and what repaired ones lack (amber)"
        # Of both kinds some are seen.
        told = [*told[: max(_REASONS - len(repairs), _REASONS - 3)], *repairs]
    if not told:
        _empty(axes, title, "no video failed or was repaired")
        return
    left = len(summary.failures.told()) + len(repairs) - len(told[:_REASONS])
    told = told[:_REASONS]
    quiet(axes)
    places = np.arange(len(told))
    counts = [videos for _, videos, _ in told]
    axes.barh(places, counts, height=0.34, color=[colour for _, _, colour in told])
    for place, (why, videos, _) in zip(places, told, strict=True):
        words = f"{videos}: {printable(why, 'a reason', longest=_LONGEST_REASON)}"
        axes.text(0, place - 0.24, f" {words}", fontsize=8, color=INK, va="bottom")
    axes.set_ylim(max(len(told), 3) - 0.6, -0.75)
    axes.set_xlim(0, 1.05 * max(counts))
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("videos" + (f" ({left} more reasons are in the page)" if left else ""), color=INK)
    entitle(axes, title)


def _draw_times(axes: Axes, sample: Sequence[Spent]) -> None:
    """A point for each video."""
    if not sample:
        _empty(axes, "Time a video took against its length", "none is known")
        return
    seconds, took = np.array(sample).T
    quiet(axes)
    for axis, values in ((axes.xaxis, seconds), (axes.yaxis, took)):
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})
        axis.set_view_interval(values.min() / 1.5, values.max() * 1.5, ignore=True)
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if values.max() < 50 * values.min() else (1,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    many = len(sample) > 500
    axes.scatter(
        seconds, took, s=6 if many else 16, alpha=0.25 if many else 0.7, color=colour_of(1), linewidths=0
    )
    ends = np.array([seconds.min(), seconds.max()])
    pace = float(np.median(took / seconds))
    axes.plot(ends, ends * pace, color=colour_of(0), linewidth=1.2)
    entitle(
        axes,
        f"Time a video took against its length; the line: {pace:.2g} s for a second",
    )
    axes.set_xlabel("length, s", color=INK)
    axes.set_ylabel("took, s", color=INK)


def _empty(axes: Axes, title: str, words: str) -> None:
    axes.set_axis_off()
    entitle(axes, title)
    axes.text(0.5, 0.5, words, ha="center", va="center", color="#666666", transform=axes.transAxes)


def _short(machine: str) -> str:
    """Both ends: names of clusters begin alike, and those with a domain end alike."""
    half = _LONGEST_NAME // 2
    return machine if len(machine) <= _LONGEST_NAME else f"{machine[:half]}…{machine[-half:]}"


def _unit(seconds: float) -> tuple[str, float]:
    if seconds < 180:
        return "seconds", 1.0
    return ("minutes", 60.0) if seconds < 3 * 3600 else ("hours", 3600.0)
