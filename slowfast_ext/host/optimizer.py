"""Optimizer and learning rate of PySlowFast main, for the wheel, which has neither its groups nor adamw."""

import math

import torch
from torch import nn

from vtn.errors import InputError


def _parameter_groups(model: nn.Module, cfg) -> list[dict]:
    """Split trainable parameters into batch norm, ordinary and undecayed ones; frozen ones are left out."""
    batch_norm, ordinary, undecayed = [], [], []
    for module in model.modules():
        is_batch_norm = isinstance(module, nn.modules.batchnorm._NormBase)
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            if is_batch_norm:
                batch_norm.append(parameter)
            elif cfg.SOLVER.ZERO_WD_1D_PARAM and (parameter.ndim == 1 or name == "bias"):
                undecayed.append(parameter)
            else:
                ordinary.append(parameter)
    groups = [
        {"params": batch_norm, "weight_decay": cfg.BN.WEIGHT_DECAY},
        {"params": ordinary, "weight_decay": cfg.SOLVER.WEIGHT_DECAY},
        {"params": undecayed, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def construct_optimizer(model: nn.Module, cfg) -> torch.optim.Optimizer:
    """Build the optimizer that `cfg.SOLVER` describes.

    Args:
        model: Its parameters that require a gradient are optimised.
        cfg: Keys SOLVER.{OPTIMIZING_METHOD, BASE_LR, WEIGHT_DECAY, MOMENTUM, DAMPENING, NESTEROV, BETAS,
            ZERO_WD_1D_PARAM} and BN.WEIGHT_DECAY.

    Raises:
        InputError: If SOLVER.OPTIMIZING_METHOD is not sgd, adam or adamw.
    """
    groups, solver = _parameter_groups(model, cfg), cfg.SOLVER
    if solver.OPTIMIZING_METHOD == "sgd":
        return torch.optim.SGD(
            groups,
            lr=solver.BASE_LR,
            momentum=solver.MOMENTUM,
            dampening=solver.DAMPENING,
            nesterov=solver.NESTEROV,
        )
    if solver.OPTIMIZING_METHOD == "adam":
        return torch.optim.Adam(groups, lr=solver.BASE_LR, betas=tuple(solver.BETAS))
    if solver.OPTIMIZING_METHOD == "adamw":
        return torch.optim.AdamW(groups, lr=solver.BASE_LR, betas=tuple(solver.BETAS))
    raise InputError(
        f"SOLVER.OPTIMIZING_METHOD is {solver.OPTIMIZING_METHOD!r}: this host has sgd, adam and adamw"
    )


def set_lr(optimizer: torch.optim.Optimizer, new_lr: float) -> None:
    """Set the learning rate of every group, times its `layer_decay` if it has one."""
    for group in optimizer.param_groups:
        group["lr"] = new_lr * group.get("layer_decay", 1.0)


def lr_func_cosine(cfg, cur_epoch: float) -> float:
    """Learning rate of half a cosine from BASE_LR to COSINE_END_LR (SGDR, arXiv 1608.03983, no restarts).

    Args:
        cfg: Keys SOLVER.{BASE_LR, COSINE_END_LR, MAX_EPOCH, WARMUP_EPOCHS, COSINE_AFTER_WARMUP}.
        cur_epoch: Epochs done, with fraction, 0 to MAX_EPOCH.
    """
    solver = cfg.SOLVER
    offset = solver.WARMUP_EPOCHS if solver.COSINE_AFTER_WARMUP else 0.0
    progress = (cur_epoch - offset) / (solver.MAX_EPOCH - offset)
    return (
        solver.COSINE_END_LR
        + (solver.BASE_LR - solver.COSINE_END_LR) * (1 + math.cos(math.pi * progress)) / 2
    )
