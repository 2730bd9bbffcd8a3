"""What training and testing share: seeds, batches, sums over processes."""

import random

import numpy as np
import torch
from torch import distributed as dist

from slowfast_ext.data.ledger import accuracy_bounds


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and PyTorch; every process gets numbers of its own."""
    rank = dist.get_rank() if dist.is_initialized() else 0
    seed = (seed * 1009 + rank) % 2**32
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class Batch:
    """One batch on the model's device.

    Attributes:
        inputs: What the model takes: tensors, or Frames, of N videos.
        labels: (N,).
        items: Data set indices, (N,).
    """

    def __init__(self, loaded, device: torch.device) -> None:
        inputs, labels, self.items, *_ = loaded
        self.inputs = [x.to(device, non_blocking=True) for x in inputs]
        self.labels = labels.to(device, non_blocking=True)

    def __len__(self) -> int:
        return len(self.labels)


def sentence_of_score(what: str, correct: float, scored: int, failed: int) -> str:
    """Top-1 accuracy, over how many videos, and between what it lies whatever the failed ones are."""
    text = f"{what}: top-1 accuracy {100 * correct / scored:.2f} % over {scored} of {scored + failed} videos"
    if not failed:
        return text
    low, high = accuracy_bounds(correct, scored, failed)
    return f"{text}; {low:.2f} % if the {failed} that failed were all wrong, {high:.2f} % if all were right"


def all_reduce_sum(values: list[float]) -> list[float]:
    """Sum numbers over all processes."""
    if not dist.is_initialized():
        return values
    tensor = torch.tensor(values, dtype=torch.float64)
    if dist.get_backend() == "nccl":
        tensor = tensor.cuda()
    dist.all_reduce(tensor)
    return tensor.tolist()
