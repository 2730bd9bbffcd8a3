"""From decoded frames to what travels to the model: scale, crop, flip, all in bytes; normalised at the end.

A `SpatialView` says where to look, the same for all frames of a clip. `take_view` looks; where several views
share the frames, `scale_frames` is done once and `crop_frames` for each.
Randomness comes only from the generator that the caller hands over.

Legend: n frames, H, W their height and width as decoded, C side of the crop.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch.nn import functional as F

from vtn import Recipe
from vtn.errors import InputError

# How far, in pixels, the grid of a piece that is scaled by itself may be from that of the whole.
_GRID_TOLERANCE = 1 / 64


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


def uniform_view(
    height: float, width: float, *, short_side: int, crop_size: int, position: int
) -> SpatialView:
    """Choose one of three squares along the longer side of the frame.

    Args:
        height: Height of the decoded frames, in units of which only the ratio to the width counts.
        width: Width of the decoded frames as they are to be seen, in the same unit.
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
    height: float,
    width: float,
    *,
    short_sides: Sequence[int],
    crop_size: int,
    flip: bool,
    rng: np.random.Generator,
) -> SpatialView:
    """Choose a square at random: scale, place and, if asked for, mirror image.

    Args:
        height: Height of the decoded frames, in units of which only the ratio to the width counts.
        width: Width of the decoded frames as they are to be seen, in the same unit.
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


def scale_frames(frames: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Scale frames as the networks were trained: bilinear, without antialiasing.

    Args:
        frames: Shape (n, H, W, 3), uint8, RGB.
        height, width: Size to scale to, pixels.

    Returns:
        Shape (n, height, width, 3), uint8; frames that have the size already are not touched. No pixel is
        more than one grey level from PyTorch's interpolation in floats, and less than half of one on average.
    """
    if tuple(frames.shape[1:3]) == (height, width):
        return frames
    # Channels last in memory: PyTorch then scales bytes as they are, several times faster than floats.
    scaled = F.interpolate(frames.permute(0, 3, 1, 2), size=(height, width), mode="bilinear")
    return scaled.permute(0, 2, 3, 1)


def crop_frames(frames: torch.Tensor, view: SpatialView) -> torch.Tensor:
    """Cut the square of a view out of frames that have its size.

    Args:
        frames: Shape (n, view.height, view.width, 3), uint8.
        view: Where to look.

    Returns:
        Shape (n, C, C, 3): without a mirror image the same memory, not a copy.
    """
    square = frames[:, view.top : view.top + view.size, view.left : view.left + view.size]
    return square.flip(2) if view.flip else square


def take_view(frames: torch.Tensor, view: SpatialView) -> torch.Tensor:
    """Scale frames and cut out a square, without scaling the rest.

    Args:
        frames: Shape (n, H, W, 3), uint8, RGB.
        view: Where to look.

    Returns:
        Shape (n, C, C, 3): what scale_frames and crop_frames give, but that the grid of pixels may be off by
        1/64 of a pixel. On average that is less than half a grey level from interpolation in floats.
    """
    height, width = frames.shape[1:3]
    if (height, width) == (view.height, view.width):
        return crop_frames(frames, view)
    rows = _piece(height, view.height, view.top, view.size)
    columns = _piece(width, view.width, view.left, view.size)
    scaled = torch.ops.aten.upsample_bilinear2d(
        frames[:, rows.inputs, columns.inputs].permute(0, 3, 1, 2),
        [rows.num_outputs, columns.num_outputs],
        False,  # corners are not aligned
        view.height / height,
        view.width / width,
    )
    square = scaled.permute(0, 2, 3, 1)[:, rows.wanted, columns.wanted]
    return square.flip(2) if view.flip else square


def normalize(pixels: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Frames as a network takes them.

    Args:
        pixels: Shape (n, H, W, 3), uint8, RGB; or the same in float32, which is overwritten.
        mean: Of each channel, for pixels in [0, 1].
        std: Likewise.

    Returns:
        Shape (n, 3, H, W), float32, (pixels / 255 - mean) / std, on their device; channels last in memory.
    """
    # Numbers that are filled in where they are needed: copying them to a GPU would make it wait.
    fill = partial(torch.full, (), dtype=torch.float32, device=pixels.device)
    shift, scale = (torch.stack([fill(value) for value in values]) for values in (mean, std))
    return pixels.float().div_(255).sub_(shift).div_(scale).permute(0, 3, 1, 2)


def to_clip(frames: torch.Tensor, recipe: Recipe, *, pixel_aspect: float = 1.0) -> torch.Tensor:
    """Turn decoded frames into what a model takes, as a test does: scale, cut the centre out, normalise.

    Args:
        frames: Shape (n, H, W, 3), uint8, RGB.
        recipe: What the model was trained with.
        pixel_aspect: Width of a pixel over its height, as VideoInfo has it.

    Returns:
        Shape (1, 3, n, C, C), float32.
    """
    height, width = frames.shape[1:3]
    size = {"short_side": recipe.short_side, "crop_size": recipe.crop_size}
    view = uniform_view(height, width * pixel_aspect, **size, position=1)
    return normalize(take_view(frames, view), recipe.mean, recipe.std).transpose(0, 1)[None]


@dataclass(frozen=True)
class _Piece:
    """Part of a line of pixels that is scaled by itself: what is read, made, and wanted of what is made."""

    inputs: slice
    num_outputs: int
    wanted: slice


def _piece(inputs: int, outputs: int, begin: int, size: int) -> _Piece:
    """Choose the part of a line that is scaled for the outputs [begin, begin + size).

    It begins where an input and an output pixel begin together, but for the tolerance, and one output before
    the wanted ones, since at an edge there is no neighbour to interpolate with, unless it is the line's edge.
    """
    ratio = inputs / outputs

    def together(output: int) -> bool:
        return abs(output * ratio - round(output * ratio)) <= _GRID_TOLERANCE

    first = next(filter(together, range(max(begin - 1, 0), -1, -1)))
    read = slice(round(first * ratio), min(math.ceil((begin + size) * ratio) + 2, inputs))
    made = begin + size - first
    if made == read.stop - read.start and inputs != outputs:
        made += 1  # of as many outputs as inputs PyTorch takes the line to be scaled already
    return _Piece(read, made, slice(begin - first, begin - first + size))


def _scaled_size(height: float, width: float, short_side: int) -> tuple[int, int]:
    """Height and width once the shorter side is short_side; the longer one is rounded down."""
    if min(height, width) == short_side:
        return round(height), round(width)
    if width < height:
        return math.floor(height / width * short_side), short_side
    return short_side, math.floor(width / height * short_side)


def _require_fit(short_side: int, crop_size: int) -> None:
    if crop_size > short_side:
        raise InputError(
            f"crop_size is {crop_size}, but the frames are scaled to a short side of {short_side}."
        )
