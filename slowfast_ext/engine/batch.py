"""One batch on its way into a model, in training and testing alike."""

from collections.abc import Iterator
from typing import Any

import torch


class Batch:
    """One batch on the model's device.

    Attributes:
        inputs: What the model takes: tensors, or Frames, of N videos.
        labels: (N,), or distributions over the K classes, (N, K), see Mixing.
        items: Data set indices, (N,), on the CPU.
    """

    def __init__(self, loaded, device: torch.device) -> None:
        inputs, labels, self.items, *_ = loaded
        self.inputs = [x.to(device, non_blocking=True) for x in inputs]
        self.labels = labels.to(device, non_blocking=True)

    def __len__(self) -> int:
        return len(self.labels)


def split_batch(loaded: Any, count: int) -> Iterator[Any]:
    """A batch as it comes from a loader, in `count` equal parts; cut on the CPU, before anything moves.

    Args:
        loaded: Inputs (tensors or Frames), labels, items and what else the data set gives, which is left out.
        count: Must divide the number of videos.

    Raises:
        ValueError: If it does not.
    """
    inputs, labels, items, *_ = loaded
    size, rest = divmod(len(labels), count)
    if rest:
        raise ValueError(f"{len(labels)} videos cannot be cut into {count} equal parts")
    for begin in range(0, len(labels), size):
        part = slice(begin, begin + size)
        # The whole batch stays as it is: cutting Frames copies them.
        yield loaded if count == 1 else ([x[part] for x in inputs], labels[part], items[part])
