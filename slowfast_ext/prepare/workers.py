"""Tasks in processes of their own, each of which may die or hang without taking the others with it."""

import multiprocessing
import multiprocessing.connection
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from typing import Any

from vtn.errors import InputError

# Memory may run out, or a person may end a process: only a task that dies again is to blame.
_DEATHS = 2


@dataclass(frozen=True)
class Lost:
    """A task without a result.

    Attributes:
        reason: A clause: "the process that read it was ended by SIGSEGV".
    """

    reason: str


class _Worker:
    """One process, with a pipe on which it takes tasks and gives results."""

    def __init__(self, context: multiprocessing.context.BaseContext, function: Callable) -> None:
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, function), daemon=True)
        self.process.start()
        theirs.close()
        self.task: Any = None
        self.started = 0.0

    def give(self, task: Any) -> None:
        """Start on a task."""
        self.task, self.started = task, time.monotonic()
        self.connection.send(task)

    def end(self) -> int:
        """Kill the process; returns its exit code, negative for a signal."""
        self.process.kill()
        self.process.join()
        self.connection.close()
        return self.process.exitcode or 0


def _serve(connection: multiprocessing.connection.Connection, function: Callable) -> None:
    """What a process does: a task, its result, until the pipe is closed."""
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        try:
            reply = function(task)
        except InputError as error:
            reply = error
        except Exception as error:
            # At this boundary whatever one file provokes must not end the work on all others.
            reply = Lost(f"{type(error).__name__}: {error}")
        connection.send(reply)


def run_tasks(
    function: Callable[[Any], Any], tasks: Iterable[Any], *, jobs: int, seconds: float
) -> Iterator[tuple[Any, Any]]:
    """Do tasks in processes.

    Args:
        function: Importable; takes a task and returns a result, not None; both can be pickled.
        tasks: Taken one by one, when a process is free.
        jobs: Processes.
        seconds: A task that takes longer is given up, and its process ended.

    Yields:
        (task, result) as they are done; the result is Lost if the process died twice, hung or raised.

    Raises:
        InputError: If the function raised one: it is no use to go on.
    """
    context = _context(function.__module__)
    waiting, retried, deaths = iter(tasks), deque(), Counter()
    workers: list[_Worker] = []
    try:
        while True:
            _hand_out(workers, waiting, retried, lambda: _Worker(context, function), jobs)
            busy = [worker for worker in workers if worker.task is not None]
            if not busy:
                return
            nearest = min(worker.started for worker in busy) + seconds - time.monotonic()
            multiprocessing.connection.wait([w.connection for w in busy], max(0.0, min(nearest, 60.0)))
            for worker in busy:
                task, result = worker.task, _result_of(worker, seconds)
                if result is None:
                    continue
                worker.task = None
                if isinstance(result, InputError):
                    raise result
                if worker.connection.closed:
                    workers.remove(worker)
                    deaths[task] += not result.reason.startswith("it took")
                    if 0 < deaths[task] < _DEATHS:
                        retried.append(task)
                        continue
                yield task, result
    finally:
        for worker in workers:
            worker.end()


def _context(module: str) -> multiprocessing.context.BaseContext:
    """Processes that are forked from a quiet one, which has imported what is needed and runs no threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    # Ctrl-C goes to all processes of a terminal; this one, alone, is to answer it. The mask is inherited, and
    # starting the tracker, which starting the server does otherwise, would lift it.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def _hand_out(
    workers: list[_Worker], waiting: Iterator, retried: deque, new: Callable[[], _Worker], jobs: int
) -> None:
    """Give a task to each idle process, starting more while there are fewer than `jobs`."""
    while True:
        idle = next((worker for worker in workers if worker.task is None), None)
        if idle is None and len(workers) == jobs:
            return
        task = retried.popleft() if retried else next(waiting, None)
        if task is None:
            return
        if idle is None:
            with _interrupts_wait():
                idle = new()
                workers.append(idle)
        try:
            idle.give(task)
        except OSError:
            # It died while it had nothing to do; the next round finds that out and tries again.
            continue


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Let Ctrl-C take effect at the end of the block: a process that is half started would complain of it.

    Blocking the signal would not do: where there are several threads, another one gets it.
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


def _result_of(worker: _Worker, seconds: float) -> Any:
    """What the process has to say, None if nothing yet; one that died or hangs is ended."""
    try:
        if worker.connection.poll():
            return worker.connection.recv()
    except (EOFError, OSError):
        code = worker.end()
        return Lost(f"the process that read it was ended {_cause(code)}")
    if time.monotonic() - worker.started > seconds:
        worker.end()
        return Lost(f"it took more than {seconds:g} s")
    return None


def _cause(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
