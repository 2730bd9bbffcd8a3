"""A process that watches itself: too much memory or time ends it, and its exit code says which."""

import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Exit code of a process that took too much memory.
TOO_MUCH_MEMORY = 77
_LOOK_EVERY = 0.02


@contextmanager
def watched(cpu_seconds: float, memory: int) -> Iterator[None]:
    """End this process if it takes longer (by SIGXCPU) or grows by more bytes (with TOO_MUCH_MEMORY).

    Memory is watched where the system has /proc, as Linux does.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(time.process_time() + cpu_seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    most, done = _memory("VmRSS") + memory, threading.Event()
    _forget_peak()

    def look() -> None:
        while not done.wait(_LOOK_EVERY):
            if _memory("VmRSS") > most:
                os._exit(TOO_MUCH_MEMORY)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
        if _memory("VmHWM") > most:  # between two looks
            os._exit(TOO_MUCH_MEMORY)
    finally:
        done.set()
        thread.join()
        resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))


def _memory(key: str) -> int:
    """Bytes that /proc tells of this process: VmRSS now, VmHWM at its peak; 0 where there is no /proc."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    lines = status.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def _forget_peak() -> None:
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")
