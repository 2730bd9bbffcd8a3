"""What PySlowFast main expects of PyTorch and CUDA that is gone, or has another name now."""

import functools
import warnings

import torch
from slowfast.models import batchnorm_helper
from torch import distributed as dist
from torch import nn

from slowfast_ext.host.cures import Cure, cure

TORCH_CURES: list[Cure] = []


def _amp_is_deprecated() -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)
            torch.cuda.amp.autocast(enabled=False)
            torch.cuda.amp.GradScaler(enabled=False)
    except (FutureWarning, AttributeError):
        return True
    return False


@cure(
    TORCH_CURES,
    "torch.cuda.amp.autocast",
    "torch >= 2.4: deprecated, warns in every iteration",
    present=_amp_is_deprecated,
)
def mend_autocast() -> None:
    torch.cuda.amp.autocast = functools.partial(torch.amp.autocast, "cuda")
    torch.cuda.amp.GradScaler = functools.partial(torch.amp.GradScaler, "cuda")


@cure(
    TORCH_CURES,
    "torch.optim._multi_tensor",
    "gone from torch, SOLVER.OPTIMIZING_METHOD mt_adamw needs it",
    present=lambda: not hasattr(torch.optim, "_multi_tensor"),
)
def mend_multi_tensor() -> None:
    class MultiTensor:
        """AdamW over many tensors at once is an option of AdamW now."""

        AdamW = functools.partial(torch.optim.AdamW, foreach=True)

    torch.optim._multi_tensor = MultiTensor


class SyncBatchNorm3d(nn.SyncBatchNorm):
    """PyTorch's batch norm over several GPUs, called as PySlowFast main calls pytorchvideo's.

    Args:
        num_features: Channels.
        num_sync_devices: Neighbouring processes that share statistics; below 1 all of the machine do.
        global_sync: All processes share them.
        **options: eps and momentum.
    """

    def __init__(
        self, num_features: int, num_sync_devices: int = -1, global_sync: bool = True, **options: float
    ) -> None:
        group = None
        if dist.is_initialized() and not global_sync:
            group = _group_of_neighbours(num_sync_devices)
        super().__init__(num_features, process_group=group, **options)


@functools.cache
def _group_of_neighbours(size: int) -> dist.ProcessGroup:
    from pytorchvideo.layers import distributed

    if size < 1:
        return distributed.get_local_process_group()
    groups = [list(range(first, first + size)) for first in range(0, dist.get_world_size(), size)]
    return dist.new_subgroups_by_enumeration(groups)[0]


def _lacks_num_sync_devices() -> bool:
    try:
        batchnorm_helper.NaiveSyncBatchNorm3d(num_features=1, num_sync_devices=1, global_sync=True)
    except TypeError:
        return True
    return False


@cure(
    TORCH_CURES,
    "slowfast.models.batchnorm_helper.NaiveSyncBatchNorm3d",
    "the class in pytorchvideo's releases does not know BN.NUM_SYNC_DEVICES and BN.GLOBAL_SYNC",
    present=_lacks_num_sync_devices,
)
def mend_sync_batch_norm() -> None:
    batchnorm_helper.NaiveSyncBatchNorm3d = SyncBatchNorm3d
