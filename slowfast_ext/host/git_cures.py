"""What is broken in PySlowFast main on a current stack or a CPU, and the smallest cure for each.

main must be importable first (import_cures.py). `tests/slowfast_ext/host/test_git_cures.py` has one test for
each entry of `GIT_CURES`, which has those of git_checkpoint.py and git_torch_cures.py too.
"""

import functools
import importlib
import warnings

import torch
from slowfast.datasets import kinetics, loader
from slowfast.models import build
from slowfast.utils import logging, meters, metrics, misc, parser

from slowfast_ext.host.cures import Cure, cure
from slowfast_ext.host.git_checkpoint import CHECKPOINT_CURES
from slowfast_ext.host.git_torch_cures import TORCH_CURES, no_cuda
from vtn.errors import InputError

GIT_CURES: list[Cure] = []


@cure(
    GIT_CURES,
    "slowfast.models.build.build_model",
    "any version: clips of another length than the trained one do not fit the heads of SlowFast and ResNet; "
    "several processes on a CPU are refused",
)
def mend_build_model() -> None:
    from slowfast_ext.host import git

    models = importlib.import_module("slowfast.models")
    models.build_model = build.build_model = git.build_model


@cure(
    GIT_CURES,
    "slowfast.utils.misc.launch_job",
    "no CUDA: several processes need torch.cuda.set_device and nccl",
    present=no_cuda,
)
def mend_launch_job() -> None:
    from slowfast_ext.host import launch

    def launch_job(cfg, init_method, func, daemon=False):
        return launch.launch_job(cfg, init_method, func)

    misc.launch_job = launch_job


@cure(
    GIT_CURES,
    "slowfast.utils.metrics.topks_correct",
    "any version: fewer classes than k raise",
)
def mend_topks_correct() -> None:
    from slowfast_ext.host.metrics import topks_correct

    metrics.topks_correct = topks_correct


@cure(
    GIT_CURES,
    "slowfast.datasets.loader.construct_loader",
    "any version: a loader that cannot leave out the videos that fail; VTN's data sets get their own",
)
def mend_construct_loader() -> None:
    from slowfast_ext.data.loader import VideoLoader
    from slowfast_ext.host import loader as ours

    construct, shuffle = loader.construct_loader, loader.shuffle_dataset

    def construct_loader(cfg, split, is_precise_bn=False):
        if not ours.is_ours(cfg, split):
            return construct(cfg, split, is_precise_bn)
        return ours.construct_loader(
            cfg,
            split,
            is_precise_bn,
            equal_shares=split != "train",  # main's loops gather from all processes in every iteration
            transform=ours.dense_clips(cfg) if split == "train" and cfg.MIXUP.ENABLE else None,
        )

    def shuffle_dataset(data_loader, cur_epoch):
        put_in_order = ours.shuffle_dataset if isinstance(data_loader, VideoLoader) else shuffle
        put_in_order(data_loader, cur_epoch)

    loader.construct_loader, loader.shuffle_dataset = construct_loader, shuffle_dataset


@cure(
    GIT_CURES,
    "slowfast.datasets.kinetics.Kinetics",
    "any version: gives None for a video that it cannot read, on which the loader fails without naming it",
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


@cure(
    GIT_CURES,
    "slowfast.utils.meters.TestMeter",
    "any version: a video without scores counts as one of class 0, one that a sampler repeats counts double",
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
        from slowfast_ext.engine.test import score_videos
        from slowfast_ext.host.metrics import without_needless_top5

        self.stats = score_videos(self)
        logging.log_json_stats(without_needless_top5(self.stats, self.video_preds.shape[1]))

    meters.TestMeter.reset = reset_stats
    meters.TestMeter.update_stats = update_stats
    meters.TestMeter.finalize_metrics = finalize_metrics


@cure(
    GIT_CURES,
    "slowfast.utils.meters.TrainMeter",
    "any version: the lines of epochs give the time of no iteration for that of the epoch, and an eta of 0",
)
def mend_times() -> None:
    from slowfast_ext.host.meters import Timed, TrainTimes, ValTimes

    for name, times in (("TrainMeter", TrainTimes), ("ValMeter", ValTimes), ("TestMeter", Timed)):
        published = getattr(meters, name)
        setattr(meters, name, type(name, (times, published), {"__doc__": published.__doc__}))


@cure(
    GIT_CURES,
    "slowfast.utils.misc.get_model_stats",
    "any version: counts with gradients, which 250 frames have no memory for, and takes the training length "
    "for a full video",
)
def mend_get_model_stats() -> None:
    from slowfast_ext.flops import example_inputs, view_shape

    analysis_input = misc._get_model_analysis_input

    def _get_model_analysis_input(cfg, use_train_input):
        if use_train_input or not cfg.TRAIN.EVAL_FULL_VIDEO:
            return analysis_input(cfg, use_train_input)
        inputs = example_inputs(cfg, *view_shape(cfg, train=False))
        return ([x.cuda(non_blocking=True) for x in inputs] if cfg.NUM_GPUS else inputs,)

    misc._get_model_analysis_input = _get_model_analysis_input
    misc.get_model_stats = torch.no_grad()(misc.get_model_stats)


@cure(
    GIT_CURES,
    "slowfast.utils.parser.parse_args",
    "any version: `--cfg FILE KEY VALUE` takes KEY and VALUE for configuration files",
)
def mend_parse_args() -> None:
    from slowfast_ext.cli import parse_args

    parser.parse_args = parse_args


@cure(
    GIT_CURES,
    "slowfast.utils.parser.load_config",
    "any version: does not know what VTN's backbone was trained with, and checks nothing of VTN",
)
def mend_load_config() -> None:
    from slowfast_ext.config import adapt_loaded_config

    load = parser.load_config

    def load_config(args, path_to_config=None):
        cfg = load(args, path_to_config)
        adapt_loaded_config(cfg, path_to_config, args.opts or ())
        return cfg

    parser.load_config = load_config


@cure(
    GIT_CURES,
    "slowfast.utils.logging.setup_logging",
    "any version: the log does not say which PySlowFast is running",
)
def mend_setup_logging() -> None:
    from slowfast_ext.host import announce_host

    setup = logging.setup_logging

    def setup_logging(output_dir=None):
        setup(output_dir)
        announce_host(output_dir)

    logging.setup_logging = setup_logging


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


GIT_CURES.extend([*CHECKPOINT_CURES, *TORCH_CURES])
