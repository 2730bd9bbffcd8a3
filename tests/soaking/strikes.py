"""What is done to a training: signals to one process or all, a full disk, a folder without permission."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from soaking.disk import Disk
from soaking.runs import Attempt

Deliver = Callable[[Attempt, Random, Disk], bool]


@dataclass(frozen=True)
class Strike:
    """One way to disturb a training.

    Attributes:
        name: In a few words.
        deliver: Does it; False if nothing was there that could be struck.
        statuses: With which the command may then end; empty: it must go on as if nothing had been.
        quiet: Whether no traceback may be shown.
        processes: The least that must be training.
        weight: How often it is chosen.
    """

    name: str
    deliver: Deliver
    statuses: tuple[int, ...] = ()
    quiet: bool = True
    processes: int = 1
    weight: int = 1

    @property
    def ends(self) -> bool:
        """Whether the command ends of it."""
        return bool(self.statuses)


def _kill_all(attempt: Attempt, rng: Random, disk: Disk) -> bool:
    attempt.signal(signal.SIGKILL, group=True)
    return True


def _kill_the_command(attempt: Attempt, rng: Random, disk: Disk) -> bool:
    attempt.signal(signal.SIGKILL)
    return True


def _ranks(attempt: Attempt) -> list[int]:
    return attempt.phases.ranks


def _workers(attempt: Attempt) -> list[int]:
    return attempt.phases.workers()


def _kill(attempt: Attempt, pid: int, rng: Random) -> None:
    attempt.signal(signal.SIGKILL, pid)


def _stop(attempt: Attempt, pid: int, rng: Random) -> None:
    attempt.signal(signal.SIGSTOP, pid)


def _pause(attempt: Attempt, pid: int, rng: Random) -> None:
    attempt.signal(signal.SIGSTOP, pid)
    time.sleep(rng.uniform(0.05, 0.6))
    attempt.signal(signal.SIGCONT, pid)


def _freeze(attempt: Attempt, pid: int, rng: Random) -> None:
    attempt.signal(signal.SIGSTOP, pid)
    time.sleep(rng.uniform(0, 0.3))


def _to_one(found: Callable[[Attempt], list[int]], act: Callable[[Attempt, int, Random], None]) -> Deliver:
    """Do it to one of some processes, if there are any."""

    def deliver(attempt: Attempt, rng: Random, disk: Disk) -> bool:
        pids = found(attempt)
        if pids:
            act(attempt, rng.choice(pids), rng)
        return bool(pids)

    return deliver


def _freeze_a_worker_and_kill_all(attempt: Attempt, rng: Random, disk: Disk) -> bool:
    _to_one(_workers, _freeze)(attempt, rng, disk)
    return _kill_all(attempt, rng, disk)


def _signalling(number: int, *, group: bool) -> Deliver:
    def deliver(attempt: Attempt, rng: Random, disk: Disk) -> bool:
        attempt.signal(number, group=group)
        return True

    return deliver


def _interrupt_twice(attempt: Attempt, rng: Random, disk: Disk) -> bool:
    attempt.signal(signal.SIGINT, group=True)
    time.sleep(rng.uniform(1.1, 1.5))  # sooner it is taken for the same
    attempt.signal(signal.SIGINT, group=True)
    return True


def _fill_the_disk(attempt: Attempt, rng: Random, disk: Disk) -> bool:
    with disk.full(attempt.phases.ranks):
        time.sleep(rng.uniform(0.1, 0.7))
    return True


def _take_permission_away(attempt: Attempt, rng: Random, disk: Disk) -> bool:
    folder = attempt.out / "checkpoints"
    if not folder.is_dir():
        return False
    mode = folder.stat().st_mode
    os.chmod(folder, 0o555)
    try:
        time.sleep(rng.uniform(0.1, 0.7))
    finally:
        os.chmod(folder, mode)
    return True


_KILLED = (-signal.SIGKILL,)
STRIKES = [
    Strike("all killed", _kill_all, _KILLED, weight=4),
    Strike("a rank killed", _to_one(_ranks, _kill), (1,), processes=2, weight=3),
    Strike("the launcher killed", _kill_the_command, _KILLED, processes=2),
    Strike("a rank stopped for ever", _to_one(_ranks, _stop), (1,), processes=2),
    Strike("a rank stopped for a while", _to_one(_ranks, _pause)),
    Strike("a worker killed", _to_one(_workers, _kill), weight=3),
    Strike("a worker stopped for a while", _to_one(_workers, _pause)),
    Strike("a worker stopped, then all killed", _freeze_a_worker_and_kill_all, _KILLED),
    Strike("SIGTERM", _signalling(signal.SIGTERM, group=False), (143,)),
    Strike("SIGTERM to all", _signalling(signal.SIGTERM, group=True), (143,)),
    Strike("Ctrl-C", _signalling(signal.SIGINT, group=True), (130,)),
    Strike("Ctrl-C twice", _interrupt_twice, (130,)),
    Strike("SIGUSR1", _signalling(signal.SIGUSR1, group=False), (138,)),
    Strike("disk full for a while", _fill_the_disk, weight=2),
    Strike("no permission for a while", _take_permission_away, weight=2),
]


def choose(rng: Random, processes: int, *, known: set[str]) -> Strike:
    """One of STRIKES by weight; a worker is killed once in an attempt: twice would cost its video.

    Args:
        rng: Decides.
        processes: That train.
        known: Names of what was done in this attempt.
    """
    possible = [strike for strike in STRIKES if strike.processes <= processes]
    possible = [strike for strike in possible if strike.name != "a worker killed" or strike.name not in known]
    return rng.choices(possible, [strike.weight for strike in possible])[0]
