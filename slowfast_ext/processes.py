"""Processes of this machine and the signals they get. It loads no PyTorch: commands begin with it."""

import contextlib
import ctypes
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

# With these people, terminals and schedulers ask a run to end; Slurm sends SIGUSR1 before time is up.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
# A terminal signals every process, and what started them passes its own on: soon after, it is the same one.
SAME_SIGNAL_SECONDS = 1.0
PROC = Path("/proc")
_PR_SET_PDEATHSIG = 1
_limited = False


@contextlib.contextmanager
def interrupts_wait() -> Iterator[None]:
    """Let Ctrl-C take effect at the end of the block.

    A process that is half started would complain of it, and libraries that are being imported lose it or fail
    in strange ways. Blocking the signal would not do: where there are several threads, another one gets it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    noted: list[tuple] = []
    before = signal.signal(signal.SIGINT, lambda *signal_and_frame: noted.append(signal_and_frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if noted and callable(before):
            before(*noted[0])


def end_with(parent: int) -> None:
    """In a new process: be killed when the thread of `parent` that started it ends; on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has ended before that
            os._exit(1)


def usable_cores() -> int:
    """Cores that this process may use, of which a scheduler such as Slurm may give fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit_memory(gib: float) -> None:
    """In a new process: from now on it gets at most so much more memory; asking for more fails. On Linux.

    Args:
        gib: In units of 2**30 bytes; 0 is no limit. What processes share is not counted.
    """
    has = _private_bytes()
    if not gib or has is None:
        return
    import resource  # only Unix has it

    global _limited
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [has + int(gib * 2**30), *(limit for limit in before if limit >= 0)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), before[1]))
    _limited = True


def memory_is_limited() -> bool:
    """Whether `limit_memory` was called in this process, or before it was forked."""
    return _limited


def _private_bytes() -> int | None:
    """Memory that this process can write to and shares with no other, as Linux counts it for the limit."""
    with contextlib.suppress(OSError):
        found = re.search(r"^VmData:\s*(\d+) kB", (PROC / "self/status").read_text(), re.MULTILINE)
        return 1024 * int(found[1]) if found else None
    return None


def tell_unless_left(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """For sys.excepthook of a worker: nothing, where the process that takes a batch left in the middle."""
    if not issubclass(kind, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)


def start_time(pid: int) -> str | None:
    """When a process began, in a form that is only compared, as process ids are given out again.

    Returns:
        None if it has ended; elsewhere than on Linux nothing else is known.
    """
    if PROC.joinpath("self/stat").is_file():
        fields = process_status(pid)
        return None if fields[0] in "ZX" else fields[19]
    try:
        os.kill(pid, 0)
    except PermissionError:
        pass  # it is another user's
    except OSError:
        return None
    return "unknown"


def is_running(pid: int) -> bool:
    """Whether a process has neither ended nor been stopped; on Linux."""
    return process_status(pid)[0] not in "ZXTt"


def is_stopped(pid: int) -> bool:
    """Whether a process has been stopped, as by SIGSTOP, and not by a debugger; on Linux."""
    return process_status(pid)[0] == "T"


def process_status(pid: int) -> list[str]:
    """What Linux says of a process, from its state on: X if there is none, Z if it waits to be asked for."""
    try:
        # The name, in parentheses, may hold anything.
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["X"]
