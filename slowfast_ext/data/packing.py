"""What each model takes: frames as they travel become the normalised tensors of its pathways.

Legend: B clips, T frames of a clip, C side of the crop.
"""

import functools
from collections.abc import Callable

import torch
from fvcore.common.config import CfgNode
from torch import nn

from slowfast_ext.data.frames import Frames
from slowfast_ext.video.sampling import slow_pathway_indices
from vtn.errors import InputError


def pack_pathways(cfg: CfgNode, clip: torch.Tensor) -> list[torch.Tensor]:
    """Make the inputs of one of the host's models.

    Args:
        cfg: MODEL.ARCH decides.
        clip: Shape (B, 3, T, C, C), or (3, T, C, C).

    Returns:
        [clip] for a single pathway; [slow, fast] for SlowFast, where fast is the clip and slow has one in
        SLOWFAST.ALPHA of its frames, ceil(T / ALPHA) in all.

    Raises:
        InputError: If MODEL.ARCH is neither.
    """
    require_packing(cfg)
    if cfg.MODEL.ARCH in cfg.MODEL.SINGLE_PATHWAY_ARCH:
        return [clip]
    # One by one: to select by a tensor, that would have to be copied, and a GPU would wait.
    slow = [clip.select(-3, frame) for frame in _slow_frames(clip.shape[-3], cfg.SLOWFAST.ALPHA)]
    return [torch.stack(slow, dim=-3), clip]


@functools.cache
def _slow_frames(num_frames: int, alpha: int) -> tuple[int, ...]:
    return tuple(slow_pathway_indices(num_frames, alpha=alpha).tolist())


def require_packing(cfg: CfgNode) -> None:
    """Refuse an architecture whose inputs are not known."""
    known = [*cfg.MODEL.SINGLE_PATHWAY_ARCH, *cfg.MODEL.MULTI_PATHWAY_ARCH]
    if cfg.MODEL.MODEL_NAME != "VTN" and cfg.MODEL.ARCH not in known:
        raise InputError(
            f"MODEL.ARCH is {cfg.MODEL.ARCH!r}; without VTN it must be one of {', '.join(known)}."
        )


def take_frames(model: nn.Module, cfg: CfgNode) -> nn.Module:
    """Make a model of the host take [Frames]: they are normalised and packed where the model is.

    Args:
        model: Takes a list of tensors; it is changed. One with an attribute `takes_frames` needs no change.
        cfg: DATA.MEAN and DATA.STD, and the keys of pack_pathways.

    Returns:
        The model, which still takes lists of tensors too.
    """
    if not getattr(model, "takes_frames", False):
        model.register_forward_pre_hook(_unpacker(cfg))
    return model


def _unpacker(cfg: CfgNode) -> Callable[[nn.Module, tuple], tuple | None]:
    def unpack(module: nn.Module, args: tuple) -> tuple | None:
        (inputs, *rest) = args
        if not isinstance(inputs[0], Frames):
            return None
        return (pack_pathways(cfg, inputs[0].clips(cfg.DATA.MEAN, cfg.DATA.STD)), *rest)

    return unpack
