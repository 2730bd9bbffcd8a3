"""What a training leaves behind: processes, shared memory, half files, and its last checkpoint."""

import os
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from soaking.runs import EPOCHS, Attempt

_SHARED = Path("/dev/shm")
# What Python and PyTorch share has a name for some microseconds: a process that is killed in them leaves it.
_NAMED_AT_FIRST = ("sem.", "torch_")
# What a checkpoint holds of the training itself; the rest names folders and times.
_COMPARED = ("epoch", "model_state", "ema_state", "optimizer_state")


def processes_of(attempt: Attempt) -> list[int]:
    """Processes of an attempt that still run: those of its user, or of its session."""
    return [pid for pid in _all_processes() if _belongs(pid, attempt)]


def _all_processes() -> Iterator[int]:
    yield from (int(folder.name) for folder in Path("/proc").glob("[0-9]*"))


def _belongs(pid: int, attempt: Attempt) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if fields[0] in "ZX":
            return False
        if attempt.user is not None:
            return os.stat(f"/proc/{pid}").st_uid == attempt.user
        return int(fields[3]) == attempt.pid
    except OSError:
        return False


def shared_memory(user: int | None) -> set[str]:
    """Files in shared memory of a user; None is this one."""
    user, found = os.getuid() if user is None else user, set()
    for path in _SHARED.iterdir():
        with suppress(OSError):
            if path.stat().st_uid == user:
                found.add(path.name)
    return found


def left_behind(attempt: Attempt, shared_before: set[str], seconds: float, *, killed: bool) -> list[str]:
    """What is still there so many seconds after the command has ended, in words.

    Args:
        attempt: Has ended.
        shared_before: Files that were in shared memory before it.
        seconds: How long its processes may take.
        killed: Whether one or all were killed: then one thing with a name is nobody's fault.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = [f"process {pid} ({_command_of(pid)})" for pid in processes_of(attempt)]
        shared = shared_memory(attempt.user) - shared_before
        if not (killed and len(shared) == 1 and next(iter(shared)).startswith(_NAMED_AT_FIRST)):
            found += [f"/dev/shm/{name}" for name in shared]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def _command_of(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return "gone"


def damaged_files(out: Path) -> list[str]:
    """Checkpoints under their names that are not whole."""
    return [str(path) for path in out.glob("checkpoints/*.pyth") if not _is_whole(path)]


def _is_whole(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except FileNotFoundError:  # removed meanwhile
        return True
    except (OSError, zipfile.BadZipFile):
        return False


def half_files(out: Path) -> list[str]:
    """Files that were begun and never got their names."""
    return [str(path) for path in out.rglob("*") if path.name.endswith(".part")]


def last_checkpoint(out: Path) -> Path:
    """What a training ends with."""
    return out / "checkpoints" / f"checkpoint_epoch_{EPOCHS:05d}.pyth"


def result_of(out: Path) -> dict[str, Any]:
    """The parts of the last checkpoint that are compared."""
    content = torch.load(last_checkpoint(out), weights_only=True)
    result = {name: content[name] for name in _COMPARED}
    return result | {"validations": content.get("run", {}).get("validations")}


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Names of what has not the same bits in two results."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        parts = [(f"{where}/{name}", one[name], other[name]) for name in one]
    elif isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)) and len(one) == len(other):
        parts = [(f"{where}/{number}", *pair) for number, pair in enumerate(zip(one, other, strict=True))]
    elif isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if torch.equal(one, other) else [where]
    else:
        return [] if one == other else [where]
    return [name for place, first, second in parts for name in differences(first, second, place)]
