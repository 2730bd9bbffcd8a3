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
POSITION_OVERFLOWS = ("wrap", "scale", "none")


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


def check_position_overflow(overflow: str) -> None:
    """Raise InputError unless it is a word of POSITION_OVERFLOWS."""
    if overflow not in POSITION_OVERFLOWS:
        raise InputError(
            f"position_overflow must be one of {', '.join(POSITION_OVERFLOWS)}, not {overflow!r}.",
            arguments=("position_overflow",),
        )


class FrameRows:
    """Which row of a learned table of P rows each frame has.

    Frames use the first R = P - 2 rows, CLS row P - 2; row P - 1 is the authors' padding row. Frames
    0 .. R - 1 have the row of their index. What becomes of the others is `overflow`:

        wrap: row index mod R, as in the authors' release. With P = 288 frame 286 shares the row of frame 0,
            and so does frame 5720.
        scale: where the highest index of a clip is beyond the table, all its frames are scaled down to it:
            row floor(index * R / length), length being the highest index + 1. A clip that fits stays as is.
        none: no position, which is zeros in place of a row; row P - 1 stands for it.

    Args:
        max_position_embeddings: P.
        overflow: A word of POSITION_OVERFLOWS.
    """

    def __init__(self, max_position_embeddings: int, overflow: str = "wrap") -> None:
        check_position_rows(max_position_embeddings)
        check_position_overflow(overflow)
        self.count, self.overflow = max_position_embeddings - 2, overflow

    def overflows(self, frame_indices: torch.Tensor) -> bool:
        """Whether any frame lies beyond the table. A GPU that holds the indices is waited for."""
        return bool((frame_indices >= self.count).any())

    def length_of(self, frame_indices: torch.Tensor) -> torch.Tensor | None:
        """(B, 1), what indices (B, T) are scaled by; None if they are not scaled."""
        return frame_indices.long().amax(1, keepdim=True) + 1 if self.overflow == "scale" else None

    def __call__(self, frame_indices: torch.Tensor, length: torch.Tensor | None = None) -> torch.Tensor:
        """Rows (B, T) int64 of frames (B, T), which may be a part of a clip if `length` is given.

        Args:
            frame_indices: Not modified.
            length: As `length_of` gives it for the whole clip; frames from it on share the last row.
        """
        indices = frame_indices.long()
        if self.overflow == "wrap":
            return indices % self.count
        if self.overflow == "none":
            return torch.where(indices < self.count, indices, self.count + 1)
        length = self.length_of(indices) if length is None else length
        scaled = (indices * self.count // length).clamp(max=self.count - 1)
        return torch.where(length > self.count, scaled, indices)


class WithoutTable:
    """Positions that no frame lies beyond."""

    def overflows(self, frame_indices: torch.Tensor) -> bool:
        """False: there is no table that could end."""
        return False

    def length_of(self, frame_indices: torch.Tensor) -> None:
        """None: nothing is scaled."""


class LearnedPositions(nn.Module):
    """A table with one learned row per frame index, and one for CLS.

    Any index is accepted; FrameRows says what frames beyond the table get. Its last row is never read (the
    authors' padding row, kept so that their checkpoints fit).

    Args:
        embed_dim: D.
        max_position_embeddings: P.
        overflow: "wrap", "scale" or "none", see FrameRows.
    """

    def __init__(self, embed_dim: int, max_position_embeddings: int, overflow: str = "wrap") -> None:
        super().__init__()
        self.rows = FrameRows(max_position_embeddings, overflow)
        self.table = nn.Embedding(max_position_embeddings, embed_dim)

    def overflows(self, frame_indices: torch.Tensor) -> bool:
        """Whether any frame lies beyond the table. A GPU that holds the indices is waited for."""
        return self.rows.overflows(frame_indices)

    def length_of(self, frame_indices: torch.Tensor) -> torch.Tensor | None:
        """(B, 1), what indices (B, T) are scaled by; None if they are not scaled."""
        return self.rows.length_of(frame_indices)

    def position_ids(self, frame_indices: torch.Tensor, length: torch.Tensor | None = None) -> torch.Tensor:
        """Row of the table for every token, (B, 1 + T) int64; the arguments are those of FrameRows."""
        return nn.functional.pad(self.rows(frame_indices, length), (1, 0), value=self.rows.count)

    def forward(self, frame_indices: torch.Tensor, length: torch.Tensor | None = None) -> torch.Tensor:
        position_ids = self.position_ids(frame_indices, length)
        positions = self.table(position_ids)
        if self.rows.overflow == "none":
            return positions.masked_fill((position_ids > self.rows.count)[..., None], 0.0)
        return positions


class FixedPositions(WithoutTable, nn.Module):
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

    def forward(self, frame_indices: torch.Tensor, length: None = None) -> torch.Tensor:
        width = self.cls_position.shape[-1]
        exponents = torch.arange(0, width, 2, device=frame_indices.device, dtype=torch.float64) / width
        angles = frame_indices.double()[..., None] / 10000.0**exponents  # (B, T, D / 2)
        waves = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)
        return _with_cls(self.cls_position, waves.to(self.cls_position.dtype))


class NoPositions(WithoutTable, nn.Module):
    """Nothing for the frames, whatever their index; only CLS has a learned position (VTN Sec. 4.1 (3))."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.cls_position = nn.Parameter(torch.empty(1, 1, embed_dim))

    def forward(self, frame_indices: torch.Tensor, length: None = None) -> torch.Tensor:
        frames = self.cls_position.new_zeros(*frame_indices.shape, self.cls_position.shape[-1])
        return _with_cls(self.cls_position, frames)


def _with_cls(cls_position: torch.Tensor, frame_positions: torch.Tensor) -> torch.Tensor:
    """(1, 1, D) and (B, T, D) -> (B, 1 + T, D)."""
    return torch.cat([cls_position.expand(frame_positions.shape[0], -1, -1), frame_positions], dim=1)


def build_positions(
    position_embedding: str, embed_dim: int, max_position_embeddings: int, overflow: str = "wrap"
) -> nn.Module:
    """Make the module for "learned", "fixed" or "none"; any other word is an InputError.

    `overflow` is a word of POSITION_OVERFLOWS; only "learned" has a table that could end, so the others take
    only the default.
    """
    if position_embedding not in POSITION_EMBEDDINGS:
        raise InputError(
            f"position_embedding must be one of {', '.join(POSITION_EMBEDDINGS)}, not "
            f"{position_embedding!r}.",
            arguments=("position_embedding",),
        )
    check_position_overflow(overflow)
    if position_embedding == "learned":
        return LearnedPositions(embed_dim, max_position_embeddings, overflow)
    if overflow != "wrap":
        raise InputError(
            f"position_overflow {overflow!r} has nothing to do with position_embedding "
            f"{position_embedding!r}, which has no table that could end.",
            arguments=("position_overflow", "position_embedding"),
        )
    return FixedPositions(embed_dim) if position_embedding == "fixed" else NoPositions(embed_dim)
