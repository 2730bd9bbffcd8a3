"""One batch on its way into a model, in training and testing alike."""

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
