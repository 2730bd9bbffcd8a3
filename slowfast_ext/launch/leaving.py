"""How processes end: at once, with what they have started, and without a process that is left behind."""

import contextlib
import ctypes
import functools
import os
import signal
import uuid
from collections import defaultdict
from collections.abc import Iterator
from typing import NoReturn

from slowfast_ext.processes import PROC, process_status

_PR_SET_CHILD_SUBREAPER = 36
# It ends by itself when nobody needs it, and then removes what killed processes have left in shared memory.
_KEPT = b"multiprocessing.resource_tracker"


def leave_at_once(status: int) -> NoReturn:
    """End this process and what it has started, from any thread, whatever the others are doing."""
    # Nothing is flushed: another thread may be in the middle of writing, for ever.
    kill_all(descendants(os.getpid()))
    os._exit(status)


def die_of(number: int) -> NoReturn:
    """End as a process does that a signal has ended, so that the one that started it sees which."""
    kill_all(descendants(os.getpid()))
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)


@functools.cache
def whereabouts() -> str:
    """Names where process ids mean the same: containers of one machine may share its name, but not those."""
    with contextlib.suppress(OSError):
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink(PROC / 'self/ns/pid')}"
    return f"unknown {uuid.uuid4().hex}"


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have; empty where there is no /proc."""
    children = defaultdict(list)
    for folder in PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            parent = int(process_status(int(folder.name))[1])
            if _KEPT not in (folder / "cmdline").read_bytes():
                children[parent].append(int(folder.name))
    found, waiting = [], [pid]
    while waiting:
        waiting += children[waiting[0]]
        found += children[waiting.pop(0)]
    return found


def kill_all(pids: list[int]) -> None:
    """Kill processes; one that has ended is left out."""
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def leaving_nobody_behind() -> Iterator[None]:
    """Within, workers of a process that is killed become children of this one; at the end they are killed.

    What this process had started before is left alone.
    """
    before = set(descendants(os.getpid()))
    adopts = _adopt_orphans(True)
    try:
        yield
    finally:
        left = [pid for pid in descendants(os.getpid()) if pid not in before]
        kill_all(left)
        if adopts:
            _adopt_orphans(False)
        for pid in left:
            with contextlib.suppress(OSError):
                os.waitpid(pid, 0)


def _adopt_orphans(adopt: bool) -> bool:
    """Ask Linux to give this process the children of its children that die; whether it does."""
    try:
        return ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0) == 0
    except (OSError, AttributeError):
        return False  # another system than Linux
