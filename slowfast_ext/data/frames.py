"""Frames on their way from a worker to the model: bytes, each distinct frame once.

Legend: B clips, T frames shown in each, N distinct frames of all clips together, C side of the crop.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch.utils.data import get_worker_info
from torch.utils.data._utils.collate import default_collate_fn_map

from slowfast_ext.data.shared_memory import Lease, MemoryBlock, allocate_shared
from slowfast_ext.video.transforms import normalize


@dataclass(frozen=True)
class Frames:
    """Clips as the distinct frames in them and the order in which these are shown.

    A video that is shorter than its clip repeats frames; they are stored, moved and encoded once. This stands
    for a tensor (B, 3, T, C, C): it has that shape and moves between devices like one, so that any loop that
    passes tensors on passes it on too.

    Attributes:
        parts: Tensors (n, C, C, 3) uint8 RGB, N frames together, those of the first clip first. Valid as long
            as these Frames are kept: use `pixels` for longer.
        index: (B, T) int64, which of the frames each clip shows when.
        kept: What keeps the memory of the parts from being written again, see shared_memory.py.
    """

    parts: tuple[torch.Tensor, ...]
    index: torch.Tensor
    kept: tuple[MemoryBlock | Lease, ...] = ()

    @property
    def pixels(self) -> torch.Tensor:
        """(N, C, C, 3) uint8: all parts, one after the other."""
        return self.parts[0] if len(self.parts) == 1 and not self.kept else torch.cat(self.parts)

    def images(self, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
        """The distinct frames as a network takes them.

        Args:
            mean: Of each channel, for pixels in [0, 1].
            std: Likewise.

        Returns:
            (N, 3, C, C) float32, (pixels / 255 - mean) / std, on the device where the pixels are; channels
            last in memory.
        """
        images = torch.empty(self._shape_of_pixels(), device=self.device)
        torch.cat(self.parts, out=images)  # turns bytes to floats on the way
        return normalize(images, mean, std)

    def chunks(self, size: int) -> Iterator[torch.Tensor]:
        """Yield the distinct frames in order, `size` at a time and what is left: (n, C, C, 3) uint8."""
        held, room = [], size
        for part in self.parts:
            while len(part):
                held.append(part[:room])
                part = part[room:]
                room -= len(held[-1])
                if not room:
                    yield torch.cat(held)
                    held, room = [], size
        if held:
            yield torch.cat(held)

    def clips(self, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
        """All frames that are shown, normalised: (B, 3, T, C, C) float32."""
        return self.images(mean, std)[self.index].transpose(1, 2).contiguous()

    @property
    def shape(self) -> torch.Size:
        """(B, 3, T, C, C)."""
        (batch, num_frames), (_, height, width, channels) = self.index.shape, self._shape_of_pixels()
        return torch.Size((batch, channels, num_frames, height, width))

    def _shape_of_pixels(self) -> tuple[int, ...]:
        return (sum(len(part) for part in self.parts), *self.parts[0].shape[1:])

    @property
    def device(self) -> torch.device:
        """Where the pixels are."""
        return self.index.device

    def size(self, dim: int | None = None) -> torch.Size | int:
        """Like a tensor's."""
        return self.shape if dim is None else self.shape[dim]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, clips: slice | torch.Tensor) -> "Frames":
        """Some of the clips, by a slice or a mask (B,), with no frames but theirs."""
        distinct, index = self.index[clips].unique(return_inverse=True)
        return Frames((self.pixels[distinct],), index)

    def to(self, *args, **kwargs) -> "Frames":
        """Like a tensor's, for devices."""
        return self._map(lambda x: x.to(*args, **kwargs))

    def cuda(self, *args, **kwargs) -> "Frames":
        """Like a tensor's."""
        return self._map(lambda x: x.cuda(*args, **kwargs))

    def pin_memory(self, device: str | None = None) -> "Frames":
        """Like a tensor's; PyTorch's loader calls it."""
        return self._map(lambda x: x.pin_memory(device))

    def _map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> "Frames":
        parts = tuple(map(function, self.parts))
        moved = all(new is not old for new, old in zip(parts, self.parts, strict=True))
        return Frames(parts, function(self.index), () if moved else self.kept)


def concatenate(batch: Sequence[Frames]) -> Frames:
    """Join clips of equal length and size into one batch."""
    index, before = [], 0
    for frames in batch:
        index.append(frames.index + before)
        before += sum(len(part) for part in frames.parts)
    parts, kept = (tuple(chain(*(getattr(f, name) for f in batch))) for name in ("parts", "kept"))
    return Frames(parts, torch.cat(index), kept)


def _collate(batch: Sequence[Frames], *, collate_fn_map: dict | None = None) -> Frames:
    frames = concatenate(batch)
    if get_worker_info() is None or all(part.is_shared() for part in frames.parts):
        return frames
    # As PyTorch does with tensors: the process that trains gets them without a copy.
    pixels = allocate_shared(frames._shape_of_pixels())
    torch.cat(frames.parts, out=pixels)
    return Frames((pixels,), frames.index)


# PyTorch's way of teaching its default collate function, the one in every loader, a new type.
default_collate_fn_map[Frames] = _collate
