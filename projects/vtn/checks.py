"""Checks of arguments and inputs; each names the argument and its value.

Shape legend: B batch, T frames of a clip, N images, H and W pixels, D width of a frame feature.
"""

import torch

from .errors import InputError


def check_positive_int(name: str, value: int | None, *, optional: bool = False) -> None:
    """Raise InputError unless value is an integer >= 1 (True and 2.0 are not), or None if optional."""
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} must be a positive integer, not {value!r}.", arguments=(name,))


def check_not_negative_int(name: str, value: int) -> None:
    """Raise InputError unless value is an integer >= 0 (True and 2.0 are not)."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"{name} must be an integer of 0 or more, not {value!r}.", arguments=(name,))


def check_probability(name: str, value: float) -> None:
    """Raise InputError unless 0 <= value <= 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value <= 1.0:
        raise InputError(f"{name} must be a probability from 0 to 1, not {value!r}.", arguments=(name,))


def is_symbolic(tensor: torch.Tensor) -> bool:
    """True for a tensor without values to look at: on the meta device, while tracing, while compiling."""
    return tensor.is_meta or torch.jit.is_tracing() or torch.compiler.is_compiling()


def check_clip(clip: torch.Tensor, img_size: tuple[int, int] | None) -> None:
    """Raise InputError unless a clip is floats (B, 3, T, H, W), of the size that is asked for, if one is."""
    shape = tuple(clip.shape)
    if len(shape) != 5 or shape[1] != 3 or min(shape) < 1 or not clip.is_floating_point():
        raise InputError(
            f"clip must be floats of shape (B, 3, T, H, W) with T >= 1, not {_dtype(clip)} of shape {shape}."
        )
    if img_size is not None and shape[3:] != img_size:
        raise InputError(
            f"clip has frames of {shape[3:]} pixels, but the backbone was built for img_size {img_size}."
        )


def checked_frames(frames: torch.Tensor, img_size: tuple[int, int] | None) -> torch.Tensor:
    """Images (N, 3, H, W) as they are; InputError if they are not that, or of another size than asked for."""
    shape = tuple(frames.shape)
    if len(shape) != 4 or shape[1] != 3 or min(shape) < 1 or not frames.is_floating_point():
        raise InputError(
            f"frames must be floats of shape (N, 3, H, W), not {_dtype(frames)} of shape {shape}."
        )
    if img_size is not None and shape[2:] != img_size:
        raise InputError(
            f"frames are of {shape[2:]} pixels, but the backbone was built for img_size {img_size}."
        )
    return frames


def check_frame_features(frame_features: torch.Tensor, embed_dim: int) -> None:
    """Raise InputError unless features are floats (B, T, D)."""
    shape = tuple(frame_features.shape)
    floats = frame_features.is_floating_point()
    if len(shape) != 3 or shape[1] < 1 or shape[2] != embed_dim or not floats:
        raise InputError(
            f"frame_features must be floats of shape (B, T, {embed_dim}) with T >= 1, "
            f"not {_dtype(frame_features)} of shape {shape}."
        )


def check_feature_rows(features: torch.Tensor, embed_dim: int) -> None:
    """Raise InputError unless features of one video are floats (N, D)."""
    shape = tuple(features.shape)
    if len(shape) != 2 or shape[0] < 1 or shape[1] != embed_dim or not features.is_floating_point():
        raise InputError(
            f"features must be floats of shape (N, {embed_dim}) with N >= 1, not {_dtype(features)} of shape "
            f"{shape}."
        )


def checked_row_indices(frame_indices: torch.Tensor, count: int, device: torch.device) -> torch.Tensor:
    """As checked_indices, for one video: (N,) in and out."""
    if isinstance(frame_indices, torch.Tensor) and frame_indices.shape != (count,):
        raise InputError(
            f"frame_indices must have shape ({count},), one for each frame, not {tuple(frame_indices.shape)}."
        )
    rows = frame_indices[None] if isinstance(frame_indices, torch.Tensor) else frame_indices
    return checked_indices(rows, 1, count, device)[0]


def check_below(frame_indices: torch.Tensor, num_frames: int | None) -> None:
    """Raise InputError unless all indices are below the length of the video, if that is given."""
    if num_frames is not None and (last := int(frame_indices.max())) >= num_frames:
        raise InputError(f"frame_indices must be below num_frames, {num_frames}, not {last}.")


def checked_indices(
    frame_indices: torch.Tensor | None, batch: int, num_frames: int, device: torch.device
) -> torch.Tensor:
    """(B, T) int64 on the model's device, 0 .. T - 1 for None; InputError if they cannot be that.

    Values are looked at only where the indices are on the CPU.
    """
    if frame_indices is None:
        return torch.arange(num_frames, device=device).expand(batch, -1)
    if not isinstance(frame_indices, torch.Tensor):
        raise InputError(f"frame_indices must be a tensor, not a {type(frame_indices).__name__}.")
    if frame_indices.is_floating_point() or frame_indices.is_complex() or frame_indices.dtype == torch.bool:
        raise InputError(f"frame_indices must be integers, not {_dtype(frame_indices)}.")
    if frame_indices.shape != (batch, num_frames):
        raise InputError(
            f"frame_indices must have shape ({batch}, {num_frames}), one for each frame of the clip, "
            f"not {tuple(frame_indices.shape)}."
        )
    # On a GPU the values are not looked at, because it would have to finish everything before.
    readable = frame_indices.device.type == "cpu" and not is_symbolic(frame_indices)
    if readable and bool((frame_indices < 0).any()):
        raise InputError(f"frame_indices must be 0 or more, but {int(frame_indices.min())} is among them.")
    return frame_indices.to(device, torch.long)


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
