"""How far a long command is: lines to read, a bar on a terminal, and an estimate of what is left."""

import json
import re
import sys
import time
from collections.abc import Callable
from datetime import timedelta

from tqdm import tqdm

from slowfast_ext.report.curves import parse_stats

_SECONDS_BETWEEN_LINES = 60
_CLOCK = re.compile(r"(?:(\d+) days?, )?(\d+):(\d\d):(\d\d)")


class Progress:
    """Progress over steps of which each has an estimate, in seconds that are right in proportion at most.

    On a terminal there is a bar. Otherwise a line says what is left when a step begins, and every minute.

    Args:
        total: Sum of the estimates.
        say: Receives lines where there is no terminal; by default they are printed.
        terminal: Whether a person is watching; by default, whether standard output is a terminal.
    """

    def __init__(
        self, total: float, *, say: Callable[[str], None] | None = None, terminal: bool | None = None
    ) -> None:
        self._total, self._say = max(total, 1e-9), say or _print
        watched = (say is None and sys.stdout.isatty()) if terminal is None else terminal
        self._bar = tqdm(total=1000, bar_format="{percentage:3.0f}%|{bar}| {postfix}") if watched else None
        self._done = 0.0  # estimates of ended steps
        self._now, self._fraction = 0.0, 0.0  # estimate of this step, and how much of it is done
        self._worked, self._seconds = 0.0, 0.0  # estimates of what was done here, and how long that took
        self._began, self._said = time.perf_counter(), time.perf_counter()

    def skip(self, estimate: float, text: str) -> None:
        """A step was finished in an earlier run."""
        self._done += estimate
        self.line(text)

    def begin(self, estimate: float, text: str) -> None:
        """A step begins."""
        self._now, self._fraction, self._began = estimate, 0.0, time.perf_counter()
        self.line(text + self._left_in_words())
        self._said = time.perf_counter()

    def advance(self, fraction: float) -> None:
        """This much of the step is done, in [0, 1]."""
        self._fraction = max(self._fraction, min(fraction, 1.0))
        if self._bar is not None:
            self._draw()
        elif time.perf_counter() - self._said > _SECONDS_BETWEEN_LINES:
            self._said = time.perf_counter()
            self.line(f"  {self._fraction:.0%} of this step done{self._left_in_words()}")

    def end(self, text: str) -> None:
        """The step has ended, well or not."""
        self._worked += self._now
        self._seconds += time.perf_counter() - self._began
        self._done += self._now
        self._now, self._fraction = 0.0, 0.0
        self.line(text)

    def line(self, text: str) -> None:
        """Show a line above the bar."""
        if self._bar is None:
            self._say(text)
        else:
            tqdm.write(text)
            self._draw()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()

    def seconds_left(self) -> float | None:
        """From how long the work so far took; None before a part of any step is done."""
        worked = self._worked + self._now * self._fraction
        if worked <= 0:
            return None
        running = time.perf_counter() - self._began if self._now else 0.0
        left = self._total - self._done - self._now * self._fraction
        return max(0.0, left) * (self._seconds + running) / worked

    def _left_in_words(self) -> str:
        left = self.seconds_left()
        return "" if left is None else f"; about {timedelta(seconds=round(left))} left in all"

    def _draw(self) -> None:
        self._bar.n = min(1000, round(1000 * (self._done + self._now * self._fraction) / self._total))
        self._bar.set_postfix_str(self._left_in_words().removeprefix("; "))


def _print(text: str) -> None:
    print(text, flush=True)


def _stats_of(line: str) -> dict:
    try:
        return parse_stats(line) or {}
    except json.JSONDecodeError:
        return {}


def fraction_done(line: str) -> float | None:
    """How much of a training or test is done by one line of its log, in [0, 1]; None for other lines."""
    stats = _stats_of(line)
    if "fraction_done" in stats:
        return stats["fraction_done"]
    kind = stats.get("_type")
    if kind == "train_iter":
        (epoch, epochs), (step, steps) = (map(int, stats[name].split("/")) for name in ("epoch", "iter"))
        return (epoch - 1 + step / steps) / epochs
    if kind == "val_epoch":
        epoch, epochs = map(int, stats["epoch"].split("/"))
        return epoch / epochs
    if stats.get("split") == "test_iter" and (clock := _CLOCK.search(str(stats.get("eta", "")))):
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        left = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        done = float(stats["cur_iter"]) * float(stats["time_diff"])
        return done / (done + left) if done + left else None
    return None


def short_line(line: str) -> str | None:
    """What to show of one line of the log: an epoch's numbers, a result or a warning; None for others."""
    if ("[WARNING" in line and "jit_analysis" not in line) or "Error: " in line:  # fvcore names each operator
        return line.strip()
    stats = _stats_of(line)
    if stats.get("_type") == "train_epoch":
        accuracy = 100 - stats["top1_err"]
        return f"epoch {stats['epoch']}, loss {stats['loss']:.3f}, top-1 on training clips {accuracy:.1f} %"
    if stats.get("_type") == "val_epoch":
        return f"epoch {stats['epoch']}, top-1 on validation videos {100 - stats['top1_err']:.1f} %"
    if stats.get("split") == "test_final":
        top5 = f", top-5 {stats['top5_acc']} %" if "top5_acc" in stats else ""
        return f"top-1 {stats['top1_acc']} %{top5} of {stats['num_videos']} videos"
    return None
