"""PySlowFast 1.0 from PyPI, made to look like PySlowFast main: its keys, its registries, its functions.

The wheel is the first public commit of PySlowFast (December 2019). Import this module only through
`slowfast_ext.host.get_host()`, which applies the stubs first.
"""

import logging as python_logging
import os

import torch
from fvcore.common.config import CfgNode
from fvcore.common.registry import Registry
from slowfast.config import defaults
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.models import losses, video_model_builder
from slowfast.models import optimizer as optim
from slowfast.utils import logging, lr_policy, meters, metrics
from slowfast.utils.c2_model_loading import get_name_convert_func
from torch import distributed as dist
from torch import nn

from slowfast_ext.host import announce_host, own_lists
from slowfast_ext.host.cures import apply_cures
from slowfast_ext.host.heads import pool_any_length
from slowfast_ext.host.launch import is_master, launch_job, unwrap, world_size
from slowfast_ext.host.loader import construct_loader, shuffle_dataset
from slowfast_ext.host.meters import Timed, TrainTimes, ValTimes
from slowfast_ext.host.wheel_cures import WHEEL_CURES
from slowfast_ext.packing import take_frames
from vtn.errors import InputError

NAME = "wheel"
DESCRIPTION = "PySlowFast 1.0 from PyPI"

MODEL_REGISTRY = Registry("MODEL")
MODEL_REGISTRY.__doc__ = (
    "Models by MODEL.MODEL_NAME; called with cfg, returns an nn.Module, as in PySlowFast main."
)

# MODEL.ARCH of this wheel -> MODEL.MODEL_NAME of main, for configs written for the wheel.
_MODEL_NAMES = {
    "slowfast": "SlowFast",
    "slow": "ResNet",
    "slowonly": "ResNet",
    "c2d": "ResNet",
    "i3d": "ResNet",
}


@MODEL_REGISTRY.register()
class SlowFast(video_model_builder.SlowFastModel):
    """Two pathways (arXiv 1812.03982); input [(B, 3, ceil(T / ALPHA), H, W), (B, 3, T, H, W)], any T."""

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__(_wheel_model_cfg(cfg))
        pool_any_length(self)

    def forward(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        return super().forward(list(inputs))  # the stem writes into the list that it is given


@MODEL_REGISTRY.register()
class ResNet(video_model_builder.ResNetModel):
    """One pathway: C2D, I3D, Slow, with or without non-local blocks; input [(B, 3, T, H, W)], any T."""

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__(_wheel_model_cfg(cfg))
        pool_any_length(self)

    def forward(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        return super().forward(list(inputs))


def _wheel_model_cfg(cfg: CfgNode) -> CfgNode:
    """Say in the wheel's keys what `cfg` says in main's."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.DATA.CROP_SIZE = cfg.DATA.TRAIN_CROP_SIZE  # main sizes the head by the training crop
    if cfg.MODEL.ARCH == "slow":
        cfg.MODEL.ARCH = "slowonly"
    return cfg


def add_main_keys(cfg: CfgNode) -> None:
    """Add the keys of PySlowFast main that this bridge understands, with main's defaults, in place."""
    cfg.LOG_MODEL_INFO = True  # print parameters and GFLOPs at start
    cfg.MODEL.MODEL_NAME = ""  # class in MODEL_REGISTRY; "" follows MODEL.ARCH
    cfg.MODEL.SINGLE_PATHWAY_ARCH = [*cfg.MODEL.SINGLE_PATHWAY_ARCH, "slow", "vtn", "VIT"]
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
    cfg.SOLVER.BASE_LR_SCALE_NUM_SHARDS = False  # multiply BASE_LR by NUM_SHARDS
    cfg.TENSORBOARD = CfgNode({"ENABLE": False})  # accepted from main's files; curves come from the log


def get_defaults() -> CfgNode:
    """The node that PySlowFast's own get_cfg() clones; keys added to it are known everywhere."""
    return defaults._C


def finalize_cfg(cfg: CfgNode) -> None:
    """Check what only this host cannot do, and derive MODEL_NAME, in place.

    Raises:
        InputError: Names the key.
    """
    if not cfg.MODEL.MODEL_NAME:
        if cfg.MODEL.ARCH not in _MODEL_NAMES:
            raise InputError(
                f"MODEL.ARCH is {cfg.MODEL.ARCH!r} and MODEL.MODEL_NAME is empty: the architectures of "
                f"{DESCRIPTION} are {', '.join(_MODEL_NAMES)}"
            )
        cfg.MODEL.MODEL_NAME = _MODEL_NAMES[cfg.MODEL.ARCH]
    if cfg.MODEL.MODEL_NAME not in MODEL_REGISTRY:
        known = ", ".join(name for name, _ in MODEL_REGISTRY)
        raise InputError(
            f"MODEL.MODEL_NAME is {cfg.MODEL.MODEL_NAME!r}: {DESCRIPTION} with this plugin has {known}"
        )
    if (
        cfg.MODEL.MODEL_NAME in ("SlowFast", "ResNet")
        and _MODEL_NAMES.get(cfg.MODEL.ARCH) != cfg.MODEL.MODEL_NAME
    ):
        raise InputError(
            f"MODEL.ARCH is {cfg.MODEL.ARCH!r}: MODEL.MODEL_NAME {cfg.MODEL.MODEL_NAME} takes "
            + ", ".join(arch for arch, name in _MODEL_NAMES.items() if name == cfg.MODEL.MODEL_NAME)
        )
    if cfg.DETECTION.ENABLE:
        raise InputError(f"DETECTION.ENABLE is True: {DESCRIPTION} is bridged for classification only")
    if cfg.DATA.DECODING_BACKEND != "pyav":
        raise InputError(
            f"DATA.DECODING_BACKEND is {cfg.DATA.DECODING_BACKEND!r}: it must be pyav on this host"
        )
    if cfg.SOLVER.OPTIMIZING_METHOD not in ("sgd", "adam", "adamw"):
        raise InputError(
            f"SOLVER.OPTIMIZING_METHOD is {cfg.SOLVER.OPTIMIZING_METHOD!r}: {DESCRIPTION} has sgd, adam and "
            "adamw here"
        )
    if cfg.BN.NORM_TYPE != "batchnorm":
        raise InputError(f"BN.NORM_TYPE is {cfg.BN.NORM_TYPE!r}: {DESCRIPTION} has only 'batchnorm'")
    if cfg.MODEL.LOSS_FUNC not in losses._LOSSES:
        known = ", ".join(losses._LOSSES)
        raise InputError(f"MODEL.LOSS_FUNC is {cfg.MODEL.LOSS_FUNC!r}: {DESCRIPTION} has {known}")
    if not hasattr(lr_policy, f"lr_func_{cfg.SOLVER.LR_POLICY}"):
        known = ", ".join(name[8:] for name in dir(lr_policy) if name.startswith("lr_func_"))
        raise InputError(f"SOLVER.LR_POLICY is {cfg.SOLVER.LR_POLICY!r}: {DESCRIPTION} has {known}")
    if cfg.SOLVER.BASE_LR_SCALE_NUM_SHARDS:  # as main's assert_and_infer_cfg does
        for key in ("BASE_LR", "WARMUP_START_LR", "COSINE_END_LR"):
            cfg.SOLVER[key] *= cfg.NUM_SHARDS


def device_of(cfg: CfgNode) -> torch.device:
    """The device of this process: its GPU, or the CPU when NUM_GPUS is 0."""
    return torch.device("cuda", torch.cuda.current_device()) if cfg.NUM_GPUS > 0 else torch.device("cpu")


def create_model(cfg: CfgNode) -> nn.Module:
    """The model that MODEL.MODEL_NAME names, which takes lists of Frames or of packed tensors."""
    return take_frames(MODEL_REGISTRY.get(cfg.MODEL.MODEL_NAME)(cfg), cfg)


def build_model(cfg: CfgNode, gpu_id: int | None = None) -> nn.Module:
    """Build the model, move it to this process's device, wrap it for several processes.

    Args:
        cfg: Keys MODEL.MODEL_NAME, NUM_GPUS and the model's own.
        gpu_id: GPU to use instead of the current one.
    """
    device = torch.device("cuda", gpu_id) if gpu_id is not None else device_of(cfg)
    model = create_model(cfg).to(device)
    if world_size(cfg) > 1 and dist.is_initialized():
        device_ids = [device] if device.type == "cuda" else None
        model = nn.parallel.DistributedDataParallel(model, device_ids=device_ids)
    return model


def prepare_process(cfg: CfgNode) -> CfgNode:
    """What one of several processes on a CPU runs with."""
    return cfg


def check_lists(cfg: CfgNode) -> None:
    """Refuse lists that PySlowFast's own data set would misread, see own_lists.py."""
    own_lists.check_lists(cfg, str.split, parts=(2,))


def as_given(cfg: CfgNode) -> CfgNode:
    """The configuration that the user gave, from what `prepare_process` made of it."""
    return cfg


def setup_logging(output_dir: str) -> None:
    """Log to the screen and to OUTPUT_DIR/stdout.log, in the first process only."""
    logging.setup_logging()
    if is_master():
        handler = python_logging.FileHandler(os.path.join(output_dir, "stdout.log"))
        handler.setFormatter(python_logging.root.handlers[0].formatter)
        python_logging.root.addHandler(handler)
        announce_host(output_dir)


class _WithoutDataTime:
    """Called as PySlowFast main's meters, of which these note less."""

    def data_toc(self) -> None:
        """The time that the data took is not noted."""


class ValMeter(ValTimes, _WithoutDataTime, meters.ValMeter):
    """Meter for the validation loop."""


class TestMeter(Timed, _WithoutDataTime, meters.TestMeter):
    """Meter for the test loop."""


class TrainMeter(TrainTimes, _WithoutDataTime, meters.TrainMeter):
    """Meter for the training loop."""

    def update_stats(self, top1_err, top5_err, loss, lr, grad_norm, mb_size) -> None:
        """Note one step; the norm of its gradient is not noted."""
        super().update_stats(top1_err, top5_err, loss, lr, mb_size)


get_loss_func = losses.get_loss_func
get_epoch_lr, set_lr = optim.get_epoch_lr, optim.set_lr
get_logger, log_json_stats = logging.get_logger, logging.log_json_stats
caffe2_name_converter = get_name_convert_func


def construct_optimizer(model: nn.Module, cfg: CfgNode) -> torch.optim.Optimizer:
    """See slowfast_ext.host.optimizer."""
    return optim.construct_optimizer(model, cfg)


def topks_correct(preds: torch.Tensor, labels: torch.Tensor, ks: tuple[int, ...]) -> list[torch.Tensor]:
    """See slowfast_ext.host.metrics."""
    return metrics.topks_correct(preds, labels, ks)


def train(cfg: CfgNode) -> None:
    """Train and validate; this host ships no loop, so it is ours."""
    from slowfast_ext.engine.train import train

    train(cfg)


def test(cfg: CfgNode) -> None:
    """Multi-view or full-video test; this host ships no loop, so it is ours."""
    from slowfast_ext.engine.test import test

    test(cfg)


__all__ = [
    "DATASET_REGISTRY",
    "DESCRIPTION",
    "MODEL_REGISTRY",
    "NAME",
    "TestMeter",
    "TrainMeter",
    "ValMeter",
    "add_main_keys",
    "as_given",
    "build_model",
    "caffe2_name_converter",
    "check_lists",
    "construct_loader",
    "construct_optimizer",
    "create_model",
    "device_of",
    "finalize_cfg",
    "get_defaults",
    "get_epoch_lr",
    "get_logger",
    "get_loss_func",
    "is_master",
    "launch_job",
    "log_json_stats",
    "prepare_process",
    "set_lr",
    "setup_logging",
    "shuffle_dataset",
    "test",
    "topks_correct",
    "train",
    "unwrap",
    "world_size",
]

apply_cures(WHEEL_CURES)
