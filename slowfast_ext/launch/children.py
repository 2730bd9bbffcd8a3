"""The processes that this one starts on its machine: signals go on to them, and none is left behind."""

import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import distributed as dist

from slowfast_ext.distributed import num_processes, world_size
from slowfast_ext.launch.leaving import die_of, kill_all, leaving_nobody_behind
from slowfast_ext.launch.meeting import Address, Alone, meeting_point
from slowfast_ext.launch.part import TOLD, TRACEBACK, run_key, started_key, take_part
from slowfast_ext.launch.place import Rank, name_of
from slowfast_ext.launch.watch import agree_on_news, first_is_gone, read_news
from slowfast_ext.processes import SAME_SIGNAL_SECONDS, STOP_SIGNALS
from slowfast_ext.run_lock import release_for
from vtn.errors import InputError

# Those that are left when one has failed are given so long to end by themselves.
_GRACE_SECONDS = 5.0
# The first machine keeps the store so much longer: the others learn there why the run ends, once a second.
_SECONDS_TO_LEARN = 5.0


def start_processes(cfg, init_method: str, func: Callable) -> None:
    """Call `func(cfg)` in the processes of this machine, and wait for them.

    Raises:
        InputError: That of a process that failed on bad input.
        ProcessRaisedException: With the traceback of one that failed otherwise.
        SystemExit: If they were stopped by a signal (128 + its number), or one died, hung or did not come.
        KeyboardInterrupt: If they were interrupted, and do not handle that.
    """
    places = places_of(cfg)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            with leaving_nobody_behind(), meeting_point(init_method, places[0], cfg.DIST_TIMEOUT) as address:
                children = Children(places, address, cfg.DIST_TIMEOUT)
                # A function is pickled by its name, so that a process that starts from nothing finds it.
                children.run((cfg, func, address, os.getpid(), folder))
                release_for(children.pids, cfg.OUTPUT_DIR)
        except Alone as error:
            _end_with(1, str(error))
        # Only the first machine logs.
        _tell_of(children, folder, Path(cfg.OUTPUT_DIR) / "stdout.log" if places[0].rank == 0 else None)


def places_of(cfg) -> list[Rank]:
    """The processes of this machine among all."""
    here = num_processes(cfg)
    return [Rank(cfg.SHARD_ID * here + local, world_size(cfg), local, here) for local in range(here)]


def _child(place: Rank, cfg, func: Callable, address: Address, parent: int, folder: Path) -> None:
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # blocked until now: see Children.run
        take_part(cfg, func, place, address, parent, folder)
    except KeyboardInterrupt:
        die_of(signal.SIGINT)


class Children:
    """Processes of a run, and what became of them.

    Args:
        places: Of each.
        address: Where they meet.
        timeout: DIST_TIMEOUT, seconds.

    Attributes:
        failed: Rank and exit code of the first one that failed, if any.
        news: Status and sentence with which the run ends if a process of any machine has failed.
        signals: Numbers of the signals that came for this process.
    """

    def __init__(self, places: list[Rank], address: Address, timeout: float) -> None:
        self._places, self._address, self._timeout = places, address, timeout
        self._processes: list[Any] = []
        self._signalled_at = float("-inf")
        self._store: dist.Store | None = None
        self._run: str | None = None
        self._asked_at, self._silent = 0.0, 0.0
        self.failed: tuple[int, int] | None = None
        self.news: tuple[int, str] | None = None
        self.signals: list[int] = []

    @property
    def pids(self) -> list[int]:
        """Of those that were started."""
        return [process.pid for process in self._processes]

    @property
    def exit_codes(self) -> list[int]:
        """As multiprocessing gives them: negative for a signal."""
        return [process.exitcode for process in self._processes]

    def run(self, arguments: tuple) -> None:
        """Start them, and wait until none is left."""
        context = torch.multiprocessing.get_context("spawn")
        with self._passing_signals_on():
            try:
                # One that is still loading its libraries would print a traceback for Ctrl-C.
                with _signals_blocked():
                    for place in self._places:
                        process = context.Process(target=_child, args=(place, *arguments))
                        process.start()
                        self._processes.append(process)
                if self.signals:
                    self._kill()
                self._wait()
            finally:
                self._kill()
                for process in self._processes:
                    process.join()

    def _wait(self) -> None:
        while True:
            alive = [process for process in self._processes if process.is_alive()]
            for place, process in zip(self._places, self._processes, strict=True):
                if self.failed is None and process.exitcode and not self._was_asked(process.exitcode):
                    self.failed = place.rank, process.exitcode
            self._exchange_news()
            if self.failed or self.news:
                deadline = time.monotonic() + _GRACE_SECONDS
                for process in alive:
                    process.join(max(0.0, deadline - time.monotonic()))
                self._kill()
                if self.news:
                    self._let_all_learn()
                return
            if not alive:
                return
            wait([process.sentinel for process in alive], timeout=1.0)

    def _exchange_news(self) -> None:
        """Learn why the run ends on another machine; tell the others if a process has failed here.

        One that was stopped cannot end by itself, and none of its machine may be left to say so.
        """
        store, self._store = self._store, None  # one that is broken is not asked again
        with contextlib.suppress(RuntimeError):
            if store is None:
                store = self._address.connect(_GRACE_SECONDS)
                # Signals wait for its answers.
                store.set_timeout(timedelta(seconds=_GRACE_SECONDS))
            key = run_key(self._places[0].rank, self._processes[0].pid)
            if store.check([key]):
                self._run = store.get(key).decode()
                if self.failed:
                    sentence = self.sentence_of(self.failed[0])
                    self.news = agree_on_news(store, self._run, self.status, sentence)
                else:
                    self.news = read_news(store, self._run)
            self._store = store
        # This one may have been stopped for an hour, together with all others.
        now = time.monotonic()
        passed, self._asked_at = min(now - self._asked_at, 2 * _GRACE_SECONDS), now
        self._silent = 0.0 if self._store else self._silent + passed
        # Processes that run notice it first, and say it; one that is stopped does not.
        if self._run and not self.news and self._silent > self._timeout:
            self.news = 1, first_is_gone(self._address, self._silent)

    def _let_all_learn(self) -> None:
        """Say that this machine knows why the run ends; the first one waits until all others do."""
        here, deadline = self._places[0], time.monotonic() + _SECONDS_TO_LEARN + _GRACE_SECONDS
        with contextlib.suppress(RuntimeError):
            if self._store is None:
                return
            if here.shard_id:
                self._store.set(f"{self._run}/learned/{here.shard_id}", "")
                return
            others = [f"{self._run}/learned/{shard}" for shard in range(1, here.num_shards)]
            while others and not self.signals and time.monotonic() < deadline:
                if self._store.check(others):
                    return
                time.sleep(0.05)

    def _was_asked(self, exit_code: int) -> bool:
        """Whether a process has ended as one does that was told to stop; the others then end, too."""
        if exit_code > 128:
            return exit_code - 128 in STOP_SIGNALS
        return -exit_code in self.signals

    @property
    def status(self) -> int:
        """What the run ends with when a process has failed: its own status if it had one."""
        return max(1, self.failed[1])

    def sentence_of(self, rank: int) -> str:
        """What became of a process."""
        place = next(place for place in self._places if place.rank == rank)
        process = self._processes[place.local_rank]
        who = name_of(rank, place.world_size, socket.gethostname(), process.pid)
        if process.exitcode < 0:
            number = -process.exitcode
            name = f", {signal.Signals(number).name}" if number in set(signal.Signals) else ""
            how = f"was killed by signal {number}{name}"
        else:
            how = f"ended with status {process.exitcode}"
        return f"{who} {how}"

    def _kill(self) -> None:
        kill_all([process.pid for process in self._processes if process.is_alive()])

    @contextlib.contextmanager
    def _passing_signals_on(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # Python gives signals to the main thread alone
            return
        before = {number: signal.signal(number, self._pass_on) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _pass_on(self, number: int, frame: Any) -> None:
        """Handle a signal: they save and leave at the first one, at once at the second."""
        now = time.monotonic()
        if now - self._signalled_at < SAME_SIGNAL_SECONDS and number in self.signals:
            return
        self._signalled_at = now
        self.signals.append(number)
        if len(self._processes) < len(self._places):
            return  # `run` looks at what has been noted
        if not self._all_have_started():
            self._kill()  # nothing has been computed yet
            return
        for process in self._processes:
            if process.is_alive():
                os.kill(process.pid, number)
        if len(self.signals) > 1:
            deadline = time.monotonic() + SAME_SIGNAL_SECONDS
            while time.monotonic() < deadline and any(process.is_alive() for process in self._processes):
                time.sleep(0.05)
            self._kill()

    def _all_have_started(self) -> bool:
        with contextlib.suppress(RuntimeError):
            store = self._address.connect(_GRACE_SECONDS)
            keys = [
                started_key(place.rank, process.pid)
                for place, process in zip(self._places, self._processes, strict=True)
            ]
            return store.check(keys)
        return False


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Processes that are started within block the signals, too; none is lost."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _tell_of(children: Children, folder: Path, log: Path | None) -> None:
    """Raise what is to be raised after processes have ended; nothing if all is well."""
    if (folder / TRACEBACK).is_file():
        text = (folder / TRACEBACK).read_text(encoding="utf-8")
        rank = children.failed[0] if children.failed else 0
        raise torch.multiprocessing.ProcessRaisedException(f"in one of the processes:\n\n{text}", rank, 0)
    news = children.news
    if (folder / TOLD).is_file():
        news = json.loads((folder / TOLD).read_text(encoding="utf-8"))
    if news is not None:
        if news[0] == 2:
            raise InputError(news[1])
        _end_with(*news, log)
    if children.signals and any(children.exit_codes):
        if signal.SIGINT in children.signals and 128 + signal.SIGINT not in children.exit_codes:
            raise KeyboardInterrupt
        raise SystemExit(128 + children.signals[0])
    if children.failed is not None:
        _end_with(children.status, children.sentence_of(children.failed[0]), log)
    stopped = [code for code in children.exit_codes if code]
    if stopped:
        raise SystemExit(stopped[0])


def _end_with(status: int, sentence: str, log: Path | None = None) -> NoReturn:
    """Say why the run ends, on the screen and in its log, if it has one: those who log are gone."""
    sys.stdout.flush()
    sys.stderr.write(f"error: {sentence}\n")
    sys.stderr.flush()
    with contextlib.suppress(OSError):
        if log is not None and log.is_file():
            with open(log, "a", encoding="utf-8") as file:
                file.write(f"[ERROR: {time.strftime('%Y-%m-%d %H:%M:%S')}]: {sentence}\n")
    raise SystemExit(status)
