"""Signs of life of two processes, of which this one is the first and the other one is played by the test."""

import json
import os
import time
from types import SimpleNamespace

import pytest
from torch import distributed as dist

from slowfast_ext.launch import watch as module
from slowfast_ext.launch.leaving import whereabouts
from slowfast_ext.launch.meeting import Address
from slowfast_ext.launch.place import Rank
from slowfast_ext.launch.watch import Watch, agree_on_news
from slowfast_ext.processes import start_time

RUN = "run"
ANOTHER_CONTAINER = "the same machine, another container"


@pytest.fixture
def store():
    return dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


@pytest.fixture
def killed(monkeypatch) -> list[int]:
    """Processes that would be killed: the tests lend the other one the number of their own."""
    pids: list[int] = []
    monkeypatch.setattr(module, "kill_all", pids.extend)
    return pids


@pytest.fixture
def watching(store, killed, monkeypatch):
    """Begin to watch; returns what is said in the end, and the statuses with which the process would end."""
    said, ended, started = [], [], []

    def leave(status: int) -> None:
        ended.append(status)
        started[0]._stopped.set()  # in place of the process, the thread ends

    monkeypatch.setattr(module, "leave_at_once", leave)

    def begin(pid: int = 4711, where: str = "elsewhere", began: str | None = None, **options):
        for rank in range(2):
            store.set(f"{RUN}/beat/{rank}", "0")
            store.set(f"{RUN}/here/{rank}", json.dumps(["box", pid, where, began]))
        options = {"parent": os.getppid(), "looks_for_the_dead": False} | options
        address, place = Address("127.0.0.1", store.port), Rank(0, 2, 0, 1)
        tell = lambda store, status, sentence: said.append(sentence)  # noqa: E731
        started.append(Watch(address, RUN, place, 1.0, tell, **options))
        started[0].start()
        return started[0], said, ended

    yield begin
    for one in started:
        one.stop()


def wait_for(found: list, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not found and time.monotonic() < deadline:
        time.sleep(0.01)


def let_look(store, said: list, times: int = 10, *, signs: bool = True) -> None:
    """Wait until this one has looked so often, and has said nothing.

    Args:
        store, said: Of the fixtures.
        times: So often.
        signs: Whether the other one gives signs meanwhile.
    """
    deadline, last = time.monotonic() + 10, int(store.get(f"{RUN}/beat/0")) + times
    while not said and int(store.get(f"{RUN}/beat/0")) <= last:
        assert time.monotonic() < deadline
        if signs:
            store.set(f"{RUN}/beat/1", str(time.monotonic()))
        time.sleep(0.01)
    assert said == []


def test_one_that_falls_silent_is_named_with_the_time(watching):
    began = time.monotonic()
    _, said, ended = watching()
    wait_for(ended)
    assert time.monotonic() - began > 0.7  # three quarters of DIST_TIMEOUT
    (sentence,) = said
    assert sentence.startswith("rank 1 of 2 (host box, process id 4711) gives no sign of life since ")
    assert ended == [1]


def test_one_that_gives_signs_is_left_alone(watching, store):
    _, said, ended = watching()
    for number in range(20):
        store.set(f"{RUN}/beat/1", str(number))
        time.sleep(0.1)
    assert (said, ended) == ([], [])
    first = int(store.get(f"{RUN}/beat/0"))
    assert first > 20  # and this one gives signs, too


def test_one_that_has_left_by_the_rules_gives_no_signs(watching, store):
    _, said, ended = watching()
    store.set(f"{RUN}/beat/1", "left 0")
    time.sleep(1.5)
    assert (said, ended) == ([], [])


def test_one_that_has_left_otherwise_is_named(watching, store):
    _, said, ended = watching()
    store.set(f"{RUN}/beat/1", "left 143")
    wait_for(ended)
    assert said[0].startswith("rank 1 of 2 (host box, process id 4711) left with status 143 after ")


def test_what_another_one_says_first_counts(watching, store):
    _, said, ended = watching()
    assert agree_on_news(store, RUN, 2, "train.csv is empty") == (2, "train.csv is empty")
    assert agree_on_news(store, RUN, 1, "rank 0 failed") == (2, "train.csv is empty")
    wait_for(ended)
    assert (said, ended) == (["train.csv is empty"], [2])


def test_one_that_is_gone_from_this_machine_is_named_at_once(watching):
    """Its number may have been given to another process."""
    _, said, ended = watching(os.getpid(), whereabouts(), "12", looks_for_the_dead=True)
    wait_for(ended)
    assert f"process id {os.getpid()}) ended without a word after " in said[0]


def test_one_of_this_machine_that_lives_is_not_taken_for_dead(watching, store):
    pid = os.getpid()
    _, said, _ = watching(pid, whereabouts(), start_time(pid), looks_for_the_dead=True)
    let_look(store, said)


def test_one_of_another_container_is_not_looked_for_here(watching, store):
    """Its number means another process there, or none."""
    _, said, _ = watching(2**22 + 1, ANOTHER_CONTAINER, looks_for_the_dead=True)
    let_look(store, said)


@pytest.mark.parametrize("here", [True, False])
def test_one_that_is_silent_is_killed_if_it_is_here(watching, killed, here):
    """As after SIGSTOP; what has its number and its start here, but is another process, goes on."""
    pid = os.getpid()
    where = whereabouts() if here else ANOTHER_CONTAINER
    _, said, ended = watching(pid, where, start_time(pid), looks_for_the_dead=True)
    wait_for(ended)
    assert "gives no sign of life" in said[0]
    assert killed == [pid] * here


def test_after_a_pause_of_all_processes_nobody_is_blamed(watching, store, monkeypatch):
    """A laptop, a virtual machine, Ctrl-Z: the clock jumps by an hour, and the other one is not back yet."""
    jump = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + jump[0], sleep=time.sleep)
    monkeypatch.setattr(module, "time", clock)
    _, said, ended = watching()
    let_look(store, said)
    jump[0] = 3600.0
    let_look(store, said, 3, signs=False)
    let_look(store, said)
    assert ended == []


def test_when_nobody_keeps_the_store_any_more_that_is_said(watching, monkeypatch):
    _, said, ended = watching()

    def broken(*args, **kwargs):
        raise dist.DistNetworkError("Connection reset by peer")

    monkeypatch.setattr(Address, "connect", broken)
    monkeypatch.setattr(module, "_last_signs", broken)
    wait_for(ended)
    assert said[0].startswith("what started the first ranks, at 127.0.0.1:")


def test_a_connection_that_breaks_is_made_again(watching, store, monkeypatch):
    watch, said, _ = watching()
    signs, broken = module._last_signs, watch._store

    def signs_of(connection, *args):
        if connection is broken:
            raise dist.DistNetworkError("Connection reset by peer")
        seen.append(signs(connection, *args))
        return seen[-1]

    seen = []
    monkeypatch.setattr(module, "_last_signs", signs_of)
    let_look(store, said)
    assert seen
