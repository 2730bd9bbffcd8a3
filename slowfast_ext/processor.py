"""What the processor of this machine can do for low precision."""

import functools
from pathlib import Path

import torch

_CPUINFO = Path("/proc/cpuinfo")
# Instructions that multiply bfloat16: without them it is slower than float32. AVX-512, AMX, ARM.
_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")


def cpu_has_bfloat16() -> bool:
    """Whether it multiplies in bfloat16."""
    # PyTorch before 2.12 does not say, and some virtual machines hide what it asks for.
    flags = _CPUINFO.read_text(encoding="utf-8", errors="replace").split() if _CPUINFO.is_file() else []
    return any(_pytorch_sees(name) or name in flags for name in _BFLOAT16)


@functools.cache
def cpu_multiplies_tiles() -> bool:
    """Whether it has AMX, for which PyTorch's attention has a way of its own; asked in each step."""
    return _pytorch_sees("amx_bf16")


def _pytorch_sees(name: str) -> bool:
    return hasattr(torch.cpu, "get_capabilities") and torch.cpu.get_capabilities().get(name, False)
