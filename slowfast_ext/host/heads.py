"""Heads of SlowFast, I3D and X3D that take clips of any length; scores in float32 in any precision."""

import torch
from torch import nn
from torch.nn import functional as F


class AnyLengthAvgPool3d(nn.Module):
    """Average over all frames and over a spatial window.

    PySlowFast sizes this pool for the training clip. On a longer clip its pathways then disagree in length
    (a SlowFast trained on 32 frames and shown 250 fails); on the training length the two are the same.

    Args:
        spatial_kernel: Window, (height, width), in cells of the last feature map.
    """

    def __init__(self, spatial_kernel: tuple[int, int]) -> None:
        super().__init__()
        self.spatial_kernel = spatial_kernel

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (B, C, T, H, W) -> (B, C, 1, H', W')
        height, width = (
            min(kernel, size) for kernel, size in zip(self.spatial_kernel, x.shape[3:], strict=True)
        )
        return F.avg_pool3d(x, (x.shape[2], height, width), stride=1)


def pool_any_length(model: nn.Module) -> nn.Module:
    """Replace the pools of a PySlowFast classification head, in place; no parameter changes.

    Args:
        model: Has AvgPool3d modules `head.pathway{n}_avgpool`, or for X3D `head.avg_pool`.

    Returns:
        The same model.
    """
    for name, module in model.head.named_children():
        if name.endswith(("_avgpool", "avg_pool")) and isinstance(module, nn.AvgPool3d):
            setattr(model.head, name, AnyLengthAvgPool3d(tuple(module.kernel_size[1:])))
    return model


def score_in_float32(model: nn.Module) -> nn.Module:
    """Let the head of a host's model turn logits into scores in float32, in whatever precision they are.

    Autocast leaves a softmax on a CPU in bfloat16, in which the scores of many views would not add up.

    Args:
        model: Its softmax or sigmoid lies in `head`; a model without a head is left as it is.

    Returns:
        The same model.
    """
    for module in getattr(model, "head", nn.Identity()).modules():
        if isinstance(module, (nn.Softmax, nn.Sigmoid)):
            module.register_forward_pre_hook(lambda _, inputs: tuple(x.float() for x in inputs))
    return model
