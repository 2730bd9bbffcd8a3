"""Frames on their way from a worker to the model: bytes, each distinct frame once.

Legend: B clips, T frames shown in each, N distinct frames of all clips together, C side of the crop.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import get_worker_info
from torch.utils.data._utils.collate import default_collate_fn_map


@dataclass(frozen=True)
class Frames:
    """Clips as the distinct frames in them and the order in which these are shown.

    A video that is shorter than its clip repeats frames; they are stored, moved and encoded once. It stands
    for a tensor (B, 3, T, C, C), whose shape it tells, and moves between devices like one, so that any loop
    that passes tensors on passes it on too.

    Attributes:
        pixels: (N, C, C, 3) uint8 RGB, those of the first clip first.
        index: (B, T) int64, which of the pixels each clip shows when.
    """

    pixels: torch.Tensor
    index: torch.Tensor

    def images(self, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
        """The distinct frames as a network takes them.

        Args:
            mean: Of each channel, for pixels in [0, 1].
            std: Likewise.

        Returns:
            (N, 3, C, C) float32, (pixels / 255 - mean) / std, on the device where the pixels are; channels
            last in memory.
        """
        shift, scale = (torch.tensor(values, device=self.pixels.device) for values in (mean, std))
        return self.pixels.float().div_(255).sub_(shift).div_(scale).permute(0, 3, 1, 2)

    def clips(self, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
        """All frames that are shown, normalised: (B, 3, T, C, C) float32."""
        return self.images(mean, std)[self.index].transpose(1, 2).contiguous()

    @property
    def shape(self) -> torch.Size:
        """(B, 3, T, C, C)."""
        (batch, shown), (_, height, width, channels) = self.index.shape, self.pixels.shape
        return torch.Size((batch, channels, shown, height, width))

    @property
    def device(self) -> torch.device:
        """Where the pixels are."""
        return self.pixels.device

    def size(self, dim: int | None = None) -> torch.Size | int:
        """As a tensor's."""
        return self.shape if dim is None else self.shape[dim]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, clips: slice | torch.Tensor) -> "Frames":
        """Some of the clips, by a slice or a mask (B,), with no frames but theirs."""
        shown = self.index[clips]
        distinct, index = shown.unique(return_inverse=True)
        return Frames(self.pixels[distinct], index)

    def to(self, *args, **kwargs) -> "Frames":
        """As a tensor's, for devices."""
        return Frames(self.pixels.to(*args, **kwargs), self.index.to(*args, **kwargs))

    def cuda(self, *args, **kwargs) -> "Frames":
        """As a tensor's."""
        return Frames(self.pixels.cuda(*args, **kwargs), self.index.cuda(*args, **kwargs))

    def pin_memory(self, device: str | None = None) -> "Frames":
        """As a tensor's; PyTorch's loader calls it."""
        return Frames(self.pixels.pin_memory(device), self.index.pin_memory(device))


def concatenate(batch: Sequence[Frames]) -> Frames:
    """Put clips of equal length and size behind one another.

    In a loader's worker the result lies in shared memory at once, as PyTorch does it for tensors: the process
    that trains receives it without a copy.
    """
    total = sum(len(frames.pixels) for frames in batch)
    shape = (total, *batch[0].pixels.shape[1:])
    if get_worker_info() is None:
        pixels = torch.empty(shape, dtype=torch.uint8)
    else:
        storage = torch.UntypedStorage._new_shared(torch.Size(shape).numel())
        pixels = torch.empty(0, dtype=torch.uint8).set_(storage).view(shape)
    torch.cat([frames.pixels for frames in batch], out=pixels)
    index, before = [], 0
    for frames in batch:
        index.append(frames.index + before)
        before += len(frames.pixels)
    return Frames(pixels, torch.cat(index))


def _collate(batch: Sequence[Frames], *, collate_fn_map: dict | None = None) -> Frames:
    return concatenate(batch)


# PyTorch's way of teaching its default collate function, the one in every loader, a new type.
default_collate_fn_map[Frames] = _collate
