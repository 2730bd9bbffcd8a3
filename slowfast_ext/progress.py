"""How far a command is with many videos: a bar on a terminal, lines now and then where there is none."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

_T = TypeVar("_T")
# Without a terminal, seconds between lines that report progress.
_SAY_EVERY = 30.0


def say_line(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


def speaker() -> Callable[[str], None]:
    """What prints a line while `with_progress` may show a bar."""
    return tqdm.write if sys.stderr.isatty() else say_line


def with_progress(results: Iterable[_T], total: int, what: str, say: Callable[[str], None]) -> Iterator[_T]:
    """Pass results on, and show how many of `total` there are and how long the others will take.

    Args:
        results: One for each video.
        total: How many will come.
        what: What is done, as "reading videos" says it.
        say: Receives lines where there is no terminal.
    """
    if not total:
        return
    if sys.stderr.isatty():
        yield from tqdm(results, total=total, unit="video", desc=what, smoothing=0.05)
        return
    begun = said = time.monotonic()
    for done, result in enumerate(results, start=1):
        yield result
        now = time.monotonic()
        if now - said >= _SAY_EVERY or done == total:
            said = now
            left = (now - begun) / done * (total - done)
            say(f"{done} of {total} videos read, {now - begun:.0f} s, about {left:.0f} s to go")
