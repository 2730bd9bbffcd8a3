"""Models of PySlowFast 1.0 from PyPI, in a registry like that of PySlowFast main, on any device."""

import torch
from fvcore.common.config import CfgNode
from fvcore.common.registry import Registry
from slowfast.models import video_model_builder
from torch import distributed as dist
from torch import nn

from slowfast_ext.distributed import device_of, train_together, world_size
from slowfast_ext.host.heads import pool_any_length

MODEL_REGISTRY = Registry("MODEL")
MODEL_REGISTRY.__doc__ = (
    "Models by MODEL.MODEL_NAME; called with cfg, returns an nn.Module, as in PySlowFast main."
)

# MODEL.ARCH of this wheel -> MODEL.MODEL_NAME of main, for configs written for the wheel.
MODEL_NAMES = {
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


def bare_model(cfg: CfgNode) -> nn.Module:
    """The model that MODEL.MODEL_NAME names, on no particular device and without a wrapper."""
    return MODEL_REGISTRY.get(cfg.MODEL.MODEL_NAME)(cfg)


def build_model(cfg: CfgNode, gpu_id: int | None = None) -> nn.Module:
    """Build the model, move it to this process's device, wrap it for several processes.

    Args:
        cfg: Keys MODEL.MODEL_NAME, NUM_GPUS and the model's own.
        gpu_id: GPU to use instead of the current one.
    """
    device = torch.device("cuda", gpu_id) if gpu_id is not None else device_of(cfg)
    model = bare_model(cfg).to(device)
    return train_together(model) if world_size(cfg) > 1 and dist.is_initialized() else model
