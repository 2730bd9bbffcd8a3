"""Statistics of batch norms: precise ones after an epoch, and the same ones in every process."""

from collections.abc import Iterator, Sequence

import torch
from torch import distributed as dist
from torch import nn

from slowfast_ext.data.loader import VideoLoader
from slowfast_ext.distributed import device_of, unwrap
from slowfast_ext.engine.batch import Batch
from slowfast_ext.engine.precision import computing_in
from slowfast_ext.engine.seeds import seed_step
from slowfast_ext.engine.stopping import signal_in
from slowfast_ext.host.precise_bn import take_batches, update_bn_stats


class _Interrupted(Exception):
    """A process was asked to end the training."""


def make_precise(loader: VideoLoader, models: Sequence[nn.Module], cfg, epoch: int) -> bool:
    """Replace running statistics of batch norms by averages over BN.NUM_BATCHES_PRECISE training batches.

    Args:
        loader: Of the training list, in the order of the epoch.
        models: Each is changed.
        cfg: Keys BN.NUM_BATCHES_PRECISE, TRAIN.PRECISION, RNG_SEED.
        epoch: From 0.

    Returns:
        Whether that is done. If a process was asked to end the training meanwhile, the statistics of all
        models are as they were.
    """
    before = [{name: buffer.clone() for name, buffer in unwrap(m).named_buffers()} for m in models]
    try:
        for model in models:
            seed_step(cfg, epoch, len(loader))
            _update(loader, unwrap(model), cfg)
    except _Interrupted:
        for model, kept in zip(models, before, strict=True):
            for name, buffer in unwrap(model).named_buffers():
                buffer.copy_(kept[name])
        return False
    return True


def _update(loader: VideoLoader, model: nn.Module, cfg) -> None:
    device, count = device_of(cfg), min(cfg.BN.NUM_BATCHES_PRECISE, len(loader))
    with computing_in(cfg.TRAIN.PRECISION, device):
        update_bn_stats(model.train(), _inputs(loader, count, device), count)
    if dist.is_initialized():
        for buffer in model.buffers():
            if buffer.is_floating_point():
                dist.all_reduce(buffer)
                buffer.div_(dist.get_world_size())


def _inputs(loader: VideoLoader, count: int, device: torch.device) -> Iterator[list]:
    for loaded in take_batches(lambda: iter(loader), count):
        if signal_in(loader.agreed):
            raise _Interrupted
        yield Batch(loaded, device).inputs


def share_buffers(models: Sequence[nn.Module]) -> None:
    """Give every process the buffers of the first one, which are those that a checkpoint holds.

    DistributedDataParallel does so before each step, so after the last one they differ.
    """
    if dist.is_initialized():
        for model in models:
            for buffer in unwrap(model).buffers():
                dist.broadcast(buffer, 0)
