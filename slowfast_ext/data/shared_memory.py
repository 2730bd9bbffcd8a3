"""Shared memory for large clips, used again and again, because asking for it anew is slow.

The worker of a loader writes frames into a block and sends it; the process that trains has a lease on it,
and when the lease ends the worker may write into the block again. Its last byte says whether it is in use.
"""

import math
import os
from collections.abc import Sequence

import torch
from torch.utils.data import get_worker_info

# Bytes. Smaller clips are better copied: every block takes a file descriptor on both sides, and glibc keeps
# memory up to this size for itself instead of giving it back to the system.
_LARGE = 32 * 2**20
# More are not kept: a loader has two batches of each worker waiting, one is being written, and one is in use.
_MOST = 8
_blocks: list[torch.Tensor] = []


class MemoryBlock:
    """Memory that this worker writes; it is free again if it is dropped without having been sent."""

    def __init__(self, memory: torch.Tensor) -> None:
        self._memory, self._sent = memory, False
        memory[-1] = 1

    def __reduce__(self) -> tuple:
        self._sent = True
        return Lease, (self._memory[-1:],)

    def __del__(self) -> None:
        if not self._sent:
            self._memory[-1] = 0


class Lease:
    """Right to read what a worker sent; it ends with this object."""

    def __init__(self, in_use: torch.Tensor) -> None:
        self._in_use, self._process = in_use, os.getpid()

    def __del__(self) -> None:
        if os.getpid() == self._process:  # a process that was forked meanwhile has no say
            self._in_use.zero_()


def allocate(shape: Sequence[int]) -> tuple[torch.Tensor, tuple[MemoryBlock, ...]]:
    """Memory for the frames of one clip.

    Args:
        shape: Of the tensor, uint8.

    Returns:
        The tensor, with any content, and the block that it lies in: for a large clip in a loader's worker;
        nothing otherwise. The tensor is valid as long as the block, or the lease that it becomes, is kept.
    """
    size = math.prod(shape)
    if get_worker_info() is None or size < _LARGE:
        return torch.empty(tuple(shape), dtype=torch.uint8), ()
    memory = next((m for m in _blocks if len(m) == size + 1 and not m[-1]), None)
    if memory is None:
        memory = allocate_shared([size + 1])
        if len(_blocks) < _MOST:
            _blocks.append(memory)
    return memory[:-1].view(tuple(shape)), (MemoryBlock(memory),)


def allocate_shared(shape: Sequence[int], dtype: torch.dtype = torch.uint8) -> torch.Tensor:
    """Fresh memory that another process can read.

    Where Linux gives memory that has no name, it is that: PyTorch's has one for some microseconds, and a
    process that is killed in them leaves it to the machine for ever.
    """
    size = math.prod(shape) * dtype.itemsize
    if not hasattr(os, "memfd_create") or not size:
        storage = torch.UntypedStorage._new_shared(size)
    else:
        file = os.memfd_create("frames")
        try:
            os.ftruncate(file, size)
            storage = torch.UntypedStorage._new_shared_fd_cpu(file, size)  # with a descriptor of its own
        finally:
            os.close(file)
    return torch.empty(0, dtype=dtype).set_(storage).view(tuple(shape))
