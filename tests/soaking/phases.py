"""What the processes of a training are doing, in memory that they share with the one that strikes."""

import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# What a rank is at: nothing yet, between steps, in one, in a validation.
STARTING, BETWEEN, STEP, VALIDATION = range(4)
_NAMES = ("start", "between steps", "step", "validation")
# Where a blow may fall: in one of these, while a checkpoint is written, while a worker decodes, or anywhere.
PLACES = ("step", "validation", "save", "decoding", "anywhere")
_MOST_RANKS, _MOST_WORKERS = 4, 4
# Cells of 8 bytes: (process, phase) of each rank, whether somebody saves, (process, at a video) of workers.
_SAVING = 2 * _MOST_RANKS
_WORKERS = _SAVING + 1
_CELLS = _WORKERS + 2 * _MOST_RANKS * _MOST_WORKERS


class Phases:
    """A table that outlives the processes that write into it; those that are forked later share it."""

    def __init__(self) -> None:
        self._cells = memoryview(mmap.mmap(-1, 8 * _CELLS)).cast("q")

    def clear(self) -> None:
        """Forget the processes of before."""
        for cell in range(_CELLS):
            self._cells[cell] = 0

    @property
    def ranks(self) -> list[int]:
        """Process ids of the ranks that have begun to train."""
        return [pid for pid in self._cells[: 2 * _MOST_RANKS : 2] if pid]

    def workers(self, *, decoding: bool | None = None) -> list[int]:
        """Process ids of the workers that have loaded something, those at a video alone, or the others."""
        pairs = zip(self._cells[_WORKERS::2], self._cells[_WORKERS + 1 :: 2], strict=True)
        return [pid for pid, busy in pairs if pid and (decoding is None or bool(busy) == decoding)]

    def is_at(self, place: str) -> bool:
        """Whether any process is at one of PLACES."""
        if place == "save":
            return bool(self._cells[_SAVING])
        if place == "decoding":
            return bool(self.workers(decoding=True))
        phases = [self._cells[2 * rank + 1] for rank in range(_MOST_RANKS)]
        return any(phases) if place == "anywhere" else _NAMES.index(place) in phases

    def describe(self) -> str:
        """What is being done now, in words."""
        pairs = [(self._cells[2 * rank], self._cells[2 * rank + 1]) for rank in range(_MOST_RANKS)]
        words = [_NAMES[phase] for pid, phase in pairs if pid] or ["start"]
        words += ["save"] * self.is_at("save") + ["decoding"] * self.is_at("decoding")
        return " + ".join(dict.fromkeys(words))

    @contextmanager
    def _in(self, rank: int, phase: int) -> Iterator[None]:
        self._cells[2 * rank] = os.getpid()
        self._cells[2 * rank + 1] = phase
        try:
            yield
        finally:
            self._cells[2 * rank + 1] = BETWEEN

    @contextmanager
    def _saving(self) -> Iterator[None]:
        self._cells[_SAVING] = 1
        try:
            yield
        finally:
            self._cells[_SAVING] = 0

    @contextmanager
    def _decoding(self, rank: int, worker: int) -> Iterator[None]:
        cell = _WORKERS + 2 * (rank * _MOST_WORKERS + worker)
        self._cells[cell] = os.getpid()
        self._cells[cell + 1] = 1
        try:
            yield
        finally:
            self._cells[cell + 1] = 0

    def watch(self) -> None:
        """Let this process, and those that it forks, write into the table; for good."""
        from torch.utils.data import get_worker_info

        from slowfast_ext.data.dataset import Vtnkinetics
        from slowfast_ext.distributed import rank
        from slowfast_ext.engine import saving, train

        def within(context: Callable[[], Any], module: Any, name: str) -> None:
            function = getattr(module, name)

            def noted(*args: Any, **kwargs: Any) -> Any:
                with context():
                    return function(*args, **kwargs)

            setattr(module, name, noted)

        def decoding() -> Any:
            worker = get_worker_info()
            return self._decoding(rank(), 0 if worker is None else worker.id)

        within(lambda: self._in(rank(), STEP), train, "train_step")
        within(lambda: self._in(rank(), VALIDATION), train, "eval_epoch")
        within(self._saving, saving, "write_checkpoint")
        within(decoding, Vtnkinetics, "__getitem__")
