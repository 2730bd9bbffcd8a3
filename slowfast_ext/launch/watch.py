"""Signs of life: each process of a run tells the others that it lives, and ends when one of them does not.

A thread does both. So a long step, a long validation or a slow disk is no silence, but a process that was
stopped, one whose machine is gone and one that ended without a word are.
"""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from torch import distributed as dist

from slowfast_ext.launch.leaving import kill_all, leave_at_once, whereabouts
from slowfast_ext.launch.meeting import Address, Peer, peers_of
from slowfast_ext.launch.place import Rank
from slowfast_ext.processes import start_time

# One that fell silent, and all others, have ended after DIST_TIMEOUT; this share of it passes in silence.
_SHARE = 0.75
_MOST_SECONDS_BETWEEN_SIGNS = 2.0
_RECONNECT_SECONDS = 5.0
_LEFT = "left "


@dataclass
class _Heard:
    """What was last heard of another process, when, and how many seconds ago as this process counts them."""

    peer: Peer
    last: str = ""
    silent: float = 0.0
    at: datetime = field(default_factory=datetime.now)


def _news_key(run: str) -> str:
    """Where the first one that knows why a run ends writes status and sentence."""
    return f"{run}/news"


def agree_on_news(store: dist.Store, run: str, status: int, sentence: str) -> tuple[int, str]:
    """Say why the run ends, unless another process has said it before; returns what was said first."""
    return tuple(json.loads(store.compare_set(_news_key(run), "", json.dumps([status, sentence]))))


def read_news(store: dist.Store, run: str) -> tuple[int, str] | None:
    """Status and sentence with which a run ends, if it does."""
    return tuple(json.loads(store.get(_news_key(run)))) if store.check([_news_key(run)]) else None


def first_is_gone(address: Address, seconds_ago: float = 0.0) -> str:
    """Says that the one that kept the store does so no more."""
    since = datetime.now() - timedelta(seconds=seconds_ago)
    return (
        f"what started the first ranks, at {address.host}:{address.port}, gives no sign of life since "
        f"{since:%H:%M:%S}"
    )


class Watch:
    """The signs of life of this process, and those of the others.

    Args:
        address: Of the store; the thread has a connection of its own.
        run: The name of the run of the processes, see meeting.gather.
        place: Of this process.
        timeout: DIST_TIMEOUT, seconds.
        tell: Shows a person why the run ends; called before this process is ended.
        parent: The process that started this one; without it this one ends, too.
        looks_for_the_dead: Whether the end of another process of this machine is noticed here: what started
            them does not say it to the others.
    """

    def __init__(
        self,
        address: Address,
        run: str,
        place: Rank,
        timeout: float,
        tell: Callable[[dist.Store | None, int, str], None],
        *,
        parent: int,
        looks_for_the_dead: bool,
    ) -> None:
        self._address, self._run, self._place, self._timeout = address, run, place, timeout
        self._tell, self._looks_for_the_dead = tell, looks_for_the_dead
        self._limit = _SHARE * timeout
        self._interval = min(_MOST_SECONDS_BETWEEN_SIGNS, self._limit / 20)
        self._count, self._status = 0, None
        self._stopped, self._parent = threading.Event(), parent
        self._store = address.connect(timeout)
        self._others = {rank: _Heard(peer) for rank, peer in peers_of(self._store, run, place).items()}
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    def start(self) -> None:
        """Give signs of life from now on."""
        self._thread.start()

    def wait_for_news(self) -> None:
        """Wait so long that this one has been ended if another is to blame for a broken connection."""
        time.sleep(self._timeout)

    def leave(self, status: int, store: dist.Store) -> None:
        """Say that this process is leaving, and how; with another status than 0 it looks no more."""
        self._status = status
        if status:
            self.stop()
        with contextlib.suppress(RuntimeError):  # the store may be gone, too
            store.set(f"{self._run}/beat/{self._place.rank}", f"{_LEFT}{status}")

    def wait_for_the_others(self, store: dist.Store) -> None:
        """Wait until all have left with status 0; one that does not come is news, and ends this process."""
        while True:
            try:
                last = _last_signs(store, self._run, list(self._others))
            except RuntimeError:  # of the process that kept the store: it has seen all leave
                return
            if all(sign == f"{_LEFT}0" for sign in last):
                return
            time.sleep(0.05)

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        before = time.monotonic()
        self._store.set_timeout(timedelta(seconds=self._limit))
        while not self._stopped.wait(self._interval):
            now = time.monotonic()
            # One that was itself stopped for an hour, together with the others, must not blame them.
            passed, before = min(now - before, 2 * self._interval), now
            if os.getppid() != self._parent:
                return self._go_with_the_parent()
            try:
                news = self._look(passed)
            except RuntimeError:
                news = self._reconnect()
            if news is not None:
                self._end(*news)

    def _look(self, passed: float) -> tuple[int, str] | None:
        """Give a sign, look at those of the others; returns status and sentence if the run is to end."""
        self._count += 1
        sign = str(self._count) if self._status is None else f"{_LEFT}{self._status}"
        self._store.set(f"{self._run}/beat/{self._place.rank}", sign)
        if news := read_news(self._store, self._run):
            return news
        signs = _last_signs(self._store, self._run, list(self._others))
        for rank, sign in zip(self._others, signs, strict=True):
            heard = self._others[rank]
            if sign == f"{_LEFT}0":
                continue
            if sign != heard.last and not sign.startswith(_LEFT):
                heard.silent, heard.at = 0.0, datetime.now()
            else:
                heard.silent += passed
            heard.last = sign
            if sentence := self._what_is_wrong_with(rank):
                news = agree_on_news(self._store, self._run, 1, sentence)
                if self._looks_for_the_dead and self._lives_here(rank):
                    kill_all([heard.peer.pid])  # one that is stopped ends in no other way
                return news
        return None

    def _lives_here(self, rank: int) -> bool:
        peer = self._others[rank].peer
        return peer.whereabouts == whereabouts() and peer.started == start_time(peer.pid)

    def _what_is_wrong_with(self, rank: int) -> str | None:
        heard = self._others[rank]
        peer, since = heard.peer, f"{heard.at:%H:%M:%S}"
        here = peer.whereabouts == whereabouts()
        if self._looks_for_the_dead and here and not self._lives_here(rank):
            # It may have left by the rules since its sign was read.
            if _last_signs(self._store, self._run, [rank])[0].startswith(_LEFT):
                return None
            return f"{peer.who} ended without a word after {since}"
        if heard.silent <= self._limit:
            return None
        if heard.last.startswith(_LEFT):
            return f"{peer.who} left with status {heard.last.removeprefix(_LEFT)} after {since}"
        return f"{peer.who} gives no sign of life since {since} (DIST_TIMEOUT is {self._timeout:g} s)"

    def _reconnect(self) -> tuple[int, str] | None:
        """A connection broke: try once more; returns status and sentence if nobody answers."""
        if self._status is not None:
            return None
        try:
            self._store = self._address.connect(_RECONNECT_SECONDS)
            self._store.set_timeout(timedelta(seconds=self._limit))
            if self._store.check([f"{self._run}/here/{self._place.rank}"]):
                return None
        except RuntimeError:
            pass
        if os.getppid() != self._parent:
            self._go_with_the_parent()
            return None
        self._store = None
        return 1, first_is_gone(self._address)

    def _go_with_the_parent(self) -> None:
        """What started this process is gone: do as after SIGTERM, but not for ever."""
        if signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, None):
            os.kill(os.getpid(), signal.SIGTERM)
            if self._stopped.wait(self._limit):
                return
        leave_at_once(128 + signal.SIGTERM)

    def _end(self, status: int, sentence: str) -> None:
        if self._status:
            return
        self._tell(self._store, status, sentence)
        leave_at_once(status)


def _last_signs(store: dist.Store, run: str, ranks: list[int]) -> list[str]:
    return [sign.decode() for sign in store.multi_get([f"{run}/beat/{rank}" for rank in ranks])]
