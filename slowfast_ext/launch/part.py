"""What each process of a run does: meet the others, call a function, leave; and say what went wrong."""

import contextlib
import json
import os
import re
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from torch import distributed as dist

from slowfast_ext.distributed import on_cpu, settle, use_device
from slowfast_ext.launch.leaving import leave_at_once
from slowfast_ext.launch.meeting import Address, Alone, gather, serve
from slowfast_ext.launch.place import Rank, name_of, torchrun_address
from slowfast_ext.launch.watch import Watch, agree_on_news
from slowfast_ext.processes import is_running
from vtn.errors import InputError

TOLD, TRACEBACK = "told.json", "traceback.txt"  # what a process leaves for the one that started it
# What a process says where torchrun has started it is written before torchrun ends the one that says it.
_SECONDS_TO_SPEAK = 1.0


def started_key(rank: int, pid: int) -> str:
    """Where a process says that it can be signalled."""
    return f"started/{rank}/{pid}"


def run_key(rank: int, pid: int) -> str:
    """Where a process says to the one that started it which name the run has."""
    return f"run/{rank}/{pid}"


def take_part(cfg, func: Callable, place: Rank, address: Address, parent: int, folder: Path | None) -> None:
    """Call `func(cfg)` as one of several processes; where one of them fails, all of them end.

    Args:
        cfg: Keys NUM_GPUS, DIST_BACKEND and DIST_TIMEOUT.
        func: Is called with it.
        place: Of this process.
        address: Where all meet.
        parent: The process that started this one.
        folder: Where this process leaves what it has to say for that one; None: it says it itself.
    """
    tell = _Telling(place, folder)
    _prepare(cfg, place)
    store, run = _meet(cfg, place, address, tell)
    tell.run = run
    watch = Watch(
        address, run, place, cfg.DIST_TIMEOUT, tell, parent=parent, looks_for_the_dead=folder is None
    )
    watch.start()
    backend = "gloo" if on_cpu() else cfg.DIST_BACKEND
    ranks = {"rank": place.rank, "world_size": place.world_size}
    try:
        dist.init_process_group(backend, store=dist.PrefixStore(run, store), **ranks)
        func(cfg)
    except SystemExit as error:
        watch.leave(_status_of(error), store)
        raise
    except BaseException as error:
        _fail(error, watch, store, run, tell)
        raise
    watch.leave(0, store)
    watch.wait_for_the_others(store)
    watch.stop()
    dist.destroy_process_group()


def take_part_of_torchrun(cfg, func: Callable, place: Rank) -> None:
    """Call `func(cfg)` as one of the processes that torchrun has started."""
    host, port, kept = torchrun_address()
    if place.rank == 0 and not kept:
        serve(port)
    take_part(cfg, func, place, Address(host, port), os.getppid(), None)


def _prepare(cfg, place: Rank) -> None:
    settle(cfg)
    use_device(place.local_rank, place.local_world_size)


def _meet(cfg, place: Rank, address: Address, tell: "_Telling") -> tuple[dist.Store, str]:
    seconds = cfg.DIST_TIMEOUT
    store = None
    try:
        store = address.connect(seconds)
        store.set(started_key(place.rank, os.getpid()), "")
        run = gather(store, place, seconds)
        store.set(run_key(place.rank, os.getpid()), run)
    except (Alone, dist.DistError) as error:
        tell(store, 1, str(error) if isinstance(error, Alone) else f"the other processes are gone ({error})")
        leave_at_once(1)
    # A connection has one limit for all that it does, and later ones wait for whole validations.
    store.set_timeout(timedelta(minutes=30))
    return store, run


def _fail(error: BaseException, watch: Watch, store: dist.Store, run: str, tell: "_Telling") -> None:
    """End this process after an exception, unless the exception is to be shown as it is."""
    if isinstance(error, KeyboardInterrupt):
        watch.leave(128 + signal.SIGINT, store)
        return
    if isinstance(error, InputError):
        news = 2, str(error)
    else:
        if _is_of_a_connection(error):
            watch.wait_for_news()
        news = 1, f"{tell.who} failed: {' '.join(str(error).split()) or type(error).__name__}"
    try:
        agreed = agree_on_news(store, run, *news)
    except RuntimeError:
        agreed = news
    watch.leave(news[0], store)
    sys.stdout.flush()
    if agreed == news and news[0] == 1:
        tell.show(error)
    tell(store, *agreed)
    leave_at_once(agreed[0])


def _is_of_a_connection(error: BaseException) -> bool:
    """Whether an exception may only say that another process is gone."""
    words = "gloo|NCCL|nccl|[Cc]onnection (closed|reset|refused)|[Bb]roken pipe"
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and bool(re.search(words, str(error)))
    )


def _status_of(error: SystemExit) -> int:
    if error.code is None:
        return 0
    return error.code if isinstance(error.code, int) else 1


class _Telling:
    """How a process says why a run ends: once on each machine.

    Args:
        place: Of the process.
        folder: Where it leaves the sentence for the process that started it; None: on the screen.
    """

    def __init__(self, place: Rank, folder: Path | None) -> None:
        self._place, self._folder = place, folder
        self.who = name_of(place.rank, place.world_size, socket.gethostname(), os.getpid())
        # Another one after a restart by torchrun, which keeps the store.
        self.run = f"start {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"

    def __call__(self, store: dist.Store | None, status: int, sentence: str) -> None:
        if self._folder is not None and is_running(os.getppid()):
            _write_once(self._folder / TOLD, json.dumps([status, sentence]))
        elif self._is_first(store):
            os.write(2, f"error: {sentence}\n".encode())  # another thread may hold sys.stderr for ever
        else:
            time.sleep(_SECONDS_TO_SPEAK)

    def show(self, error: BaseException) -> None:
        """Show where an exception came from."""
        text = "".join(traceback.format_exception(error))
        if self._folder is not None:
            _write_once(self._folder / TRACEBACK, text)
        else:
            sys.stderr.write(text)
            sys.stderr.flush()

    def _is_first(self, store: dist.Store | None) -> bool:
        """Whether no other process of this machine says it; where nobody can be asked, the first one does."""
        with contextlib.suppress(RuntimeError):
            if store is not None:
                return store.add(f"{self.run}/told/{self._place.shard_id}", 1) == 1
        return self._place.local_rank == 0


def _write_once(path: Path, text: str) -> None:
    """Write a file that no other process has written."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        part.write_text(text, encoding="utf-8")
        os.link(part, path)  # whole, and not over another
