"""The optimizer of our loops: the host's, for VTN with rates by layer, and fused if asked for."""

import inspect
from collections import defaultdict
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import nn, optim

from slowfast_ext.arguments import said_in_keys
from slowfast_ext.distributed import unwrap
from slowfast_ext.host import get_host
from vtn.backbone_training import layer_scales


def make_optimizer(model: nn.Module, cfg: CfgNode) -> optim.Optimizer:
    """Build the optimizer that SOLVER describes.

    Args:
        model: Wrapped for several processes or not.
        cfg: Keys of the host's optimizer, SOLVER.LAYER_DECAY and SOLVER.FUSED.

    Returns:
        An optimizer whose groups have, for VTN with rates by layer, a `layer_decay`: what the host's set_lr
        multiplies the learning rate with. Temporal encoder and head have the full rate.

    Raises:
        InputError: If the layers of VTN.BACKBONE are not known.
    """
    by_layer = cfg.MODEL.MODEL_NAME == "VTN" and cfg.SOLVER.LAYER_DECAY != 1.0
    optimizer = get_host().construct_optimizer(model, _without_layers(cfg) if by_layer else cfg)
    if by_layer or cfg.SOLVER.FUSED:
        optimizer = _regrouped(optimizer, model, cfg, by_layer=by_layer)
    _make_momenta(optimizer)
    return optimizer


def _make_momenta(optimizer: optim.Optimizer) -> None:
    """Give SGD's momenta, which are 0 before the first step, their memory now.

    They then lie side by side. Made in the first step, they would lie among what it has just freed, and the
    gaps between them would fit little: a ViT-B took 4 % more memory.
    """
    for group in optimizer.param_groups:
        if type(optimizer) is optim.SGD and group["momentum"] and not group["dampening"]:
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def _regrouped(
    optimizer: optim.Optimizer, model: nn.Module, cfg: CfgNode, *, by_layer: bool
) -> optim.Optimizer:
    """The optimizer with groups for each layer, or fused."""
    groups = [_own_options(group, optimizer) for group in optimizer.param_groups]
    if by_layer:
        with said_in_keys():
            scales = layer_scales(unwrap(model).backbone, cfg.SOLVER.LAYER_DECAY)
        groups = [part for group in groups for part in _split(group, scales)]
    accepted = inspect.signature(type(optimizer)).parameters
    options = {name: value for name, value in optimizer.defaults.items() if name in accepted}
    return type(optimizer)(groups, **options | {"fused": cfg.SOLVER.FUSED or None})


def _without_layers(cfg: CfgNode) -> CfgNode:
    """PySlowFast main's own rates by layer are for the layers of its MViT."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.SOLVER.LAYER_DECAY = 1.0
    return cfg


def _own_options(group: dict[str, Any], optimizer: optim.Optimizer) -> dict[str, Any]:
    """A group without the options that it shares with all others."""
    shared = optimizer.defaults
    return {name: value for name, value in group.items() if name not in shared or value != shared[name]}


def _split(group: dict[str, Any], scales: dict[nn.Parameter, float]) -> list[dict[str, Any]]:
    """A group as one for each scale of the learning rate."""
    parts = defaultdict(list)
    for parameter in group["params"]:
        parts[scales.get(parameter, 1.0)].append(parameter)
    return [group | {"params": params, "layer_decay": scale} for scale, params in parts.items()]
