"""Checks of arguments that several modules share; each names the argument and its value."""

import torch

from .errors import InputError


def check_positive_int(name: str, value: int) -> None:
    """Raise InputError unless value is an integer >= 1 (True and 2.0 are not)."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} must be a positive integer, not {value!r}.", arguments=(name,))


def check_probability(name: str, value: float) -> None:
    """Raise InputError unless 0 <= value <= 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value <= 1.0:
        raise InputError(f"{name} must be a probability from 0 to 1, not {value!r}.", arguments=(name,))


def is_symbolic(tensor: torch.Tensor) -> bool:
    """True for a tensor without values to look at: on the meta device, while tracing, while compiling."""
    return tensor.is_meta or torch.jit.is_tracing() or torch.compiler.is_compiling()
