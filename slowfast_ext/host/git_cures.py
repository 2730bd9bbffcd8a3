"""What is broken in PySlowFast main on a current stack or a CPU, and the smallest cure for each.

main must be importable first (import_cures.py). `tests/slowfast_ext/host/test_git_cures.py` has one test for
each entry of `GIT_CURES`, which also holds those of git_cpu.py, git_checkpoint.py and git_torch_cures.py.
"""

import functools
import importlib
import sys
import warnings
from types import SimpleNamespace
from typing import Any

import torch
from slowfast.config import defaults
from slowfast.datasets import kinetics
from slowfast.models import build, head_helper
from slowfast.utils import logging, meters, metrics, misc, parser

from slowfast_ext.host.command_line import parse_args
from slowfast_ext.host.cures import Cure, cure, fails
from slowfast_ext.host.git_checkpoint import CHECKPOINT_CURES
from slowfast_ext.host.git_cpu import CPU_CURES
from slowfast_ext.host.git_models import build_model
from slowfast_ext.host.git_torch_cures import TORCH_CURES
from slowfast_ext.host.meters import Timed, TrainTimes, ValTimes, score_videos
from slowfast_ext.host.metrics import topks_correct, without_needless_top5
from vtn.errors import InputError

GIT_CURES: list[Cure] = []


def _head_takes_one_length() -> bool:
    """Whether the head of SlowFast fails on pathways that are longer than those of the training."""
    head = head_helper.ResNetBasicHead([1, 1], 1, [[1, 1, 1], [2, 1, 1]], cfg=defaults._C).eval()
    return fails(lambda: head([torch.zeros(1, 1, 2, 1, 1), torch.zeros(1, 1, 5, 1, 1)]))


@cure(
    GIT_CURES,
    "slowfast.models.build.build_model",
    "any version: the heads of SlowFast, ResNet and X3D do not fit clips of another length than trained; "
    "several processes on a CPU are refused",
    present=_head_takes_one_length,
)
def mend_build_model() -> None:
    importlib.import_module("slowfast.models").build_model = build.build_model = build_model


@cure(
    GIT_CURES,
    "slowfast.utils.metrics.topks_correct",
    "any version: fewer classes than k raise",
    present=lambda: fails(lambda: metrics.topks_correct(torch.eye(3), torch.arange(3), (1, 5))),
)
def mend_topks_correct() -> None:
    metrics.topks_correct = topks_correct


def _gives_none() -> bool:
    """Whether a data set returns None when it runs out of tries; it is given none."""
    dataset = SimpleNamespace(mode="train", cfg=defaults._C.clone(), dummy_output=None, _num_retries=0)
    kinetics.logger.disabled = True  # it says that it has failed
    try:
        return kinetics.Kinetics.__getitem__(dataset, 0) is None
    except Exception:  # it looks at more than this, so it is another version
        return False
    finally:
        kinetics.logger.disabled = False


@cure(
    GIT_CURES,
    "slowfast.datasets.kinetics.Kinetics",
    "any version: gives None for a video that it cannot read, on which the loader fails without naming it",
    present=_gives_none,
)
def mend_kinetics() -> None:
    get = kinetics.Kinetics.__getitem__

    @functools.wraps(get)
    def get_or_say(self, index):
        item = get(self, index)
        if item is None:
            video = index[0] if isinstance(index, tuple) else index  # multigrid adds a size
            raise InputError(f"{self._path_to_videos[video]} cannot be read, nor others tried in its place")
        return item

    kinetics.Kinetics.__getitem__ = get_or_say


def _counts_videos_wrongly() -> bool:
    """Whether a view that comes twice counts double."""
    meter = meters.TestMeter(1, 2, 2, 1)
    for _ in range(2):
        meter.update_stats(
            torch.ones(1, 2), torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long)
        )
    return meter.video_preds.max().item() > 1


@cure(
    GIT_CURES,
    "slowfast.utils.meters.TestMeter",
    "any version: a video without scores counts as one of class 0, one that a sampler repeats counts double",
    present=_counts_videos_wrongly,
)
def mend_test_meter() -> None:
    update, finalize, reset = (
        getattr(meters.TestMeter, name) for name in ("update_stats", "finalize_metrics", "reset")
    )

    def reset_stats(self):
        self.seen = set()
        reset(self)

    def update_stats(self, preds, labels, clip_ids):
        new = []
        for row, clip in enumerate(clip_ids.tolist()):
            if clip not in self.seen:
                self.seen.add(clip)
                new.append(row)
        update(self, preds[new], labels[new], clip_ids[new])

    def finalize_metrics(self, ks=(1, 5)):
        if self.multi_label or tuple(ks) != (1, 5):
            finalize(self, ks)
            return
        self.stats = score_videos(self)
        logging.log_json_stats(without_needless_top5(self.stats, self.video_preds.shape[1]))

    meters.TestMeter.reset = reset_stats
    meters.TestMeter.update_stats = update_stats
    meters.TestMeter.finalize_metrics = finalize_metrics


def _times_are_of_iterations() -> bool:
    """Whether the log line of an epoch gives the time of a single iteration."""
    lines: list[dict[str, Any]] = []
    log, logging.log_json_stats = logging.log_json_stats, lambda stats, *args: lines.append(stats)
    try:
        meter = meters.ValMeter(1, defaults._C.clone())
        meter.iter_tic()
        meter.update_stats(0.0, 0.0, 1)
        meter.log_epoch_stats(0)
    finally:
        logging.log_json_stats = log
    return "time_diff" in lines[0]


@cure(
    GIT_CURES,
    "slowfast.utils.meters.TrainMeter",
    "any version: the lines of epochs give the time of no iteration for that of the epoch, and an eta of 0",
    present=_times_are_of_iterations,
)
def mend_times() -> None:
    for name, times in (("TrainMeter", TrainTimes), ("ValMeter", ValTimes), ("TestMeter", Timed)):
        published = getattr(meters, name)
        setattr(meters, name, type(name, (times, published), {"__doc__": published.__doc__}))


def _takes_keys_for_files() -> bool:
    argv, sys.argv = sys.argv, ["run_net.py", "--cfg", "a.yaml", "NUM_GPUS", "0"]
    try:
        return parser.parse_args().cfg_files != ["a.yaml"]
    except SystemExit:  # it refuses what follows
        return True
    finally:
        sys.argv = argv


@cure(
    GIT_CURES,
    "slowfast.utils.parser.parse_args",
    "any version: `--cfg FILE KEY VALUE` takes KEY and VALUE for configuration files",
    present=_takes_keys_for_files,
)
def mend_parse_args() -> None:
    parser.parse_args = parse_args


def _warns_of_gradients() -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            misc.check_nan_losses(torch.ones((), requires_grad=True))
    except UserWarning:
        return True
    return False


@cure(
    GIT_CURES,
    "slowfast.utils.misc.check_nan_losses",
    "this torch warns that a number is taken of a tensor with a gradient",
    present=_warns_of_gradients,
)
def mend_check_nan_losses() -> None:
    check = misc.check_nan_losses
    misc.check_nan_losses = lambda loss: check(loss.detach())


GIT_CURES.extend([*CHECKPOINT_CURES, *CPU_CURES, *TORCH_CURES])
