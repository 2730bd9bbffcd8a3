"""How much memory this process has needed."""

from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_MIB = 2**20


def peak_memory() -> dict[str, float]:
    """The most memory that this process has had since it started, without its loading workers.

    Returns:
        peak_process_memory_mib, resident memory, where the system tells it (Linux); peak_gpu_memory_mib, what
        PyTorch's allocator had given out on this process's GPU, where it uses one.
    """
    found = {}
    # Not resource.getrusage: its number is at least that of the process which started this one.
    lines = _STATUS.read_text(errors="replace").splitlines() if _STATUS.exists() else []
    for line in lines:
        name, _, value = line.partition(":")
        if name == "VmHWM":
            found["peak_process_memory_mib"] = int(value.split()[0]) / 1024
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        found["peak_gpu_memory_mib"] = torch.cuda.max_memory_allocated() / _MIB
    return found
