"""How fast the steps of a pass are, how long they wait for data, and a bar on a terminal."""

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from slowfast_ext.distributed import is_master


@dataclass(frozen=True)
class Took:
    """Wall time of some steps, and the part of it in which they waited for data; seconds."""

    seconds: float
    waiting_seconds: float


class Pace:
    """Measures a pass over a loader, between one reading and the next."""

    def __init__(self) -> None:
        self._read_at, self._waited = time.perf_counter(), 0.0

    def over(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches; the time that each takes to come is noted."""
        self._read_at, self._waited = time.perf_counter(), 0.0
        batches = iter(batches)
        while True:
            asked = time.perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                return
            self._waited += time.perf_counter() - asked
            yield batch

    def read(self) -> Took:
        """The time since the last call, or since the pass began."""
        now = time.perf_counter()
        took = Took(now - self._read_at, self._waited)
        self._read_at, self._waited = now, 0.0
        return took


def with_bar(batches: Iterable[Any], total: int, what: str, done: int = 0) -> Iterator[Any]:
    """The batches, with a bar below the log if somebody watches on a terminal; the first process draws it.

    Args:
        batches: Those that are left.
        total: Batches of the whole pass.
        what: In front of the bar.
        done: Batches of the pass that were given before these.
    """
    watched = is_master() and sys.stderr.isatty()
    with logging_redirect_tqdm() if watched else contextlib.nullcontext():
        options = {"total": total, "initial": done, "desc": what, "unit": "batch", "leave": False}
        yield from tqdm(batches, **options, disable=not watched)
