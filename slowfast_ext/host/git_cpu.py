"""PySlowFast main's loops on CPUs: they call CUDA, and take NUM_GPUS for the number of processes.

The cures are applied in every process, and change something only where it must leave the GPUs alone.
"""

from collections.abc import Callable

import torch
from fvcore.common.config import CfgNode
from torch import distributed as dist
from torch import nn

from slowfast_ext.distributed import on_cpu
from slowfast_ext.host import get_installation
from slowfast_ext.host.cures import Cure, cure
from slowfast_ext.host.git_models import thawed

CPU_CURES: list[Cure] = []


def in_mains_terms(cfg: CfgNode) -> CfgNode:
    """The configuration as main's loops need it: a copy that they may write into.

    On CPUs NUM_GPUS is the number of processes if there are several, and no memory is pinned for a GPU.
    """
    cfg = thawed(cfg)
    if on_cpu():
        cfg.NUM_GPUS = cfg.VTN.CPU_PROCESSES if dist.is_initialized() else 0
        cfg.DATA_LOADER.PIN_MEMORY = False
    return cfg


def _training_mentions(word: str) -> bool:
    """Whether main's training loop has this word in its source; False where main came without its tools."""
    tools = get_installation().tools
    return tools is not None and word in (tools / "train_net.py").read_text(encoding="utf-8")


@cure(
    CPU_CURES,
    "torch.Tensor.cuda",
    "several processes on CPUs: main's loops take NUM_GPUS for their number, and move batches to GPUs",
    present=lambda: _training_mentions(".cuda("),
)
def mend_cuda() -> None:
    def unless_on_cpu(move: Callable) -> Callable:
        return lambda self, *args, **kwargs: self if on_cpu() else move(self, *args, **kwargs)

    torch.Tensor.cuda = unless_on_cpu(torch.Tensor.cuda)
    nn.Module.cuda = unless_on_cpu(nn.Module.cuda)


@cure(
    CPU_CURES,
    "torch.cuda.synchronize",
    "NUM_GPUS 0, or no CUDA: tools/train_net.py calls it in every iteration",
    present=lambda: _training_mentions("torch.cuda.synchronize"),
)
def mend_synchronize() -> None:
    synchronize = torch.cuda.synchronize

    def unless_on_cpu(device: torch.device | int | None = None) -> None:
        if torch.cuda.is_available() and not on_cpu():
            synchronize(device)

    torch.cuda.synchronize = unless_on_cpu
