"""What is put into PySlowFast main, so that its own loops and scripts train, test and count VTN."""

import functools
import importlib

import torch
from fvcore.common.config import CfgNode
from slowfast.datasets import loader
from slowfast.models import build
from slowfast.utils import checkpoint as cu
from slowfast.utils import logging, misc, parser
from torch import nn

from slowfast_ext import distributed
from slowfast_ext.config import adapt_loaded_config
from slowfast_ext.config_limits import uses_our_dataset
from slowfast_ext.data.build import construct_loader, shuffle_dataset
from slowfast_ext.data.dense import erases
from slowfast_ext.data.loader import VideoLoader
from slowfast_ext.flops import example_inputs, view_shape
from slowfast_ext.host.git_cpu import in_mains_terms
from slowfast_ext.launch import launch_job as launch_job_here
from slowfast_ext.launch.place import torchrun_place
from slowfast_ext.models import make_model
from slowfast_ext.plugin import git_checkpoints
from slowfast_ext.plugin.announce import announce_host


def replace_functions() -> None:
    """Put what VTN needs where main's functions are looked up."""
    importlib.import_module("slowfast.models").build_model = build.build_model = _build_model
    _replace_loader()
    cu.load_checkpoint = git_checkpoints.loading(cu.load_checkpoint)
    cu.save_checkpoint = git_checkpoints.saving(cu.save_checkpoint)
    parser.load_config = _loading_config(parser.load_config)
    logging.setup_logging = _announcing(logging.setup_logging)
    misc.launch_job = _launching(misc.launch_job)
    _replace_counter()


def _build_model(cfg: CfgNode, gpu_id: int | None = None) -> nn.Module:
    """Build a model that takes Frames and remembers what its training starts from."""
    model = make_model(cfg, gpu_id)
    distributed.unwrap(model).starts_from = git_checkpoints.StartsFrom(
        cfg.TRAIN.CHECKPOINT_FILE_PATH, cfg.TRAIN.CHECKPOINT_PARTIAL
    )
    return model


def _replace_loader() -> None:
    """Give VTN's data sets a loader of their own, which leaves out the videos that fail."""
    construct, shuffle = loader.construct_loader, loader.shuffle_dataset

    def construct_either(cfg, split, is_precise_bn=False):
        if not uses_our_dataset(cfg, split):
            return construct(cfg, split, is_precise_bn)
        return construct_loader(
            cfg,
            split,
            is_precise_bn,
            equal_shares=split != "train",  # main's loops gather from all processes in every iteration
            dense=split == "train" and (cfg.MIXUP.ENABLE or erases(cfg)),
        )

    def shuffle_either(data_loader, cur_epoch):
        put_in_order = shuffle_dataset if isinstance(data_loader, VideoLoader) else shuffle
        put_in_order(data_loader, cur_epoch)

    loader.construct_loader, loader.shuffle_dataset = construct_either, shuffle_either


def _loading_config(load):
    """Let main's own parser also set what VTN's backbone was trained with, and check VTN's keys."""

    def load_config(args, path_to_config=None):
        cfg = load(args, path_to_config)
        adapt_loaded_config(cfg, path_to_config, args.opts or ())
        return cfg

    return load_config


def _announcing(setup):
    """Let main's log say which PySlowFast is running."""

    def setup_logging(output_dir=None):
        setup(output_dir)
        announce_host(output_dir)

    return setup_logging


def _launching(launch):
    """Launch GPUs with main's launcher; CPU processes, and those of torchrun, with ours: main has none."""

    def launch_job(cfg, init_method, func, daemon=False):
        if cfg.NUM_GPUS and torchrun_place() is None:
            return launch(cfg, init_method, func, daemon)
        return launch_job_here(cfg, init_method, functools.partial(_call_in_mains_terms, func))

    return launch_job


def _call_in_mains_terms(func, cfg: CfgNode):
    return func(in_mains_terms(cfg))


def _replace_counter() -> None:
    """Count without gradients, which take too much memory for 250 frames, and count full videos as such."""
    analysis_input = misc._get_model_analysis_input

    def _get_model_analysis_input(cfg, use_train_input):
        if use_train_input or not cfg.TRAIN.EVAL_FULL_VIDEO:
            return analysis_input(cfg, use_train_input)
        inputs = example_inputs(cfg, *view_shape(cfg, train=False))
        return ([x.cuda(non_blocking=True) for x in inputs] if cfg.NUM_GPUS else inputs,)

    misc._get_model_analysis_input = _get_model_analysis_input
    misc.get_model_stats = torch.no_grad()(misc.get_model_stats)
