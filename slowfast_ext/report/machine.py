"""What a number was measured on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from slowfast_ext.processes import usable_cores


def describe_machine(*packages: str) -> str:
    """One line: processor, CPUs of this process, memory, GPU, Python and the versions of some packages."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    parts = [_processor(), f"{usable_cores()} CPUs", f"{memory:.0f} GiB", gpu]
    parts.append(f"Python {platform.python_version()}")
    return ", ".join([*parts, *(f"{name} {_version(name)}" for name in packages)])


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
