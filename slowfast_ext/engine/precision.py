"""In which precision layers compute; weights, states of the optimizer, scores and loss are float32."""

import torch

_LOW = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def computing_in(precision: str, device: torch.device) -> torch.autocast:
    """For `with`: inside, matrix products and convolutions are in that precision.

    Args:
        precision: float32, bfloat16 or float16, as TRAIN.PRECISION and TEST.PRECISION have it.
        device: Where the model is.
    """
    return torch.autocast(device.type, _LOW.get(precision), enabled=precision in _LOW)


def make_scaler(precision: str, device: torch.device) -> torch.amp.GradScaler:
    """Make what keeps small gradients from vanishing in float16; for other precisions it does nothing."""
    return torch.amp.GradScaler(device.type, enabled=precision == "float16")
