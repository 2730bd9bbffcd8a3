"""Position embeddings: how the temporal encoder knows where a frame lies in its video.

Three ways, VTN (arXiv:2102.00719) Sec. 4.1, Table 2b. Each module maps frame indices (B, T), int64, counted
from 0, to what is added to the tokens, (B, 1 + T, D), CLS first. The position of CLS is learned in all three.

Shape legend: B batch, T frames, D width, P = max_position_embeddings.
"""

from collections.abc import Sequence

import torch
from torch import nn

from .checks import check_positive_int
from .errors import InputError

POSITION_EMBEDDINGS = ("learned", "fixed", "none")


def check_position_rows(max_position_embeddings: int, windows: Sequence[int] = ()) -> None:
    """Raise InputError unless a table has enough rows, and no window spans more than those for frames."""
    check_positive_int("max_position_embeddings", max_position_embeddings)
    if max_position_embeddings < 3:
        raise InputError(
            f"max_position_embeddings must be at least 3 (a frame, CLS, padding), "
            f"not {max_position_embeddings}.",
            arguments=("max_position_embeddings",),
        )
    frame_rows = max_position_embeddings - 2
    widest = max(windows, default=0)
    if widest > frame_rows:
        raise InputError(
            f"attention_window {widest} is wider than the table of positions: of max_position_embeddings "
            f"{max_position_embeddings} the frames have {frame_rows}, and neighbours further apart share "
            "one.",
            arguments=("attention_window", "max_position_embeddings"),
        )


class LearnedPositions(nn.Module):
    """A table with one learned row per frame index.

    Frames use rows 0 .. P - 3, CLS row P - 2; row P - 1 is never read (the authors' padding row, kept so
    that their checkpoints fit). A frame index beyond the last row wraps around: with P = 288, frame 286
    shares the row of frame 0, and so does frame 5720. Any index is therefore accepted, but two frames a
    multiple of P - 2 apart look alike to the encoder; a longer table or "fixed" avoids that.
    """

    def __init__(self, embed_dim: int, max_position_embeddings: int) -> None:
        super().__init__()
        check_position_rows(max_position_embeddings)
        self.table = nn.Embedding(max_position_embeddings, embed_dim)

    def position_ids(self, frame_indices: torch.Tensor) -> torch.Tensor:
        """Row of the table for every token, (B, 1 + T) int64; the argument is not modified."""
        cls_row = self.table.num_embeddings - 2
        frame_rows = frame_indices.long() % cls_row
        return nn.functional.pad(frame_rows, (1, 0), value=cls_row)

    def forward(self, frame_indices: torch.Tensor) -> torch.Tensor:
        return self.table(self.position_ids(frame_indices))


class FixedPositions(nn.Module):
    """Sines and cosines of the frame index, DETR's encoding kept to the time axis, plus a learned CLS row.

        p[t, 2i] = sin(t / 10000^(2i / D)),  p[t, 2i + 1] = cos(t / 10000^(2i / D))

    The index is not divided by the video's length, which a clip does not know. The angles are computed in
    float64, so that those of huge indices are as exact as those of small ones. The slowest wave repeats after
    about 2 pi 10000 = 62,832 frames (35 minutes at 30 fps); beyond, only the waves together tell frames
    apart.

    Source: DETR (arXiv:2005.12872), position encoding; VTN Sec. 4.1 (2).
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        if embed_dim % 2:
            raise InputError(
                f'position_embedding "fixed" needs an even width of the frame features, not {embed_dim}.',
                arguments=("position_embedding",),
            )
        self.cls_position = nn.Parameter(torch.empty(1, 1, embed_dim))

    def forward(self, frame_indices: torch.Tensor) -> torch.Tensor:
        width = self.cls_position.shape[-1]
        exponents = torch.arange(0, width, 2, device=frame_indices.device, dtype=torch.float64) / width
        angles = frame_indices.double()[..., None] / 10000.0**exponents  # (B, T, D / 2)
        waves = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)
        return _with_cls(self.cls_position, waves.to(self.cls_position.dtype))


class NoPositions(nn.Module):
    """Nothing for the frames, whatever their index; only CLS has a learned position (VTN Sec. 4.1 (3))."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.cls_position = nn.Parameter(torch.empty(1, 1, embed_dim))

    def forward(self, frame_indices: torch.Tensor) -> torch.Tensor:
        frames = self.cls_position.new_zeros(*frame_indices.shape, self.cls_position.shape[-1])
        return _with_cls(self.cls_position, frames)


def _with_cls(cls_position: torch.Tensor, frame_positions: torch.Tensor) -> torch.Tensor:
    """(1, 1, D) and (B, T, D) -> (B, 1 + T, D)."""
    return torch.cat([cls_position.expand(frame_positions.shape[0], -1, -1), frame_positions], dim=1)


def build_positions(position_embedding: str, embed_dim: int, max_position_embeddings: int) -> nn.Module:
    """Make the module for "learned", "fixed" or "none"; any other word is an InputError."""
    if position_embedding == "learned":
        return LearnedPositions(embed_dim, max_position_embeddings)
    if position_embedding == "fixed":
        return FixedPositions(embed_dim)
    if position_embedding == "none":
        return NoPositions(embed_dim)
    raise InputError(
        f"position_embedding must be one of {', '.join(POSITION_EMBEDDINGS)}, not {position_embedding!r}.",
        arguments=("position_embedding",),
    )
