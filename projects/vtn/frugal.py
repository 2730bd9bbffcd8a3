"""Linear layers that do not keep an input that is cheap to compute again: less memory, the same gradients."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks


class FrugalLinear(nn.Linear):
    """A linear layer that in training forgets its input if that is the output of a GELU or a layer norm.

    Those two keep their own input in any case. When the backward pass comes to this layer, what was forgotten
    is computed again from it: a hundredth of the time of the layer's product. Behind a GELU, gradients have
    the same bits; behind a layer norm they are the same but for rounding. Parameters, their names and the
    output are those of nn.Linear.

    Compiled code has its own way to save memory, so it is left alone.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # nn.Linear's name for it
        """(..., in_features) -> (..., out_features)."""
        made_by = None if torch.compiler.is_compiling() else input.grad_fn
        compute = None if made_by is None else _AGAIN.get(made_by.name())
        if compute is None:
            return super().forward(input)
        device = input.device.type
        if input.dtype == torch.float32 and torch.is_autocast_enabled(device):
            input = input.to(torch.get_autocast_dtype(device))  # as autocast does it, but here it is seen
        place = _place(input)

        def pack(saved: torch.Tensor) -> torch.Tensor | Callable[[], torch.Tensor]:
            # The input is still there, so no other tensor can be in its place.
            if _place(saved) != place:
                return saved
            shape, dtype = saved.shape, saved.dtype
            return lambda: compute(made_by).to(dtype).view(shape)

        with saved_tensors_hooks(pack, lambda kept: kept if isinstance(kept, torch.Tensor) else kept()):
            return super().forward(input)


def forget_activations(model: nn.Module) -> None:
    """Make every linear layer of a model a FrugalLinear, in place; its parameters stay the same objects."""
    for module in model.modules():
        if type(module) is nn.Linear:  # what is derived from it may do something else
            module.__class__ = FrugalLinear


def _place(tensor: torch.Tensor) -> tuple[int, int, int]:
    """Where the numbers of a tensor are, and how many."""
    return tensor.untyped_storage()._cdata, tensor.storage_offset(), tensor.numel()


def _gelu_again(made_by: Any) -> torch.Tensor:
    return nn.functional.gelu(made_by._saved_self, approximate=made_by._saved_approximate)


def _layer_norm_again(made_by: Any) -> torch.Tensor:
    """PyTorch's own steps in their order; epsilon is in the deviation that it kept."""
    mean, inverse_deviation = made_by._saved_result1, made_by._saved_result2
    normed = (made_by._saved_input - mean).mul_(inverse_deviation)
    if made_by._saved_weight is not None:
        normed.mul_(made_by._saved_weight)
    return normed if made_by._saved_bias is None else normed.add_(made_by._saved_bias)


_AGAIN = {"GeluBackward0": _gelu_again, "NativeLayerNormBackward0": _layer_norm_again}
