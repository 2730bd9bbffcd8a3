"""A training that may be stopped anywhere: where it begins, and how it answers what it is asked for."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Any, NoReturn

from fvcore.common.config import CfgNode

from slowfast_ext.data.loader import VideoLoader
from slowfast_ext.distributed import is_master, said_by_first
from slowfast_ext.engine.board import Board
from slowfast_ext.engine.changes import describe_changes
from slowfast_ext.engine.learner import Learner
from slowfast_ext.engine.saving import Saver
from slowfast_ext.engine.start import Source
from slowfast_ext.engine.stopping import SAVE, Noted, Stopped, signal_in
from slowfast_ext.engine.validations import Validations
from slowfast_ext.host import get_host
from slowfast_ext.host.places import Place, list_inside, list_saved


@dataclass(frozen=True)
class Begin:
    """Where a training begins.

    Attributes:
        place: Epochs and iterations that are done.
        progress: Of the epoch that was begun, see `Session.progress`; None if none was.
        validations: Those of the epochs that are done.
        of_this_run: Whether it goes on from a checkpoint of its own folder.
        order: What decides the order of the videos in an epoch, and how many of them are a step.
    """

    place: Place
    progress: dict[str, Any] | None
    validations: Validations
    of_this_run: bool
    order: list

    @property
    def lacks_validation(self) -> bool:
        """Whether the last epoch that is done has not been validated: the run was stopped before the end."""
        after_epoch = self.of_this_run and self.progress is None
        return after_epoch and self.place.epoch - 1 not in self.validations.errors


def find_begin(
    cfg: CfgNode, source: Source | None, learner: Learner, loader: VideoLoader, made: dict[str, str]
) -> Begin:
    """Fill the learner with what the training starts from, and find the place to go on at; the log says it.

    Args:
        cfg: Of the training.
        source: What it starts from.
        learner: Is filled.
        loader: Of the training list.
        made: What the run is made with, see changes.py.
    """
    logger, validations = get_host().get_logger(__name__), Validations(cfg.OUTPUT_DIR)
    of_this_run = source is not None and source.path in list_saved(cfg.OUTPUT_DIR)
    epoch, run = (-1, {}) if source is None else learner.resume(source)
    if of_this_run:
        validations.errors |= run.get("validations", {})
        validations.read(epoch + 1)
        validations.errors = said_by_first(validations.errors)
        if "ledger" in run:
            loader.ledger.add_state(run["ledger"])
    elif is_master():
        _forget_run_before(cfg.OUTPUT_DIR)
    if is_master():
        for line in describe_changes(run, cfg, made) if run else ():
            logger.warning(line)
    order = [cfg.RNG_SEED, len(loader.dataset), cfg.TRAIN.BATCH_SIZE, made.get("train.csv", "")]
    progress = run.get("progress")
    if progress is not None and progress["order"] != order:
        progress = None
        if is_master():
            logger.warning(
                "Epoch %d begins anew, with the weights of the checkpoint: RNG_SEED, TRAIN.BATCH_SIZE or the "
                "training list has changed, so its videos would come in another order",
                epoch + 2,
            )
    place = Place(epoch + 1, progress["iteration"] if progress else 0)
    return Begin(place, progress, validations, of_this_run, order)


def _forget_run_before(output_dir: str) -> None:
    """A run that begins anew in a folder must not go on from the middle of the one before it."""
    for path in (*list_inside(output_dir), Path(output_dir, "checkpoints", "validations.json")):
        with suppress(OSError):
            os.remove(path)


@dataclass(frozen=True)
class Session:
    """All that a training uses, and what it does between its steps.

    Attributes:
        cfg: Its configuration.
        learner: What is trained.
        train_loader, val_loader: Of the two lists.
        train_meter, val_meter: The host's.
        board: Curves.
        saver: Checkpoints.
        noted: The signal that this process has got, if any.
        order: See Begin.
    """

    cfg: CfgNode
    learner: Learner
    train_loader: VideoLoader
    val_loader: VideoLoader
    train_meter: Any
    val_meter: Any
    board: Board
    saver: Saver
    noted: Noted
    order: list

    def __post_init__(self) -> None:
        self.train_loader.asked = lambda: self.noted.bits | (SAVE if self.saver.is_due() else 0)
        self.val_loader.asked = lambda: self.noted.bits

    def progress(self, iteration: int) -> dict[str, Any]:
        """What else the rest of an epoch needs, in plain values and tensors; all processes call it together.

        Args:
            iteration: Iterations done; all that was counted in them has been read into the meter.
        """
        done = {"iteration": iteration, "order": self.order}
        return done | {"meter": self.train_meter.progress()} | self.train_loader.progress()

    def save_epoch(self, epoch: int) -> None:
        """Save after an epoch, counted from 0, unless that has been done."""
        self.saver.save_epoch(epoch, self.train_loader.ledger.to_state())

    def answer(self, place: Place, progress: dict[str, Any]) -> None:
        """Save inside an epoch, and leave if a signal asks for it.

        Raises:
            Stopped: If any process has got a signal.
        """
        self.saver.save_inside(place, progress)
        if number := signal_in(self.train_loader.agreed):
            self.leave(number, f"in epoch {place.epoch + 1}, after {place.iteration} iterations")

    def leave(self, number: int, where: str) -> NoReturn:
        """End the training in good order; what is being saved is written first.

        Raises:
            Stopped: Always.
        """
        self.saver.wait()
        self.board.close()
        what = "the same command goes on from there"
        if self.saver.failure:
            what = f"not saved: {self.saver.failure}; the same command goes on from the checkpoint before"
        if is_master():
            logger = get_host().get_logger(__name__)
            logger.warning("Stopped by %s %s: %s", Signals(number).name, where, what)
        raise Stopped(number)
