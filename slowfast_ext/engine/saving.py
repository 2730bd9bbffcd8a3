"""Checkpoints of a training: copied in a moment, written in the background, whole or not at all."""

import os
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import torch
from fvcore.common.config import CfgNode

from slowfast_ext.distributed import is_master
from slowfast_ext.engine.learner import Learner
from slowfast_ext.engine.validations import Validations
from slowfast_ext.files import reason_of
from slowfast_ext.host import get_host
from slowfast_ext.host.checkpoint import RUN, UNFINISHED, write_checkpoint
from slowfast_ext.host.places import (
    Place,
    best_path,
    checkpoint_path,
    inside_path,
    list_checkpoints,
    list_inside,
    place_of,
)

_INSIDE_KEPT = 2
_CHECKPOINT, _BEST, _VALIDATIONS = "checkpoint", "best", "validations"


class Saver:
    """Writes checkpoints; only the first process does, and the others may call all of it too.

    At most one copy of the training's state is in memory: where the disk is slower than that, a save waits
    for the one before.

    Args:
        cfg: Keys OUTPUT_DIR and TRAIN.{CHECKPOINT_MINUTES, CHECKPOINTS_KEPT}.
        learner: What is saved.
        place: Where the training begins, which is on disk or needs no file.
        validations: Those of the run so far.
        made_with: What a run that continues compares with its own, see changes.py.

    Attributes:
        failures: Files that could not be written when that was tried last, and a sentence on each.
    """

    def __init__(
        self,
        cfg: CfgNode,
        learner: Learner,
        place: Place,
        validations: Validations,
        made_with: dict[str, str],
    ) -> None:
        self._cfg, self._learner, self._validations, self._made_with = cfg, learner, validations, made_with
        self._saved, self._saved_at = place, time.monotonic()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future | None = None
        self.failures: dict[str, str] = {}
        if is_master():
            _remove([os.path.join(cfg.OUTPUT_DIR, "checkpoints", UNFINISHED)])  # of a run that was killed

    def is_due(self) -> bool:
        """Whether a checkpoint inside the epoch is to be written, in this process's opinion."""
        seconds = 60 * self._cfg.TRAIN.CHECKPOINT_MINUTES
        busy = self._writing is not None and not self._writing.done()
        return is_master() and 0 < seconds <= time.monotonic() - self._saved_at and not busy

    def save_inside(self, place: Place, progress: dict[str, Any]) -> None:
        """Save inside an epoch, unless this place has been saved.

        Args:
            place: Of the training.
            progress: What else the rest of the epoch needs: see train.py.
        """
        if place == self._saved:
            self._saved_at = time.monotonic()
            return
        path = inside_path(self._cfg.OUTPUT_DIR, place)
        self._save(path, place, {"progress": progress}, lambda: self._let_go_inside(place))

    def save_epoch(self, epoch: int, ledger: dict[str, Any]) -> None:
        """Save after an epoch, unless that has been done.

        Args:
            epoch: From 0.
            ledger: Of the training list, see Ledger.to_state: it tells of earlier epochs too.
        """
        place, path = Place(epoch + 1), checkpoint_path(self._cfg.OUTPUT_DIR, epoch + 1)
        if place != self._saved:
            self._save(path, place, {"ledger": ledger}, lambda: self._let_go(place))

    def note_validation(self, epoch: int, errors: tuple[float, float]) -> None:
        """Note the errors of an epoch, and keep its weights in best.pyth if they are the best so far."""
        self._validations.errors[epoch] = errors
        if not is_master():
            return
        if self._validations.best == epoch:
            path = best_path(self._cfg.OUTPUT_DIR)
            if self._saved == Place(epoch + 1):
                written = checkpoint_path(self._cfg.OUTPUT_DIR, epoch + 1)
                self._submit(_BEST, path, lambda: _link(written, path))
            else:
                state = self._copy(epoch, {})
                self._submit(_BEST, path, lambda: write_checkpoint(path, state))
        file = self._validations.copy()
        self._submit(_VALIDATIONS, str(file.path), file.write)

    @property
    def failure(self) -> str:
        """Why the last save failed, except of best.pyth, which a later epoch may replace; else empty."""
        return self.failures.get(_CHECKPOINT) or self.failures.get(_VALIDATIONS, "")

    def wait(self) -> None:
        """Wait until all is written."""
        if self._writing is not None:
            self._writing.result()

    def finish(self) -> None:
        """The training has ended: wait, and remove the checkpoints inside epochs, which nobody needs now."""
        self.wait()
        if is_master() and not self.failure:
            _remove(list_inside(self._cfg.OUTPUT_DIR))

    def close(self) -> None:
        """Wait, and end the thread that writes."""
        self._writer.shutdown()

    def _save(self, path: str, place: Place, more: dict[str, Any], then: Callable[[], None]) -> None:
        self._saved, self._saved_at = place, time.monotonic()
        if not is_master():
            return
        self.wait()
        state = self._copy(place.epoch - 1, more)

        def write() -> None:
            write_checkpoint(path, state)
            then()

        self._submit(_CHECKPOINT, path, write)

    def _copy(self, epoch: int, more: dict[str, Any]) -> dict[str, Any]:
        """The state of the training in memory of its own, on the CPU."""
        run = {"validations": dict(self._validations.errors), "made_with": self._made_with, **more}
        return copied(self._learner.state(epoch, self._cfg) | {RUN: run})

    def _submit(self, kind: str, path: str, write: Callable[[], None]) -> None:
        """Write in the background, after what is being written; what fails is told."""

        def attempt() -> None:
            try:
                write()
            except OSError as error:
                self.failures[kind] = f"{path} could not be written ({reason_of(error)})"
                text = "%s: the training goes on, and tries again next time"
                get_host().get_logger(__name__).error(text, self.failures[kind])
            else:
                self.failures.pop(kind, None)

        self._writing = self._writer.submit(attempt)

    def _let_go(self, place: Place) -> None:
        """Remove what is not kept up to a place; what an earlier run has left of later ones stays."""
        kept, saved = self._cfg.TRAIN.CHECKPOINTS_KEPT, list_checkpoints(self._cfg.OUTPUT_DIR)
        _remove(_up_to(place, saved)[kept:] if kept else [])
        self._let_go_inside(place)

    def _let_go_inside(self, place: Place) -> None:
        _remove(_up_to(place, list_inside(self._cfg.OUTPUT_DIR))[_INSIDE_KEPT:])


def copied(value: Any) -> Any:
    """Tensors and plain values in dicts, lists and tuples, in memory of their own, on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return type(value)((name, copied(part)) for name, part in value.items())
    if isinstance(value, (list, tuple)):
        return type(value)(copied(part) for part in value)
    return value


def _up_to(place: Place, paths: Iterable[str]) -> list[str]:
    return [path for path in paths if place_of(path) <= place]


def _remove(paths: Iterable[str]) -> None:
    for path in paths:
        with suppress(OSError):
            os.remove(path)


def _link(source: str, target: str) -> None:
    """Give a file a second name, which stays when the first one goes; copy it where that cannot be done."""
    part = os.path.join(os.path.dirname(target), UNFINISHED)
    try:
        os.link(source, part)
    except OSError:
        shutil.copyfile(source, part)
    os.replace(part, target)
    _remove([part])  # it stays where both names were of one file already
