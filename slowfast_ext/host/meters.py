"""What PySlowFast's meters log, made true: for the meters of both PySlowFasts.

As published, the line of an epoch gives the time since its last iteration for the epoch's, and an `eta` that
follows from it, 0:00:00. The classes here come before PySlowFast's own in a class statement.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import torch

from slowfast_ext.host import get_host
from slowfast_ext.host.calibration import calibration, sentence_of_calibration
from slowfast_ext.host.memory import peak_memory
from slowfast_ext.host.metrics import (
    accuracy_bounds,
    sentence_of_score,
    topks_correct,
    without_needless_top5,
)

# As published: the times since, and of, the last iteration.
_TIMES_OF_AN_ITERATION = ("dt", "dt_data", "dt_net", "time_diff")


@contextlib.contextmanager
def _changing(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Iterator[None]:
    """Within, the statistics that are logged are what `change` makes of them."""
    from slowfast.utils import logging

    log = logging.log_json_stats
    logging.log_json_stats = lambda stats, *args: log(change(stats), *args)
    try:
        yield
    finally:
        logging.log_json_stats = log


class _Mean:
    """In the place of a timer: the time that an iteration takes on average."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def seconds(self) -> float:
        return self._seconds


class Timed:
    """A meter that knows how long the pass over its list has taken."""

    _began: float | None = None

    def iter_tic(self) -> None:
        """An iteration begins; the first one begins the pass."""
        if self._began is None:
            self._began = time.perf_counter()
        super().iter_tic()

    def reset(self) -> None:
        """The pass has ended."""
        self._began = None
        super().reset()

    @property
    def seconds(self) -> float:
        """Wall time of the pass so far, that of loading included."""
        return 0.0 if self._began is None else time.perf_counter() - self._began


class _OfEpochs(Timed):
    """A meter that logs a line for each epoch, with `run_seconds`: wall time since the meter was made.

    Both loops make their meters just before the first epoch, so what lies between epochs is in it.
    """

    means_of_period = False  # whether the lines give the mean time of LOG_PERIOD iterations, or of the last

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._made = self._logged = time.perf_counter()

    def iter_tic(self) -> None:
        """An iteration begins; the first one of a pass begins the time of a period."""
        if self._began is None:
            self._logged = time.perf_counter()
        super().iter_tic()

    def log_iter_stats(self, cur_epoch: int, cur_iter: int) -> None:
        """Log an iteration, every LOG_PERIOD of them."""
        timer, period = self.iter_timer, self._cfg.LOG_PERIOD
        if self.means_of_period and period > 1 and (cur_iter + 1) % period == 0:
            now = time.perf_counter()
            self.iter_timer, self._logged = _Mean((now - self._logged) / period), now
        with _changing(self._told):
            super().log_iter_stats(cur_epoch, cur_iter)
        self.iter_timer = timer

    def _told(self, stats: dict[str, Any]) -> dict[str, Any]:
        """What is logged. JSON has no NaN, such as the norm of a gradient that float16 could not hold."""
        numbers = {
            name: value
            for name, value in stats.items()
            if not isinstance(value, float) or math.isfinite(value)
        }
        return without_needless_top5(numbers, self._cfg.MODEL.NUM_CLASSES)

    def _with_times(self, stats: dict[str, Any], **times: Any) -> dict[str, Any]:
        kept = {name: value for name, value in stats.items() if name not in _TIMES_OF_AN_ITERATION}
        times["run_seconds"] = time.perf_counter() - self._made
        return self._told(kept | times | peak_memory())


class TrainTimes(_OfEpochs):
    """For a TrainMeter: `epoch_seconds`, `run_seconds`, and an `eta` to the end of the training."""

    _training_began: float | None = None
    _epochs = 0
    _TOTALS = ("loss_total", "num_top1_mis", "num_top5_mis", "num_samples", "lr", "grad_norm")
    _WINDOWS = ("loss", "mb_top1_err", "mb_top5_err")

    def progress(self) -> dict[str, Any]:
        """What the epoch has added up so far, in plain values: its line in the log follows from it."""
        totals = {name: getattr(self, name) for name in self._TOTALS if hasattr(self, name)}
        totals = {name: getattr(value, "item", lambda value=value: value)() for name, value in totals.items()}
        windows = {name: list(getattr(self, name).deque) for name in self._WINDOWS}
        return {"seconds": self.seconds, "totals": totals, "windows": windows}

    def take_up(self, progress: dict[str, Any]) -> None:
        """Go on with an epoch that another process has begun; its `epoch_seconds` are those of both."""
        for name, value in progress["totals"].items():
            setattr(self, name, value)
        for name, values in progress["windows"].items():
            getattr(self, name).reset()
            for value in values:
                getattr(self, name).add_value(value)
        self._logged = time.perf_counter()
        self._began = self._training_began = self._logged - progress["seconds"]

    def iter_tic(self) -> None:
        """An iteration begins; the first one of all begins the training."""
        if self._training_began is None:
            self._training_began = time.perf_counter()
        super().iter_tic()

    def log_epoch_stats(self, cur_epoch: int) -> None:
        """Log an epoch.

        Its `eta` is the mean time of the epochs that this run has done, with what lay between them, times the
        epochs that are left.
        """
        self._epochs += 1
        mean = (time.perf_counter() - self._training_began) / self._epochs
        left = timedelta(seconds=round(mean * (self._cfg.SOLVER.MAX_EPOCH - cur_epoch - 1)))
        seconds = self.seconds
        with _changing(lambda stats: self._with_times(stats, epoch_seconds=seconds, eta=str(left))):
            super().log_epoch_stats(cur_epoch)


class ValTimes(_OfEpochs):
    """For a ValMeter: `evaluation_seconds` and `run_seconds`."""

    def log_epoch_stats(self, cur_epoch: int) -> None:
        """Log the validation of an epoch."""
        seconds = self.seconds
        with _changing(lambda stats: self._with_times(stats, evaluation_seconds=seconds)):
            super().log_epoch_stats(cur_epoch)


def videos_scored(meter: Any) -> torch.Tensor:
    """Which videos have a score of every view; main's sampler may repeat some to fill a batch."""
    return meter.clip_count >= meter.num_clips


def score_videos(meter: Any) -> dict[str, Any]:
    """Accuracy and calibration over the videos whose views were all scored; the others are counted.

    Args:
        meter: A TestMeter after the whole test; its `facts`, if it has any, are of the model.

    Returns:
        An entry of the log, and test_results.json, see docs/results.md. Its top-5 is there for main's loop,
        which asks for it, also where five classes or fewer make it meaningless.
    """
    scored = videos_scored(meter)
    count = int(scored.sum())
    failed = len(scored) - count
    scores, labels = meter.video_preds[scored], meter.video_labels[scored]
    correct = topks_correct(scores, labels, (1, 5))
    stats = {"split": "test_final"}
    for k, hits in zip((1, 5), (c.item() for c in correct), strict=True):
        stats[f"top{k}_acc"] = f"{100.0 * hits / count:.2f}"
        if failed:
            wrong, right = (f"{bound:.2f}" for bound in accuracy_bounds(hits, count, failed))
            stats |= {f"top{k}_acc_if_failed_wrong": wrong, f"top{k}_acc_if_failed_right": right}
    sentence = sentence_of_score("Test", correct[0].item(), count, failed)
    logger = get_host().get_logger(__name__)
    logger.info(sentence)
    calibrated = calibration(scores / meter.num_clips, labels)
    if calibrated:
        logger.info(sentence_of_calibration(calibrated))
    stats |= calibrated | {"num_videos": count, "num_failed": failed, "num_views": meter.num_clips}
    return stats | getattr(meter, "facts", {}) | {"evaluation_seconds": meter.seconds} | peak_memory()
