"""From decoded frames to what a network takes: scale, crop, flip, normalise.

A `SpatialView` says where to look, the same for all frames of a clip; `apply_view` looks. Randomness comes
only from the generator that the caller hands over.

Legend: T frames, H, W their height and width as decoded, C side of the crop.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from vtn.errors import InputError

# Pixels that are converted to floats at a time: 250 large frames at once would take gigabytes.
_PIXELS_PER_CHUNK = 1_000_000


@dataclass(frozen=True)
class SpatialView:
    """A square seen in every frame of a clip.

    Attributes:
        height, width: Size that the frames are scaled to, pixels.
        top, left: Upper left corner of the square in the scaled frame, pixels.
        size: Side of the square, pixels.
        flip: Whether it is mirrored left to right.
    """

    height: int
    width: int
    top: int
    left: int
    size: int
    flip: bool = False


def uniform_view(height: int, width: int, *, short_side: int, crop_size: int, position: int) -> SpatialView:
    """Choose one of three squares along the longer side of the frame.

    Args:
        height: Height of the decoded frames, pixels.
        width: Width of the decoded frames, pixels.
        short_side: What the shorter side is scaled to.
        crop_size: Side of the square, at most short_side.
        position: 0 left, 1 centre, 2 right; top, centre, bottom in an upright frame.

    Raises:
        InputError: If position is none of the three, or the crop does not fit.

    Source: the host's datasets/transform.py, uniform_crop.
    """
    if position not in (0, 1, 2):
        raise InputError(f"position is {position}; it must be 0, 1 or 2.")
    height, width = _scaled_size(height, width, short_side)
    _require_fit(short_side, crop_size)
    top, left = math.ceil((height - crop_size) / 2), math.ceil((width - crop_size) / 2)
    if height > width:
        top = (0, top, height - crop_size)[position]
    else:
        left = (0, left, width - crop_size)[position]
    return SpatialView(height, width, top, left, crop_size)


def random_view(
    height: int,
    width: int,
    *,
    short_sides: Sequence[int],
    crop_size: int,
    flip: bool,
    rng: np.random.Generator,
) -> SpatialView:
    """Choose a square at random: scale, place and, if asked for, mirror image.

    Args:
        height: Height of the decoded frames, pixels.
        width: Width of the decoded frames, pixels.
        short_sides: Smallest and largest size that the shorter side is scaled to, both included.
        crop_size: Side of the square, at most the smallest of them.
        flip: Whether to mirror half of the clips.
        rng: Where the randomness comes from.

    Raises:
        InputError: If the crop does not fit.

    Source: VTN, Sec. 4.1 (short side in [256, 320], crop 224, flip). The host never takes the last row and
        column of squares; here they are as likely as the others.
    """
    short_side = round(rng.uniform(*short_sides))
    height, width = _scaled_size(height, width, short_side)
    _require_fit(short_side, crop_size)
    top = int(rng.integers(height - crop_size, endpoint=True))
    left = int(rng.integers(width - crop_size, endpoint=True))
    mirrored = bool(rng.random() < 0.5) and flip
    return SpatialView(height, width, top, left, crop_size, mirrored)


def apply_view(
    frames: torch.Tensor, view: SpatialView, *, mean: Sequence[float], std: Sequence[float]
) -> torch.Tensor:
    """Scale, crop, flip and normalise the frames of a clip.

    Args:
        frames: Shape (T, H, W, 3), uint8, RGB.
        view: Where to look.
        mean: Subtracted from each channel after division by 255.
        std: What each channel is then divided by.

    Returns:
        Shape (3, T, C, C), float32. Scaling is bilinear, without antialiasing, as the networks were trained;
        frames that have the size already are not touched.
    """
    num_frames, height, width, _ = frames.shape
    clip = torch.empty((3, num_frames, view.size, view.size))
    shift, scale = (torch.tensor(values, dtype=torch.float32).view(3, 1, 1, 1) for values in (mean, std))
    step = max(1, _PIXELS_PER_CHUNK // (height * width))
    rows, columns = slice(view.top, view.top + view.size), slice(view.left, view.left + view.size)
    for begin in range(0, num_frames, step):
        part = frames[begin : begin + step].permute(
            0, 3, 1, 2
        )  # (t, 3, H, W), channels last in memory: faster
        if (height, width) != (view.height, view.width):
            part = F.interpolate(part.float(), size=(view.height, view.width), mode="bilinear")
        part = part[..., rows, columns]
        if view.flip:
            part = part.flip(-1)
        # Normalising after scaling gives what the host gets by normalising first, for a part of the pixels.
        clip[:, begin : begin + step].copy_(part.transpose(0, 1)).div_(255).sub_(shift).div_(scale)
    return clip


def _scaled_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Height and width once the shorter side is short_side; the longer one is rounded down."""
    if min(height, width) == short_side:
        return height, width
    if width < height:
        return math.floor(height / width * short_side), short_side
    return short_side, math.floor(width / height * short_side)


def _require_fit(short_side: int, crop_size: int) -> None:
    if crop_size > short_side:
        raise InputError(
            f"crop_size is {crop_size}, but the frames are scaled to a short side of {short_side}."
        )
