"""In which precision layers compute; weights, states of the optimizer, scores and loss are float32."""

import functools

import torch
from torch import nn

from slowfast_ext.processor import cpu_multiplies_tiles

_LOW = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def computing_in(precision: str, device: torch.device) -> torch.autocast:
    """For `with`: inside, matrix products and convolutions are in that precision.

    Args:
        precision: float32, bfloat16 or float16, as TRAIN.PRECISION and TEST.PRECISION have it.
        device: Where the model is.
    """
    if device.type == "cpu" and precision in _LOW and not cpu_multiplies_tiles():
        _attend_in_float32()
    return torch.autocast(device.type, _LOW.get(precision), enabled=precision in _LOW)


def make_scaler(precision: str, device: torch.device) -> torch.amp.GradScaler:
    """Make what keeps small gradients from vanishing in float16; for other precisions it does nothing."""
    return torch.amp.GradScaler(device.type, enabled=precision == "float16")


@functools.cache
def _attend_in_float32() -> torch.library.Library:
    """From now on, autocast on the CPU leaves PyTorch's attention in float32.

    Its small products are faster there than in bfloat16: a training step of a ViT-B takes a tenth less time.
    This is told to autocast itself, because gradient checkpointing computes layers again outside of any
    `with` of ours.

    Returns:
        What holds it in place.
    """
    library = torch.library.Library("aten", "IMPL")
    library.impl("scaled_dot_product_attention", _attention, "AutocastCPU", allow_override=True)
    return library


def _attention(query: torch.Tensor, *others: object, **options: object) -> torch.Tensor:
    """torch.nn.functional.scaled_dot_product_attention, which gets its arguments as they come."""
    others = [_in_float32(value) for value in others]
    options = {name: _in_float32(value) for name, value in options.items()}
    with torch.autocast("cpu", enabled=False):
        return nn.functional.scaled_dot_product_attention(_in_float32(query), *others, **options)


def _in_float32(value: object) -> object:
    return value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value
