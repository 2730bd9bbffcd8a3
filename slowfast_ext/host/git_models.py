"""Models of PySlowFast main, on any device, with heads that take clips of any length."""

import contextlib

import torch
from fvcore.common.config import CfgNode
from slowfast.models import build
from slowfast.models.build import MODEL_REGISTRY
from torch import distributed as dist
from torch import nn

from slowfast_ext.distributed import device_of, train_together, unwrap
from slowfast_ext.host.heads import pool_any_length

# As published; `build.build_model` is replaced by the one below.
_mains_build_model = build.build_model


def thawed(cfg: CfgNode) -> CfgNode:
    """A copy that main may write into, as its loops and its MViT do."""
    cfg = cfg.clone()
    cfg.defrost()
    return cfg


def bare_model(cfg: CfgNode) -> nn.Module:
    """The model that MODEL.MODEL_NAME names, on no particular device and without a wrapper."""
    build_it = MODEL_REGISTRY.get(cfg.MODEL.MODEL_NAME)
    # MViT reads its widths out of tensors that it makes, and tensors on the meta device hold no numbers.
    with torch.device("cpu") if "MViT" in cfg.MODEL.MODEL_NAME else contextlib.nullcontext():
        model = build_it(thawed(cfg))
    return _with_any_length(model, cfg)


def build_model(cfg: CfgNode, gpu_id: int | None = None) -> nn.Module:
    """Build the model, move it to this process's device, wrap it for several processes.

    Args:
        cfg: Keys MODEL.MODEL_NAME, NUM_GPUS and the model's own.
        gpu_id: GPU to use instead of the current one.
    """
    if device_of(cfg).type == "cuda":
        model = _mains_build_model(thawed(cfg), gpu_id)
        _with_any_length(unwrap(model), cfg)
        return model
    model = bare_model(cfg)  # main has no code for several processes on CPUs
    if not dist.is_initialized():
        return model
    unused = cfg.MODEL.DETACH_FINAL_FC or cfg.MODEL.MODEL_NAME == "ContrastiveModel"
    return train_together(model, find_unused_parameters=unused)


def _with_any_length(model: nn.Module, cfg: CfgNode) -> nn.Module:
    return pool_any_length(model) if cfg.MODEL.MODEL_NAME in ("SlowFast", "ResNet", "X3D") else model
