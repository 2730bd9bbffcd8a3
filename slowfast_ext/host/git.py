"""PySlowFast main (github.com/facebookresearch/SlowFast): its own functions, cured, behind our interface.

Import this module only through `slowfast_ext.host.get_host()`, which makes main importable first.
"""

import traceback
from types import ModuleType

import torch
from fvcore.common.config import CfgNode
from slowfast.config import defaults
from slowfast.datasets import build as datasets
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.models import losses
from slowfast.models import optimizer as optim
from slowfast.models.build import MODEL_REGISTRY
from slowfast.utils import logging, lr_policy, meters, metrics

from slowfast_ext.host import get_installation, own_lists
from slowfast_ext.host.cures import apply_cures
from slowfast_ext.host.git_cures import GIT_CURES
from slowfast_ext.host.git_decoding import DECODING_CURES
from slowfast_ext.host.git_models import bare_model, build_model
from vtn.errors import InputError

NAME = "git"


def add_main_keys(cfg: CfgNode) -> None:
    """Add nothing: main has its own keys."""


def get_defaults() -> CfgNode:
    """The node that PySlowFast's own get_cfg() clones: keys added to it are known everywhere."""
    return defaults._C


def finalize_cfg(cfg: CfgNode) -> None:
    """Check what main's own checks and registries know, and let main infer what it infers, in place.

    Raises:
        InputError: Names the key.
    """
    for key, value, known in (
        ("MODEL.MODEL_NAME", cfg.MODEL.MODEL_NAME, [name for name, _ in MODEL_REGISTRY]),
        ("MODEL.LOSS_FUNC", cfg.MODEL.LOSS_FUNC, list(losses._LOSSES)),
        ("SOLVER.LR_POLICY", cfg.SOLVER.LR_POLICY, _suffixes(lr_policy, "lr_func_")),
        ("SOLVER.OPTIMIZING_METHOD", cfg.SOLVER.OPTIMIZING_METHOD, ["sgd", "adam", "adamw", "mt_adamw"]),
    ):
        if value not in known:
            raise InputError(f"{key} is {value!r}: PySlowFast main has {', '.join(known)}")
    try:
        defaults.assert_and_infer_cfg(cfg)
    except AssertionError as error:
        what = traceback.extract_tb(error.__traceback__)[-1].line.removeprefix("assert ")
        raise InputError(f"PySlowFast main requires of the configuration that {what}") from None


def _suffixes(module: ModuleType, prefix: str) -> list[str]:
    return [name.removeprefix(prefix) for name in dir(module) if name.startswith(prefix)]


def check_lists(cfg: CfgNode) -> None:
    """Refuse lists that main's own data set would misread, see own_lists.py."""
    data = cfg.DATA
    # main reads lists of stores, and those in parts, in ways of its own.
    if "://" not in f"{data.PATH_TO_DATA_DIR}{data.PATH_PREFIX}" and not data.LOADER_CHUNK_SIZE:
        own_lists.check_kinetics_lists(cfg, lambda row: row.split(data.PATH_LABEL_SEPARATOR), parts=(1, 2, 3))


def has_loops() -> bool:
    """Whether its tools/ are there: a checkout has them, the package that pip installs has not."""
    return get_installation().tools is not None


def build_dataset(name: str, cfg: CfgNode, split: str) -> torch.utils.data.Dataset:
    """Build the data set of that name."""
    return datasets.build_dataset(name, cfg, split)


def setup_logging(output_dir: str) -> None:
    """Log to the screen and to OUTPUT_DIR/stdout.log, in the first process only."""
    _setup_logging(output_dir)


_setup_logging = logging.setup_logging
get_loss_func = losses.get_loss_func
get_epoch_lr, set_lr = optim.get_epoch_lr, optim.set_lr
get_logger, log_json_stats = logging.get_logger, logging.log_json_stats


__all__ = [
    "DATASET_REGISTRY",
    "MODEL_REGISTRY",
    "NAME",
    "TestMeter",
    "TrainMeter",
    "ValMeter",
    "add_main_keys",
    "bare_model",
    "build_dataset",
    "build_model",
    "check_lists",
    "construct_optimizer",
    "finalize_cfg",
    "get_defaults",
    "get_epoch_lr",
    "get_logger",
    "get_loss_func",
    "has_loops",
    "log_json_stats",
    "set_lr",
    "setup_logging",
    "topks_correct",
]

apply_cures([*GIT_CURES, *DECODING_CURES])

# Cured by now.
construct_optimizer, topks_correct = optim.construct_optimizer, metrics.topks_correct
TrainMeter, ValMeter, TestMeter = meters.TrainMeter, meters.ValMeter, meters.TestMeter
