"""How tests start processes by torchrun, and whether processes are there."""

import contextlib
import sys
import time
from pathlib import Path

TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def pid_in(path: Path, seconds: float = 60) -> int:
    """The process id that a process writes, sooner or later."""
    deadline = time.monotonic() + seconds
    while not path.is_file() or not path.read_text():
        assert time.monotonic() < deadline, f"{path.name} has not come"
        time.sleep(0.02)
    return int(path.read_text())


def all_gone(pids: list[int], seconds: float = 30) -> bool:
    """Whether processes end within so many seconds."""
    deadline = time.monotonic() + seconds
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(is_alive, pids))


def children_of(pid: int, word: str = "") -> list[int]:
    """Process ids of the children of a process whose command line has a word in it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and word in (folder / "cmdline").read_text():
                found.append(int(folder.name))
    return sorted(found)
