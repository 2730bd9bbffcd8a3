"""PySlowFast main (github.com/facebookresearch/SlowFast): its own functions, cured, behind our interface.

Import this module only through `slowfast_ext.host.get_host()`, which makes main importable first.
"""

import torch
from fvcore.common.config import CfgNode
from slowfast.config import defaults
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.models import losses
from slowfast.models import optimizer as optim
from slowfast.models.build import MODEL_REGISTRY
from slowfast.models.build import build_model as _build_model
from slowfast.utils import logging, meters, metrics
from slowfast.utils.c2_model_loading import get_name_convert_func
from torch import distributed as dist
from torch import nn

from slowfast_ext.host import own_lists
from slowfast_ext.host.cures import apply_cures
from slowfast_ext.host.git_checkpoint import StartsFrom
from slowfast_ext.host.git_checks import finalize_cfg, thawed
from slowfast_ext.host.git_cures import GIT_CURES
from slowfast_ext.host.git_decoding import DECODING_CURES
from slowfast_ext.host.git_loops import test, train
from slowfast_ext.host.heads import pool_any_length
from slowfast_ext.host.launch import is_master, launch_job, unwrap, world_size
from slowfast_ext.host.loader import construct_loader, shuffle_dataset
from slowfast_ext.packing import take_frames

NAME = "git"
DESCRIPTION = "PySlowFast main"


def add_main_keys(cfg: CfgNode) -> None:
    """Let main know VTN's architectures, in place; it has all other keys itself."""
    known = cfg.MODEL.SINGLE_PATHWAY_ARCH
    cfg.MODEL.SINGLE_PATHWAY_ARCH = [*known, *(arch for arch in ("vtn", "VIT") if arch not in known)]


def get_defaults() -> CfgNode:
    """The node that PySlowFast's own get_cfg() clones; keys added to it are known everywhere."""
    return defaults._C


def device_of(cfg: CfgNode) -> torch.device:
    """The device of this process: its GPU, or the CPU."""
    on_gpu = cfg.NUM_GPUS > 0 and torch.cuda.is_available()
    return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")


def _adapted(model: nn.Module, cfg: CfgNode) -> nn.Module:
    """Make a model take Frames, and clips of any length where its head allows; no parameter changes."""
    model.starts_from = StartsFrom(cfg.TRAIN.CHECKPOINT_FILE_PATH, cfg.TRAIN.CHECKPOINT_PARTIAL)
    if cfg.MODEL.MODEL_NAME in ("SlowFast", "ResNet"):
        pool_any_length(model)
    return take_frames(model, cfg)


def create_model(cfg: CfgNode) -> nn.Module:
    """The model that MODEL.MODEL_NAME names, which takes lists of Frames or of packed tensors."""
    cfg = thawed(cfg) if cfg.is_frozen() else cfg
    return _adapted(MODEL_REGISTRY.get(cfg.MODEL.MODEL_NAME)(cfg), cfg)


def build_model(cfg: CfgNode, gpu_id: int | None = None) -> nn.Module:
    """Build the model, move it to this process's device, wrap it for several processes.

    Args:
        cfg: Keys MODEL.MODEL_NAME, NUM_GPUS and the model's own.
        gpu_id: GPU to use instead of the current one.
    """
    cfg = thawed(cfg) if cfg.is_frozen() else cfg
    if cfg.NUM_GPUS == 0 or torch.cuda.is_available():
        model = _build_model(cfg, gpu_id)
        _adapted(unwrap(model), cfg)
        return model
    model = create_model(cfg)  # one of several processes on a CPU, for which main has no code
    if not dist.is_initialized():
        return model
    unused = cfg.MODEL.DETACH_FINAL_FC or cfg.MODEL.MODEL_NAME == "ContrastiveModel"
    return nn.parallel.DistributedDataParallel(model, find_unused_parameters=unused)


_prepared = False  # whether this is one of several processes on a CPU


def prepare_process(cfg: CfgNode) -> CfgNode:
    """What one of several processes on a CPU runs with: main's loops take NUM_GPUS for their number."""
    global _prepared
    _prepared = True
    nn.Module.cuda = torch.Tensor.cuda = lambda self, *args, **kwargs: self
    cfg = thawed(cfg)
    cfg.NUM_GPUS = cfg.VTN.CPU_PROCESSES
    return cfg


def check_lists(cfg: CfgNode) -> None:
    """Refuse lists that main's own data set would misread, see own_lists.py."""
    data = cfg.DATA
    # main reads lists of stores, and those in parts, in ways of its own.
    if "://" not in f"{data.PATH_TO_DATA_DIR}{data.PATH_PREFIX}" and not data.LOADER_CHUNK_SIZE:
        own_lists.check_lists(cfg, lambda row: row.split(data.PATH_LABEL_SEPARATOR), parts=(1, 2, 3))


def as_given(cfg: CfgNode) -> CfgNode:
    """The configuration that the user gave, from what `prepare_process` made of it."""
    if _prepared:
        cfg = thawed(cfg)
        cfg.NUM_GPUS = 0
    return cfg


def setup_logging(output_dir: str) -> None:
    """Log to the screen and to OUTPUT_DIR/stdout.log, in the first process only."""
    logging.setup_logging(output_dir)


get_loss_func = losses.get_loss_func
construct_optimizer = optim.construct_optimizer
get_epoch_lr, set_lr = optim.get_epoch_lr, optim.set_lr
get_logger, log_json_stats = logging.get_logger, logging.log_json_stats
caffe2_name_converter = get_name_convert_func


def topks_correct(preds: torch.Tensor, labels: torch.Tensor, ks: tuple[int, ...]) -> list[torch.Tensor]:
    """See slowfast_ext.host.metrics."""
    return metrics.topks_correct(preds, labels, ks)


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

apply_cures([*GIT_CURES, *DECODING_CURES])

# Cured by now; the functions above are looked up when they are called.
TrainMeter, ValMeter, TestMeter = meters.TrainMeter, meters.ValMeter, meters.TestMeter
