"""Precise batch-norm statistics: fvcore's, called the way PySlowFast's own function is."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # it scripts a function, which PyTorch calls deprecated
    from fvcore.nn.precise_bn import get_bn_modules, update_bn_stats


def take_batches(one_pass: Callable[[], Iterator[Any]], count: int) -> Iterator[Any]:
    """Exactly `count` batches; where failed videos leave a pass fewer, another one begins.

    For batch-norm statistics, which are averaged over a number of batches that is fixed before.

    Args:
        one_pass: Begins a pass over a loader.
        count: Batches; fewer come only if a pass has none.
    """
    given = 0
    while given < count:
        before = given
        for batch in one_pass():
            yield batch
            given += 1
            if given == count:
                return
        if given == before:
            return


@torch.no_grad()
def compute_and_update_bn_stats(model: nn.Module, data_loader, num_batches: int = 200) -> None:
    """Replace running statistics of batch norms by averages over the first batches of a loader.

    Args:
        model: In training mode; called with the first item of each batch, a list of tensors.
        data_loader: Has a length.
        num_batches: At most so many are used.
    """
    device, count = next(model.parameters()).device, min(num_batches, len(data_loader))
    items = take_batches(lambda: iter(data_loader), count)
    update_bn_stats(model, ([x.to(device, non_blocking=True) for x in item[0]] for item in items), count)


__all__ = ["compute_and_update_bn_stats", "get_bn_modules", "take_batches", "update_bn_stats"]
