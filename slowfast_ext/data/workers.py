"""How processes that read videos are started, so that any of them may be killed at any moment."""

import contextlib
import copy
import functools
import multiprocessing
import os
import signal
import sys
import threading

from torch.utils.data._utils import signal_handling

from slowfast_ext.processes import STOP_SIGNALS, end_with, limit_memory, tell_unless_left

# GiB that a worker may take beyond what it has when it begins.
MOST_MEMORY = 8.0


class _Flag:
    """Says that workers are to end, without the lock of multiprocessing's event.

    One that is killed while it holds that lock keeps the others, and the process that started it, for ever.
    """

    def __init__(self, context: multiprocessing.context.BaseContext) -> None:
        self._value = context.RawValue("b", 0)

    def set(self) -> None:
        self._value.value = 1

    def is_set(self) -> bool:
        return bool(self._value.value)


def survivable_context(method: str | None = None) -> multiprocessing.context.BaseContext:
    """How a loader starts workers any of which may be killed at any moment; None is Python's own method."""
    context = copy.copy(multiprocessing.get_context(method))
    context.Event = functools.partial(_Flag, context)
    return context


def lasting_process() -> int:
    """This process if its main thread starts workers; 0 if another thread does, which may end before them."""
    return os.getpid() if threading.current_thread() is threading.main_thread() else 0


def prepare_worker(parent: int, memory: float, worker: int) -> None:
    """In a worker: die with the process that started it, and leave it to that process to answer signals.

    A signal to a group of processes, such as Ctrl-C, must not end those that read: a training that is asked
    to end finishes its step first.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    sys.excepthook = tell_unless_left
    limit_memory(memory)
    if parent:
        end_with(parent)


def silence_pytorch() -> None:
    """Keep PyTorch from raising at a worker's death, which it does wherever the main thread happens to be."""
    signal_handling._SIGCHLD_handler_set = True  # so it sets no handler
    handler = signal.getsignal(signal.SIGCHLD)
    if getattr(handler, "__module__", None) == signal_handling.__name__:  # of a loader of PyTorch's own
        with contextlib.suppress(ValueError):  # not the main thread, which alone may change it
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
