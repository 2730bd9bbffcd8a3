"""Refuse what a step of our loops cannot do: its precision, the parts of a batch, averaged weights, rates."""

import importlib.util
import os
import shutil

import torch
from fvcore.common.config import CfgNode

from slowfast_ext.distributed import on_cpu, world_size
from slowfast_ext.processor import cpu_has_bfloat16
from vtn.errors import InputError

PRECISIONS = ("float32", "bfloat16", "float16")


def check_steps(cfg: CfgNode) -> None:
    """Refuse steps that this machine, or this model, cannot do, and impossible times between checkpoints.

    Raises:
        InputError: Names the key, the value and what to type instead.
    """
    for name, section in (("TRAIN", cfg.TRAIN), ("TEST", cfg.TEST)):
        _check_precision(cfg, f"{name}.PRECISION", section.PRECISION, used=section.ENABLE)
    _check_accumulation(cfg)
    if cfg.TRAIN.NONFINITE not in ("stop", "skip"):
        raise InputError(f"TRAIN.NONFINITE is {cfg.TRAIN.NONFINITE!r}: it must be 'stop' or 'skip'")
    if not 0.0 <= cfg.TRAIN.EMA_DECAY < 1.0:
        raise InputError(
            f"TRAIN.EMA_DECAY is {cfg.TRAIN.EMA_DECAY}: it must be 0 (no average) or more, but below 1"
        )
    for key in ("CHECKPOINT_MINUTES", "CHECKPOINTS_KEPT"):
        if cfg.TRAIN[key] < 0:
            raise InputError(f"TRAIN.{key} is {cfg.TRAIN[key]}: it must be 0 or more")
    _check_layer_decay(cfg)
    if cfg.SOLVER.FUSED and cfg.SOLVER.get("LARS_ON", False):
        raise InputError("SOLVER.FUSED is True: there is no fused LARS, so SOLVER.LARS_ON must be False")
    if cfg.VTN.COMPILE:
        _check_compiler(cfg)


def _check_precision(cfg: CfgNode, key: str, word: str, *, used: bool) -> None:
    if word not in PRECISIONS:
        raise InputError(f"{key} is {word!r}: it must be {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}")
    if not used:
        return
    if cfg.NUM_GPUS:
        # PyTorch would emulate it, more slowly than float32.
        if word == "bfloat16" and not torch.cuda.is_bf16_supported(including_emulation=False):
            raise InputError(f"{key} is 'bfloat16', which this GPU lacks: add {key} float16 or {key} float32")
    elif word == "float16":
        raise InputError(f"{key} is 'float16', which needs a GPU: add {key} bfloat16 or {key} float32")
    elif word == "bfloat16" and not cpu_has_bfloat16():
        raise InputError(
            f"{key} is 'bfloat16', but this processor has neither avx512_bf16 nor AMX: add {key} float32"
        )


def _check_accumulation(cfg: CfgNode) -> None:
    steps, share = cfg.TRAIN.ACCUMULATE_STEPS, cfg.TRAIN.BATCH_SIZE // world_size(cfg)
    if steps < 1 or (cfg.TRAIN.ENABLE and share % steps):
        raise InputError(
            f"TRAIN.ACCUMULATE_STEPS is {steps}: it must divide the {share} videos that a process has of "
            f"TRAIN.BATCH_SIZE {cfg.TRAIN.BATCH_SIZE}"
        )


def _check_layer_decay(cfg: CfgNode) -> None:
    """Refuse rates by layer where there are no layers to slow down."""
    decay = cfg.SOLVER.LAYER_DECAY
    if not 0.0 < decay <= 1.0:
        raise InputError(f"SOLVER.LAYER_DECAY is {decay}: it must be above 0 and at most 1")
    if decay != 1.0 and cfg.MODEL.MODEL_NAME == "VTN" and cfg.VTN.FREEZE_BACKBONE:
        raise InputError(
            f"SOLVER.LAYER_DECAY is {decay}: it slows the layers of the backbone, of which "
            "VTN.FREEZE_BACKBONE True trains none"
        )


def _check_compiler(cfg: CfgNode) -> None:
    """Refuse to compile where nothing can translate what PyTorch writes: C++ for CPUs, Triton for GPUs."""
    compiler = os.environ.get("CXX", "g++")
    if (on_cpu() or not cfg.NUM_GPUS) and shutil.which(compiler) is None:
        raise InputError(
            f"VTN.COMPILE is True, but there is no C++ compiler {compiler} on this machine: install one, or "
            "add VTN.COMPILE False"
        )
    if not on_cpu() and cfg.NUM_GPUS and importlib.util.find_spec("triton") is None:
        raise InputError(
            "VTN.COMPILE is True, but the package triton, which compiles for GPUs, is not installed: type "
            "`pip install triton`, or add VTN.COMPILE False"
        )
