"""Numbers of the page of one video, and its still pictures of them: lines and bars over time, as SVG.

Legend: n moments of the page, each with a picture, L layers, H heads, C classes whose evidence is shown,
G stretches of time.
"""

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from slowfast_ext.report.html import as_text

# Of a drawing, in its own units: it is stretched over the page.
WIDTH, HEIGHT = 1000, 100
_ROOM = 0.92  # of the height, for the largest value
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600)
_MOST_TICKS = 6
_DIGITS = 6  # that count, of the numbers for the script


@dataclass(frozen=True)
class Film:
    """The video of a page.

    Attributes:
        title: Its name.
        seconds: Length.
        frames: (n,) numbers of the frames that have a picture.
        times: (n,) seconds.
        pictures: n JPEG files.
        shares: (n,) of an even attention the part that belongs to each moment.
        groups: (n,), the stretch that each moment lies in.
        stretches: (G, 2), begin and end in seconds.
        unread: Begin and end in seconds of parts that cannot be read.
        segments: Begin, end, name of the class and score of what was found.
    """

    title: str
    seconds: float
    frames: Sequence[int]
    times: Sequence[float]
    pictures: Sequence[bytes]
    shares: np.ndarray
    groups: Sequence[int] = ()
    stretches: Sequence[tuple[float, float]] = ()
    unread: Sequence[tuple[float, float]] = ()
    segments: Sequence[tuple[float, float, str, float]] = ()


@dataclass(frozen=True)
class Side:
    """What one model says of it.

    Attributes:
        model: In words.
        scores: The best classes and their scores.
        classes: (C,) names of those whose evidence is shown, the predicted one first.
        attention: (L, H, n); None if there is none.
        evidence: (C, G), likewise.
        remark: A sentence on what is not there.
    """

    model: str
    scores: Sequence[tuple[str, float]]
    classes: Sequence[str] = ()
    attention: np.ndarray | None = None
    evidence: np.ndarray | None = None
    remark: str = ""

    @property
    def weights(self) -> np.ndarray:
        """(n,), of the last layer the mean over its heads: what the page shows first."""
        return self.attention[-1].mean(axis=0)


def number_in_words(value: float, digits: int, fewest: int) -> str:
    """So many digits that count, and at least `fewest` after the point: 0.931, 0.012, 0.00021."""
    size = math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{min(max(digits - 1 - size, fewest), 7)}f}"


def percent_in_words(part: float) -> str:
    """Of 1: 0.0231 is 2.31 %."""
    return f"{number_in_words(100 * part, 3, 1)} %"


def signed_in_words(value: float) -> str:
    """With a sign that is as wide as the other one."""
    return ("+" if value > 0 else "\u2212" if value < 0 else "") + number_in_words(abs(value), 2, 3)


def time_in_words(seconds: float, digits: int = 2) -> str:
    """4.20 s, 1:02.50 or 1:00:02.50."""
    if seconds < 60:
        return f"{seconds:.{digits}f} s"
    minutes, rest = divmod(round(seconds, digits), 60)
    width = 2 if digits == 0 else digits + 3
    clock = f"{int(minutes % 60):02}:{rest:0{width}.{digits}f}"
    return f"{int(minutes // 60)}:{clock}" if minutes >= 60 else clock.removeprefix("0")


def ticks_of(seconds: float) -> list[float]:
    """Round times from 0 on, at most a few."""
    step = next((tick for tick in _TICKS if seconds / tick <= _MOST_TICKS), seconds / _MOST_TICKS)
    return [number * step for number in range(int(seconds / step + 1e-9) + 1)]


def percent_of(film: Film, time: float) -> str:
    """Where a time is on the page, as CSS has it."""
    return f"{100 * min(max(time / film.seconds, 0), 1):.4g}%"


def line_drawing(film: Film, weights: np.ndarray, top: float, side: int) -> str:
    """Attention of a model over time and, dashed, an even share; `top` is as high as the drawing."""
    return _svg(
        f'<path class="area" d="{_area(film, weights, top)}"/>'
        f'<path class="line" d="{_line(film, weights, top)}"/>'
        f'<path class="even" d="{_line(film, film.shares, top)}"/>',
        f"Attention over time, {_highest(film, weights)}",
        "attention",
        side,
    )


def bar_drawing(film: Film, values: np.ndarray, name: str, side: int) -> str:
    """Evidence (G,) of each stretch: above the line where the score falls without it."""
    zero, unit = _scale(values)
    paths = {"for": "", "against": ""}
    for (begin, end), value in zip(film.stretches, values.tolist(), strict=True):
        left, right = _x(film, begin), _x(film, end)
        edge = zero - value * unit
        paths["for" if value > 0 else "against"] += f"M{left} {zero:.2f}H{right}V{edge:.2f}H{left}Z"
    best = int(values.argmax())
    begin, end = film.stretches[best]
    told = f"most from {time_in_words(begin)} to {time_in_words(end)}: {signed_in_words(values[best])}"
    drawing = "".join(f'<path class="{kind}" d="{path}"/>' for kind, path in paths.items())
    zero_line = f'<path class="zero" d="M0 {zero:.2f}H{WIDTH}"/>'
    return _svg(drawing + zero_line, f"Evidence for {name} over time, {told}", "evidence", side)


def data_of(film: Film, sides: Sequence[Side], start: int) -> str:
    """What the script reads: JSON in which nothing can end the element that it stands in."""
    data = {
        "start": start,
        "seconds": film.seconds,
        "frames": list(map(int, film.frames)),
        "times": [round(float(time), 4) for time in film.times],
        "shares": _rounded(film.shares),
        "groups": list(map(int, film.groups)),
        "stretches": [[round(float(begin), 4), round(float(end), 4)] for begin, end in film.stretches],
        "sides": [
            {
                "classes": list(side.classes),
                "attention": None if side.attention is None else _rounded(side.attention),
                "evidence": None if side.evidence is None else _rounded(side.evidence),
            }
            for side in sides
        ],
        "pictures": [base64.b64encode(picture).decode() for picture in film.pictures],
    }
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def rows_of(spans: Sequence[tuple[float, float]]) -> list[int]:
    """A row for each span, in which no other one is in its way."""
    ends: list[float] = []
    rows = []
    for begin, end in spans:
        row = next((number for number, last in enumerate(ends) if last <= begin), len(ends))
        ends[row : row + 1] = [end]
        rows.append(row)
    return rows


def _svg(inside: str, label: str, kind: str, side: int) -> str:
    look = f'class="{kind}" data-side="{side}" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none"'
    return f'<svg {look} role="img" aria-label="{as_text(label)}">{inside}</svg>'


def _highest(film: Film, weights: np.ndarray) -> str:
    best = int(weights.argmax())
    where = f"frame {film.frames[best]} at {time_in_words(film.times[best])}"
    return f"highest at {where}: {percent_in_words(weights[best])}"


def _x(film: Film, time: float) -> str:
    return f"{WIDTH * min(time / film.seconds, 1):.2f}"


def _line(film: Film, values: np.ndarray, top: float) -> str:
    points = zip(film.times, values.tolist(), strict=True)
    line = "L".join(f"{_x(film, time)} {HEIGHT - HEIGHT * _ROOM * value / top:.2f}" for time, value in points)
    return f"M{line}" + ("" if len(values) > 1 else f"H{WIDTH}")


def _area(film: Film, values: np.ndarray, top: float) -> str:
    end = WIDTH if len(values) == 1 else _x(film, film.times[-1])
    return f"{_line(film, values, top)}L{end} {HEIGHT}L{_x(film, film.times[0])} {HEIGHT}Z"


def _scale(values: np.ndarray) -> tuple[float, float]:
    """Where 0 is, and the height of 1."""
    high, low = max(values.max(), 0.0), min(values.min(), 0.0)
    unit = HEIGHT * _ROOM / (high - low) if high > low else 1.0
    return HEIGHT * ((1 + _ROOM) / 2) + low * unit, unit


def moments_of(weights: np.ndarray, starts: Sequence[int]) -> np.ndarray:
    """Weights of frames (..., T), summed over the frames from each start to the next: (..., n)."""
    edges = [*starts, weights.shape[-1]]
    return np.stack([weights[..., begin:end].sum(axis=-1) for begin, end in pairwise(edges)], axis=-1)


def _rounded(values):
    """An array as lists of floats with a few digits that count."""
    if values.ndim == 1:
        return [float(f"{value:.{_DIGITS}g}") for value in values.tolist()]
    return [_rounded(row) for row in values]
