"""PySlowFast 1.0 from PyPI, made to look like PySlowFast main: its keys, its registries, its functions.

The wheel is the first public commit of PySlowFast (December 2019). Import this module only through
`slowfast_ext.host.get_host()`, which applies the stubs first.
"""

import functools
import logging as python_logging
import os

import torch
from fvcore.common.config import CfgNode
from slowfast.config import defaults
from slowfast.datasets import build as datasets
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.models import losses
from slowfast.models import optimizer as optim
from slowfast.utils import logging, lr_policy, meters, metrics

from slowfast_ext.distributed import is_master
from slowfast_ext.host import own_lists
from slowfast_ext.host.cures import apply_cures
from slowfast_ext.host.import_cures import SoftTargetCrossEntropyLoss
from slowfast_ext.host.meters import Timed, TrainTimes, ValTimes
from slowfast_ext.host.optimizer import lr_func_cosine, set_lr
from slowfast_ext.host.wheel_cures import WHEEL_CURES
from slowfast_ext.host.wheel_models import MODEL_NAMES, MODEL_REGISTRY, bare_model, build_model
from vtn.errors import InputError

NAME = "wheel"
_DESCRIPTION = "PySlowFast 1.0 from PyPI"


def add_main_keys(cfg: CfgNode) -> None:
    """Add the keys of PySlowFast main that this bridge understands, with main's defaults, in place."""
    cfg.LOG_MODEL_INFO = True  # print parameters and GFLOPs at start
    cfg.MODEL.MODEL_NAME = ""  # class in MODEL_REGISTRY; "" follows MODEL.ARCH
    cfg.MODEL.ACT_CHECKPOINT = False  # compute activations twice instead of keeping them
    cfg.MODEL.SINGLE_PATHWAY_ARCH = [*cfg.MODEL.SINGLE_PATHWAY_ARCH, "slow"]
    cfg.BN.NORM_TYPE = "batchnorm"  # the wheel has no other
    cfg.TRAIN.CHECKPOINT_EPOCH_RESET = False  # start at epoch 0 with the weights of CHECKPOINT_FILE_PATH
    cfg.TEST.SAVE_RESULTS_PATH = ""  # file in OUTPUT_DIR for scores and labels
    cfg.DATA.PATH_LABEL_SEPARATOR = " "
    cfg.DATA.TARGET_FPS = 30  # frames per second in which SAMPLING_RATE counts
    cfg.DATA.DECODING_BACKEND = "pyav"
    cfg.DATA.RANDOM_FLIP = True
    cfg.SOLVER.WARMUP_EPOCHS = float(cfg.SOLVER.WARMUP_EPOCHS)  # the wheel's int refuses main's 34.0
    cfg.SOLVER.COSINE_END_LR = 0.0
    cfg.SOLVER.COSINE_AFTER_WARMUP = False
    cfg.SOLVER.ZERO_WD_1D_PARAM = False  # no weight decay on biases and norms
    cfg.SOLVER.BETAS = (0.9, 0.999)
    cfg.SOLVER.CLIP_GRAD_VAL = 0.0  # 0 does not clip; main writes None
    cfg.SOLVER.CLIP_GRAD_L2NORM = 0.0
    cfg.SOLVER.LAYER_DECAY = 1.0  # factor from a layer's learning rate to that of the one below
    cfg.SOLVER.BASE_LR_SCALE_NUM_SHARDS = False  # multiply BASE_LR by NUM_SHARDS
    # Augmentation of training clips, for the data sets of VTN; this host's own have none.
    cfg.AUG = CfgNode({"ENABLE": False})
    cfg.AUG.NUM_SAMPLE = 1  # differently augmented clips of each video in a batch, from one decoding
    cfg.AUG.COLOR_JITTER = 0.4  # change of brightness, contrast and saturation; only without AA_TYPE
    cfg.AUG.AA_TYPE = "rand-m9-mstd0.5-inc1"  # what timm takes: rand-…, augmix-…, v0, original …
    cfg.AUG.INTERPOLATION = "bicubic"
    cfg.AUG.RE_PROB = 0.25  # random erasing: of how many clips, with what, at most how many boxes
    cfg.AUG.RE_MODE = "pixel"
    cfg.AUG.RE_COUNT = 1
    cfg.AUG.RE_SPLIT = False  # leave the first of NUM_SAMPLE clips whole
    cfg.MIXUP = CfgNode({"ENABLE": False})
    cfg.MIXUP.ALPHA = 0.8  # of mixup's distribution of weights; 0 is no mixup
    cfg.MIXUP.CUTMIX_ALPHA = 1.0  # likewise of cutmix
    cfg.MIXUP.PROB = 1.0  # of a batch being mixed; 0 only smooths labels
    cfg.MIXUP.SWITCH_PROB = 0.5  # of cutmix, where there are both
    cfg.MIXUP.LABEL_SMOOTH_VALUE = 0.1
    # Curves for TensorBoard, in OUTPUT_DIR/LOG_DIR; an empty name is runs-{TRAIN.DATASET}.
    cfg.TENSORBOARD = CfgNode({"ENABLE": False, "LOG_DIR": ""})


def get_defaults() -> CfgNode:
    """The node that PySlowFast's own get_cfg() clones; keys added to it are known everywhere."""
    return defaults._C


def finalize_cfg(cfg: CfgNode) -> None:
    """Check what only this host cannot do, and derive MODEL_NAME, in place.

    Raises:
        InputError: Names the key.
    """
    if not cfg.MODEL.MODEL_NAME:
        if cfg.MODEL.ARCH not in MODEL_NAMES:
            raise InputError(
                f"MODEL.ARCH is {cfg.MODEL.ARCH!r} and MODEL.MODEL_NAME is empty: the architectures of "
                f"{_DESCRIPTION} are {', '.join(MODEL_NAMES)}"
            )
        cfg.MODEL.MODEL_NAME = MODEL_NAMES[cfg.MODEL.ARCH]
    if cfg.MODEL.MODEL_NAME not in MODEL_REGISTRY:
        known = ", ".join(name for name, _ in MODEL_REGISTRY)
        raise InputError(
            f"MODEL.MODEL_NAME is {cfg.MODEL.MODEL_NAME!r}: {_DESCRIPTION} with this plugin has {known}"
        )
    if (
        cfg.MODEL.MODEL_NAME in ("SlowFast", "ResNet")
        and MODEL_NAMES.get(cfg.MODEL.ARCH) != cfg.MODEL.MODEL_NAME
    ):
        raise InputError(
            f"MODEL.ARCH is {cfg.MODEL.ARCH!r}: MODEL.MODEL_NAME {cfg.MODEL.MODEL_NAME} takes "
            + ", ".join(arch for arch, name in MODEL_NAMES.items() if name == cfg.MODEL.MODEL_NAME)
        )
    if cfg.DETECTION.ENABLE:
        raise InputError(f"DETECTION.ENABLE is True: {_DESCRIPTION} is bridged for classification only")
    if cfg.DATA.DECODING_BACKEND != "pyav":
        raise InputError(
            f"DATA.DECODING_BACKEND is {cfg.DATA.DECODING_BACKEND!r}: it must be pyav on this host"
        )
    if cfg.SOLVER.OPTIMIZING_METHOD not in ("sgd", "adam", "adamw"):
        raise InputError(
            f"SOLVER.OPTIMIZING_METHOD is {cfg.SOLVER.OPTIMIZING_METHOD!r}: {_DESCRIPTION} has sgd, adam and "
            "adamw here"
        )
    if cfg.BN.NORM_TYPE != "batchnorm":
        raise InputError(f"BN.NORM_TYPE is {cfg.BN.NORM_TYPE!r}: {_DESCRIPTION} has only 'batchnorm'")
    if cfg.MODEL.LOSS_FUNC not in losses._LOSSES:
        known = ", ".join(losses._LOSSES)
        raise InputError(f"MODEL.LOSS_FUNC is {cfg.MODEL.LOSS_FUNC!r}: {_DESCRIPTION} has {known}")
    if not hasattr(lr_policy, f"lr_func_{cfg.SOLVER.LR_POLICY}"):
        known = ", ".join(name[8:] for name in dir(lr_policy) if name.startswith("lr_func_"))
        raise InputError(f"SOLVER.LR_POLICY is {cfg.SOLVER.LR_POLICY!r}: {_DESCRIPTION} has {known}")
    if cfg.SOLVER.BASE_LR_SCALE_NUM_SHARDS:  # as main's assert_and_infer_cfg does
        for key in ("BASE_LR", "WARMUP_START_LR", "COSINE_END_LR"):
            cfg.SOLVER[key] *= cfg.NUM_SHARDS


def check_lists(cfg: CfgNode) -> None:
    """Refuse lists that PySlowFast's own data set would misread, see own_lists.py."""
    own_lists.check_kinetics_lists(cfg, str.split, parts=(2,))


def has_loops() -> bool:
    """Whether it ships loops of its own: no."""
    return False


def build_dataset(name: str, cfg: CfgNode, split: str) -> torch.utils.data.Dataset:
    """Build the data set of that name."""
    return datasets.build_dataset(name, cfg, split)


def setup_logging(output_dir: str) -> None:
    """Log to the screen and to OUTPUT_DIR/stdout.log, in the first process only."""
    logging.setup_logging()
    if is_master():
        handler = python_logging.FileHandler(os.path.join(output_dir, "stdout.log"))
        handler.setFormatter(python_logging.root.handlers[0].formatter)
        python_logging.root.addHandler(handler)


class _WithoutDataTime:
    """Takes the calls that PySlowFast main's meters take; these meters record less."""

    def data_toc(self) -> None:
        """Ignore the time that the data took."""


class ValMeter(ValTimes, _WithoutDataTime, meters.ValMeter):
    """Meter for the validation loop."""


class TestMeter(Timed, _WithoutDataTime, meters.TestMeter):
    """Meter for the test loop."""


class TrainMeter(TrainTimes, _WithoutDataTime, meters.TrainMeter):
    """Meter for the training loop."""

    def update_stats(self, top1_err, top5_err, loss, lr, grad_norm, mb_size) -> None:
        """Record one step; the norm of its gradient is ignored."""
        super().update_stats(top1_err, top5_err, loss, lr, mb_size)


get_loss_func = losses.get_loss_func
get_epoch_lr = optim.get_epoch_lr
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

apply_cures(WHEEL_CURES)
construct_optimizer, topks_correct = optim.construct_optimizer, metrics.topks_correct  # cured by now
lr_policy.lr_func_cosine = lr_func_cosine  # knows the keys that add_main_keys adds
# main's loss for labels that are distributions.
losses._LOSSES["soft_cross_entropy"] = functools.partial(SoftTargetCrossEntropyLoss, normalize_targets=False)
