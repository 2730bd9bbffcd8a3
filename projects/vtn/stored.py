"""The exact answer for a video of any length, from features that are stored: neither they nor what the layers
make of them has to fit in memory.

Shape legend: T frames of the video, n frames of a part of it, D width of a frame feature, K classes.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from . import temporal_encoder
from .checks import check_below, check_feature_rows, check_positive_int, checked_row_indices
from .errors import InputError
from .model import VTN
from .streaming import check_in_parts, check_not_scaled
from .temporal_encoder import EncoderLayer

# A tensor, or an array of NumPy, which this package does not import.
Features = torch.Tensor | Any


@torch.no_grad()
def classify_stored(
    model: VTN,
    features: Features | Iterable[Features],
    frame_indices: Features | None = None,
    *,
    num_frames: int | None = None,
    scratch_folder: str | os.PathLike | None = None,
) -> torch.Tensor:
    """Classify one video as `VTN.classify` does, in memory that does not grow with its length.

    The layers are computed one after the other, each from the states of the one below, which are in a file.
    There are two such files at a time, T * D * 4 bytes each in float32; one layer needs none. They have no
    name, so nothing is left of them however the process ends.

    Args:
        model: In evaluation.
        features: (T, D) from `VTN.frame_features`, in order of time, of which a part at a time is read, such
            as `numpy.load(path, mmap_mode="r")`; or consecutive parts (n, D), gone through once.
        frame_indices: (T,) integers >= 0, 0 .. T - 1 if left out.
        num_frames: Length of the video, its last index + 1; needed only with position_overflow "scale", and
            there only if neither frame_indices nor features say it.
        scratch_folder: Where the files are; the system's folder for temporary files by default. What is in it
            should be on a disk, not in memory.

    Returns:
        Logits (K,).

    Raises:
        InputError: If the model, a shape or a type cannot be used, or a file cannot be written; the sentence
            says why.
    """
    check_in_parts(model, "classify_stored")
    check_positive_int("num_frames", num_frames, optional=True)
    encoder, device = model.temporal_encoder, model.cls_token.device
    if frame_indices is not None:
        frame_indices = torch.as_tensor(frame_indices)
        frame_indices = checked_row_indices(frame_indices, len(frame_indices), torch.device("cpu"))
    if num_frames is None:
        num_frames = _length(features, frame_indices)
    if num_frames is None:
        check_not_scaled(model, "classify_stored")
    length = None if num_frames is None else torch.tensor([[num_frames]], device=device)

    cls = encoder.embed_cls(model.cls_token)
    parts = (
        encoder.embed_frames(part[None].to(device), indices[None].to(device), length)
        for part, indices in _numbered(_parts(features, model.embed_dim), frame_indices, num_frames)
    )
    *lower, last = encoder.layers
    with contextlib.ExitStack() as files:
        for layer in lower:
            states = files.enter_context(_States(scratch_folder, cls))
            states.write(parts)
            below, (cls, _) = cls, layer.encode_cls(cls, states)
            parts = _encode(layer, below, states)
        cls, _ = last.encode_cls(cls, parts)
    return model.mlp_head(cls[:, 0])[0]


def _length(features: Features | Iterable[Features], frame_indices: torch.Tensor | None) -> int | None:
    """Highest index + 1; None if only going through the features would tell."""
    if frame_indices is not None and len(frame_indices):
        return int(frame_indices.max()) + 1
    return len(features) if hasattr(features, "shape") else None


def _parts(features: Features | Iterable[Features], embed_dim: int) -> Iterator[torch.Tensor]:
    """(n, D) in memory, at most FRAMES_PER_PART frames at a time."""
    size = temporal_encoder.FRAMES_PER_PART
    for stored in [features] if hasattr(features, "shape") else features:
        for first in range(0, max(len(stored), 1), size):
            part = stored[first : first + size]
            # A copy: what is mapped from a file may be read-only.
            part = part if isinstance(part, torch.Tensor) else torch.tensor(part)
            check_feature_rows(part, embed_dim)
            yield part


def _numbered(
    parts: Iterable[torch.Tensor], frame_indices: torch.Tensor | None, num_frames: int | None
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Each part with the indices (n,) of its frames."""
    end = 0
    for part in parts:
        begin, end = end, end + len(part)
        indices = torch.arange(begin, end) if frame_indices is None else frame_indices[begin:end]
        if len(indices) == len(part):
            check_below(indices, num_frames)
            yield part, indices
    if frame_indices is not None and end != len(frame_indices):
        raise InputError(f"frame_indices has {len(frame_indices)} numbers, but there are {end} frames.")
    if not end:
        raise InputError("features has no frames.")


class _States:
    """States of all frames below a layer, in a file without a name. For `with`, which gives the disk back.

    Args:
        folder: For the file; the system's for None.
        like: A tensor of their width, type and device.
    """

    def __init__(self, folder: str | os.PathLike | None, like: torch.Tensor) -> None:
        self._folder = tempfile.gettempdir() if folder is None else folder
        self._device, self._width, self._dtype, self.count = like.device, like.shape[-1], like.dtype, 0
        with self._said():
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115

    def __enter__(self) -> "_States":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the disk back."""
        with contextlib.suppress(OSError):  # what a full disk did not take
            self._file.close()

    def write(self, parts: Iterable[torch.Tensor]) -> None:
        """Append states, (1, n, D) at a time."""
        for part in parts:
            rows = part[0].to("cpu", self._dtype).contiguous()
            with self._said():
                self._file.write(rows.view(torch.uint8).numpy().data)
            self.count += len(rows)
        with self._said():
            self._file.flush()

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        """Say in a sentence that the disk is full, say."""
        try:
            yield
        except OSError as error:
            raise InputError(f"cannot write to scratch_folder {self._folder}: {error.strerror}.") from error

    def read(self, begin: int, end: int) -> torch.Tensor:
        """States of frames begin .. end - 1, (1, n, D)."""
        row = self._width * self._dtype.itemsize
        self._file.seek(begin * row)
        content = bytearray((end - begin) * row)
        self._file.readinto(content)
        return torch.frombuffer(content, dtype=self._dtype).view(1, -1, self._width).to(self._device)

    def __iter__(self) -> Iterator[torch.Tensor]:
        size = temporal_encoder.FRAMES_PER_PART
        for begin in range(0, self.count, size):
            yield self.read(begin, min(begin + size, self.count))


def _encode(layer: EncoderLayer, cls: torch.Tensor, states: _States) -> Iterator[torch.Tensor]:
    """What a layer makes of the states below it, (1, n, D) at a time; their file is closed after the last."""
    reach, size = layer.attention.attention_window // 2, temporal_encoder.FRAMES_PER_PART
    for first in range(0, states.count, size):
        count = min(size, states.count - first)
        begin, end = max(first - reach, 0), min(first + count + reach, states.count)
        near = torch.cat([cls, states.read(begin, end)], dim=1)
        yield layer.encode_frames(near, first - begin, count)
    states.close()
