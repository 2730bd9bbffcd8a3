"""From the frames of clips to their features: which frames are encoded, and how many at a time.

Shape legend: B videos, T frames of each, N images, H and W their height and width in pixels, D width of a
feature.
"""

from collections.abc import Iterable

import torch
from torch import nn

from .checks import is_symbolic
from .errors import InputError
from .frame_reuse import FrameReuse

# Pairs of frames compared at a time: 250 large frames at once would take hundreds of megabytes.
_PAIRS_PER_COMPARISON = 32


def encode_frames(
    backbone: nn.Module,
    clip: torch.Tensor,
    frame_indices: torch.Tensor | None = None,
    frames_per_chunk: int | None = None,
    reuse: FrameReuse | None = None,
) -> torch.Tensor:
    """Encode each frame on its own; one that is repeated several times in a row is encoded once.

    Short videos repeat frames to fill a clip. The result, and the gradient of every parameter, is the same as
    if all of them were encoded, unless `reuse` lets frames stand for others that only resemble them.

    Args:
        backbone: (N, 3, H, W) -> (N, D).
        clip: (B, 3, T, H, W).
        frame_indices: (B, T) integers; equal neighbours may be repetitions. Without them none are looked for.
        frames_per_chunk: The most images that the backbone gets at once; ignored in training mode.
        reuse: Also encode no frame that it takes for unchanged.

    Returns:
        Features (B, T, D).
    """
    batch, num_frames = clip.shape[0], clip.shape[2]
    frames = clip.transpose(1, 2).flatten(0, 1)  # (B * T, 3, H, W): one stack of images
    if reuse is not None and _may_reuse(backbone, frames):
        index = torch.arange(len(frames), device=frames.device).view(batch, num_frames)
        return _encode_changed(backbone, [frames], index, frames_per_chunk, reuse)
    repeated = None if frame_indices is None else _repeated_frames(backbone, frames, frame_indices)
    if repeated is None:
        return _encode(backbone, frames, frames_per_chunk).view(batch, num_frames, -1)
    features = _encode(backbone, frames[~repeated], frames_per_chunk)
    return features[(~repeated).cumsum(0) - 1].view(batch, num_frames, -1)


def encode_distinct_frames(
    backbone: nn.Module,
    frames: torch.Tensor | Iterable[torch.Tensor],
    index: torch.Tensor,
    frames_per_chunk: int | None = None,
    reuse: FrameReuse | None = None,
) -> torch.Tensor:
    """Encode frames that are known to be distinct, once each, and arrange the features as `index` says.

    The result, and the gradient of every parameter, is the same as if frames[index] were encoded, unless
    `reuse` lets frames stand for others that resemble them.

    Args:
        backbone: (N, 3, H, W) -> (N, D).
        frames: (N, 3, H, W); or consecutive parts of it, which are encoded as they arrive.
        index: (B, T) positions in `frames`; every frame is shown at least once.
        frames_per_chunk, reuse: As for encode_frames; for `reuse` the frames of a clip must stand together,
            in order of time.

    Returns:
        Features (B, T, D).
    """
    if reuse is not None and _may_reuse(backbone, frames):
        parts = [frames] if isinstance(frames, torch.Tensor) else frames
        return _encode_changed(backbone, parts, index, frames_per_chunk, reuse)
    if not isinstance(frames, torch.Tensor):
        if not backbone.training and _encodes_alike(backbone):
            features = _collect((_encode(backbone, part, frames_per_chunk) for part in frames), index)
            return features[None] if _is_in_order(index, len(features)) else features[index]
        frames = torch.cat(list(frames))
    if len(frames) < index.numel() and not _encodes_alike(backbone):
        return _encode(backbone, frames[index.flatten()], frames_per_chunk).view(*index.shape, -1)
    return _encode(backbone, frames, frames_per_chunk)[index]


def _collect(parts: Iterable[torch.Tensor], index: torch.Tensor) -> torch.Tensor:
    """Features (n, D) at a time -> (N, D); on a CPU without gradients, without a second copy of them all."""
    if torch.is_grad_enabled() or index.device.type != "cpu":
        return torch.cat(list(parts))
    features, end = torch.empty(0), 0
    for part in parts:
        if not end:
            features = part.new_empty(int(index.max()) + 1, part.shape[1])
        begin, end = end, end + len(part)
        if end > len(features):
            raise InputError(f"index shows {len(features)} frames, but there are more.")
        features[begin:end] = part
    return features[:end]


def _is_in_order(index: torch.Tensor, num_frames: int) -> bool:
    """Whether one clip shows each frame once, in order: two hours of features are not copied for that."""
    return index.device.type == "cpu" and torch.equal(index, torch.arange(num_frames)[None])


def _encode_changed(
    backbone: nn.Module,
    parts: Iterable[torch.Tensor],
    index: torch.Tensor,
    frames_per_chunk: int | None,
    reuse: FrameReuse,
) -> torch.Tensor:
    """As encode_distinct_frames, but for frames that `reuse` takes for unchanged since another."""
    features, changed = [], []
    for part, new in reuse.changed(parts, begins=index.amin(1).tolist()):
        changed.append(new)
        if bool(new.any()):
            features.append(_encode(backbone, part[new], frames_per_chunk))
    stands_for = torch.cat(changed).cumsum(0) - 1  # (N,) -> row of the features
    return torch.cat(features)[stands_for[index]]


def _may_reuse(backbone: nn.Module, frames: torch.Tensor | Iterable[torch.Tensor]) -> bool:
    """Whether the frames have values to compare, and equal ones equal features; parts always have values."""
    known = not isinstance(frames, torch.Tensor) or not is_symbolic(frames)
    return known and not _wants_gradient(frames) and _encodes_alike(backbone)


def _wants_gradient(frames: torch.Tensor | Iterable[torch.Tensor]) -> bool:
    """Whether each frame, repeated or not, is to have a pixel gradient of its own."""
    return torch.is_grad_enabled() and getattr(frames, "requires_grad", False)


def _encode(backbone: nn.Module, images: torch.Tensor, frames_per_chunk: int | None) -> torch.Tensor:
    """(N, 3, H, W) -> (N, D), in parts where that changes nothing."""
    whole = frames_per_chunk is None or backbone.training
    chunks = [images] if whole else images.split(frames_per_chunk)
    return torch.cat([backbone(chunk.contiguous(memory_format=torch.channels_last)) for chunk in chunks])


def _repeated_frames(
    backbone: nn.Module, frames: torch.Tensor, frame_indices: torch.Tensor
) -> torch.Tensor | None:
    """(B * T,) True where a frame repeats the one before it; None if every frame must be encoded.

    Args:
        frames: (B * T, 3, H, W).
        frame_indices: (B, T).
    """
    if is_symbolic(frames) or is_symbolic(frame_indices) or _wants_gradient(frames):
        return None
    repeated = torch.zeros_like(frame_indices, dtype=torch.bool)
    repeated[:, 1:] = frame_indices[:, 1:] == frame_indices[:, :-1]
    repeated = repeated.flatten()
    candidates = repeated.nonzero()[:, 0]
    if len(candidates) == 0 or not _encodes_alike(backbone):
        return None
    # Equal numbers are not enough: a caller without real indices may pass zeros.
    for some in candidates.split(_PAIRS_PER_COMPARISON):
        repeated[some] = (frames[some] == frames[some - 1]).flatten(1).all(1)
    return repeated if bool(repeated.any()) else None


def _encodes_alike(backbone: nn.Module) -> bool:
    """True if equal images are sure to get equal features, whatever else is in the batch."""
    for module in backbone.modules():
        batch_norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
        if batch_norm and (module.training or module.running_var is None):
            return False
        if module.training and _is_random(module):
            return False
    return True


def _is_random(module: nn.Module) -> bool:
    """True unless a module in training mode is known to treat an image the same way every time."""
    if type(module).__module__.split(".")[0] not in ("torch", "timm", __package__):
        return True  # what it does in training cannot be seen from outside
    if hasattr(module, "running_var") or getattr(module, "aug_active", False):
        return True  # norms that are no subclass of PyTorch's; position embeddings that are jittered
    rates = [value for name, value in vars(module).items() if "drop" in name or name in ("p", "prob")]
    return any(isinstance(rate, (int, float)) and rate > 0 for rate in rates)
