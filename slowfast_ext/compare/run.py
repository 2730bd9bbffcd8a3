"""A comparison from counting to the page: steps that are done once, and rows that fill up as they end."""

import contextlib
import fcntl
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from slowfast_ext.compare.contenders import (
    Contender,
    count_videos,
    digest,
    load_model_of,
    splits_of,
    what_decides,
)
from slowfast_ext.compare.progress import Progress
from slowfast_ext.compare.rows import COSTS_ONLY, FAILED, OK, ResultRow
from slowfast_ext.compare.steps import Step, run_step
from slowfast_ext.host.places import list_checkpoints
from slowfast_ext.protocols import in_file_names
from slowfast_ext.report.curves import read_curves, summarize
from vtn.errors import InputError

# Guesses, used only to weigh steps against each other before any was timed.
_GFLOPS_PER_SECOND, _SECONDS_TO_READ, _SECONDS_TO_START = 100.0, 0.1, 5.0
_TRAINING_PASSES = 3  # a step forward and back takes about three times one forward


@dataclass(frozen=True)
class Comparison:
    """What is compared, how, and where everything goes.

    Attributes:
        contenders: The models.
        protocols: Names of PROTOCOLS.
        out: Folder for everything.
        timed_videos: Videos of the test list that are timed one by one, at most; 0 times none.
    """

    contenders: Sequence[Contender]
    protocols: Sequence[str]
    out: Path
    timed_videos: int

    def training(self, contender: Contender) -> Path:
        """OUTPUT_DIR of a training."""
        return self.out / contender.name / "train"

    def test(self, name: str, protocol: str) -> Path:
        """OUTPUT_DIR of a test, and of a timing."""
        return self.out / name / in_file_names(protocol)

    def checkpoint(self, contender: Contender) -> Path:
        """The file that is tested: the given one, or the newest of the training."""
        return contender.checkpoint or Path(list_checkpoints(str(self.training(contender)))[0])


@contextlib.contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Within, no other comparison works in that folder, which is made.

    Raises:
        InputError: If one does, or the folder cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / ".lock").open("w")
    except OSError as error:
        raise InputError(f"--out {out} cannot be used: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"--out {out} is in use by another comparison: wait for it or stop it"
            ) from error
        yield


def count_costs(comparison: Comparison, say: Callable[[str], None]) -> list[ResultRow]:
    """A row for each model and protocol with what can be counted; a model that refuses a view has failed."""
    rows = []
    for contender in comparison.contenders:
        for protocol in comparison.protocols:
            row = ResultRow(contender.name, protocol, str(contender.path))
            row.switched_off = ", ".join(contender.switched_off)
            rows.append(row)
            say(f"counting {contender.name}, {protocol}")
            try:
                row.add_costs(*load_model_of(contender, protocol))
            except InputError as error:
                row.fail(str(error))
            except RuntimeError as error:  # shapes that do not fit, somewhere inside the model
                frames = f"{row.frames} frames of {row.crop}x{row.crop}"
                row.fail(f"the model does not take {frames} ({' '.join(str(error).split())[:200]})")
    return rows


def run_all(
    comparison: Comparison,
    rows: Sequence[ResultRow],
    *,
    say: Callable[[str], None] | None = None,
    step_ended: Callable[[], None] = lambda: None,
) -> None:
    """Train, time and test what is to be, and fill the rows in place.

    Args:
        comparison: What to do.
        rows: Those of `count_costs`.
        say: Receives lines; by default they are printed.
        step_ended: Called when rows have changed.
    """
    work = _Work(comparison, {(row.model, row.protocol): row for row in rows}, step_ended, say)
    try:
        for contender in comparison.contenders:
            work.run(contender)
    finally:
        work.progress.close()


class _Work:
    """The steps of all contenders."""

    def __init__(
        self,
        comparison: Comparison,
        rows: dict[tuple[str, str], ResultRow],
        step_ended: Callable[[], None],
        say: Callable[[str], None] | None,
    ) -> None:
        self._plan, self._rows, self._step_ended = comparison, rows, step_ended
        self.progress = Progress(sum(self._estimates()), say=say)

    def _estimates(self) -> Iterator[float]:
        """Of all steps, as if each were run."""
        for contender in self._plan.contenders:
            if contender.train and self._rows_of(contender):
                yield self._training_estimate(contender)
            if self._is_measured(contender):
                yield from (self._estimate(contender, row) for row in self._rows_of(contender))

    def run(self, contender: Contender) -> None:
        """Do the steps of one model; what fails is noted in its rows."""
        if not self._rows_of(contender):
            return
        failure = self._train(contender) if contender.train else ""
        for row in self._rows_of(contender):
            if not failure and self._is_measured(contender):
                row_failure = self._measure(contender, row)
            else:
                row_failure = failure
            if row_failure:
                row.fail(row_failure)
            else:
                row.status = OK if contender.is_tested else COSTS_ONLY
            self._step_ended()

    def _rows_of(self, contender: Contender) -> list[ResultRow]:
        rows = [self._rows[contender.name, protocol] for protocol in self._plan.protocols]
        return [row for row in rows if row.status != FAILED]

    def _is_measured(self, contender: Contender) -> bool:
        return contender.is_tested or bool(self._plan.timed_videos and splits_of(contender))

    def _train(self, contender: Contender) -> str:
        """Why it failed, or an empty text."""
        folder = self._plan.training(contender)
        outcome = run_step(
            Step(
                f"{contender.name}, training",
                folder,
                _run_net(contender, contender.training_overrides(), folder),
                what_decides(contender, "train"),
                self._training_estimate(contender),
                keeps=True,
            ),
            self.progress,
        )
        if outcome.reason:
            return f"training: {outcome.reason}"
        if not list_checkpoints(str(folder)):
            return f"training: {folder} holds no checkpoint any more; delete it to train again"
        try:
            summary = summarize(read_curves(folder))
        except InputError as error:  # a line that a kill has cut, say: the other models go on
            return f"training: {error}"
        for row in self._rows_of(contender):
            row.add_training(outcome.seconds, summary)
        return ""

    def _measure(self, contender: Contender, row: ResultRow) -> str:
        """Test and time one row; returns why that failed, or an empty text."""
        folder, count = self._plan.test(contender.name, row.protocol), self._timed(contender)
        overrides, depends = contender.test_overrides(row.protocol), what_decides(contender, row.protocol)
        depends |= {"number of timed videos": str(count)}
        if contender.is_tested:
            checkpoint = self._plan.checkpoint(contender)
            overrides += (
                "TEST.CHECKPOINT_FILE_PATH",
                str(checkpoint),
                "TEST.SAVE_RESULTS_PATH",
                "scores.npz",
            )
            depends |= {"checkpoint": digest(checkpoint)}
        command = (
            *(sys.executable, "-m", "slowfast_ext.compare.measure", "--cfg", str(contender.path)),
            *(("--test",) if contender.is_tested else ()),
            *("--videos", str(count), *overrides, "OUTPUT_DIR", str(folder)),
        )
        name = f"{contender.name}, {row.protocol} {'test' if contender.is_tested else 'timing'}"
        outcome = run_step(
            Step(name, folder, command, depends, self._estimate(contender, row)), self.progress
        )
        if outcome.reason:
            return outcome.reason
        if count:
            row.add_timing(folder)
        if contender.is_tested:
            row.add_test(folder)
        return ""

    def _timed(self, contender: Contender) -> int:
        return min(self._plan.timed_videos, count_videos(contender, "test"))

    def _training_estimate(self, contender: Contender) -> float:
        cfg, row = contender.cfg, self._rows_of(contender)[0]
        clip = row.gflops_per_view * cfg.DATA.NUM_FRAMES / row.frames
        videos = cfg.SOLVER.MAX_EPOCH * count_videos(contender, "train")
        return _seconds(videos, _TRAINING_PASSES * clip)

    def _estimate(self, contender: Contender, row: ResultRow) -> float:
        videos = self._timed(contender) + contender.is_tested * count_videos(contender, "test")
        return _seconds(videos, row.gflops)


def _seconds(videos: int, gflops: float) -> float:
    return _SECONDS_TO_START + videos * (_SECONDS_TO_READ + gflops / _GFLOPS_PER_SECOND)


def _run_net(contender: Contender, overrides: Sequence[str], folder: Path) -> tuple[str, ...]:
    program = (sys.executable, "-m", "slowfast_ext", "run_net", "--cfg", str(contender.path))
    return (*program, *overrides, "OUTPUT_DIR", str(folder))
