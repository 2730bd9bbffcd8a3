"""What training and testing share: seeds, batches, videos that could not be read, the model's facts."""

import random

import numpy as np
import torch
from torch import distributed as dist
from torch import nn

from slowfast_ext.data.dataset import decode_error
from slowfast_ext.flops import count_flops, count_parameters, example_inputs, view_shape
from slowfast_ext.host import get_host
from slowfast_ext.host.launch import is_master, unwrap


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and PyTorch; every process gets numbers of its own."""
    rank = dist.get_rank() if dist.is_initialized() else 0
    seed = (seed * 1009 + rank) % 2**32
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class Batch:
    """One batch on the model's device, without the videos that could not be read.

    Attributes:
        inputs: Tensors for the model, (N, …) each; N may be 0.
        labels: (N,).
        items: Data set indices, (N,).
        errors: {data set index: reason} of the videos that are missing.
    """

    def __init__(self, loaded, device: torch.device) -> None:
        inputs, labels, items, *_, meta = loaded
        self.errors: dict[int, str] = {}
        if "error" in meta:
            reasons = [decode_error(code) for code in meta["error"]]
            self.errors = {int(item): reason for item, reason in zip(items, reasons, strict=True) if reason}
            if self.errors:
                good = torch.tensor([not reason for reason in reasons])
                inputs, labels, items = [x[good] for x in inputs], labels[good], items[good]
        self.inputs = [x.to(device, non_blocking=True) for x in inputs]
        self.labels = labels.to(device, non_blocking=True)
        self.items = items

    def __len__(self) -> int:
        return len(self.labels)


class Failures:
    """Videos that could not be read, over all processes.

    Args:
        dataset: Gives the path of an item (`paths`, `num_views`).
    """

    def __init__(self, dataset) -> None:
        self.dataset = dataset
        self.reasons: dict[int, str] = {}

    def add(self, errors: dict[int, str]) -> None:
        """Note the errors of one batch, by data set index; the views of a video count once."""
        views = getattr(self.dataset, "num_views", 1)
        self.reasons.update({item // views: reason for item, reason in errors.items()})

    def gather(self) -> None:
        """Collect from all processes; every process must call it."""
        if dist.is_initialized():
            shares: list = [None] * dist.get_world_size()
            dist.all_gather_object(shares, self.reasons)
            self.reasons = {video: reason for share in shares for video, reason in share.items()}

    def log(self, what: str) -> None:
        """Name every video that is missing, and over how many videos the numbers were taken."""
        if not self.reasons or not is_master():
            return
        logger = get_host().get_logger(__name__)
        total = getattr(self.dataset, "num_videos", len(self.dataset))
        logger.warning(
            "%s is over %d of %d videos; %d could not be read:",
            what,
            total - len(self.reasons),
            total,
            len(self.reasons),
        )
        for video in sorted(self.reasons):
            path, reason = self.dataset.paths[video], self.reasons[video]
            # A long reason has lost its beginning, which is the path.
            logger.warning("  %s", reason if reason.startswith(path) else f"{path}: {reason}")


def all_reduce_sum(values: list[float]) -> list[float]:
    """Sum numbers over all processes."""
    if not dist.is_initialized():
        return values
    tensor = torch.tensor(values, dtype=torch.float64)
    if dist.get_backend() == "nccl":
        tensor = tensor.cuda()
    dist.all_reduce(tensor)
    return tensor.tolist()


def log_model_info(model: nn.Module, cfg, *, train: bool) -> None:
    """Log parameters and multiply-adds of one view; only the first process does, if LOG_MODEL_INFO."""
    if not (is_master() and cfg.LOG_MODEL_INFO):
        return
    logger = get_host().get_logger(__name__)
    frames, crop = view_shape(cfg, train=train)
    count = count_flops(unwrap(model), example_inputs(cfg, frames, crop))
    logger.info("Model:\n%s", unwrap(model))
    logger.info("Params: %s", f"{count_parameters(model):,}")
    logger.info(
        "GFLOPs per view: %.3f (multiply-adds of convolutions and linear layers at %d frames of %dx%d; "
        "attention and non-local products add %.3f)",
        count.conv_linear,
        frames,
        crop,
        crop,
        count.products,
    )
