"""Processes find each other in a store that may hold what earlier ones have left; here they are threads."""

import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from torch import distributed as dist

from slowfast_ext.launch.meeting import Address, Alone, gather, meeting_point, peers_of, serve
from slowfast_ext.launch.place import Rank
from slowfast_ext.processes import start_time
from vtn import InputError


@pytest.fixture
def address():
    server = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    return Address("127.0.0.1", server.port), server


def meet(address: Address, ranks: list[int], world_size: int, *, seconds: float = 5, here: int = 1) -> list:
    """What gather gives each rank, or the text of what it raises."""

    def one(rank: int) -> str:
        try:
            return gather(address.connect(5), Rank(rank, world_size, rank % here, here), seconds)
        except Alone as error:
            return str(error)

    with ThreadPoolExecutor(world_size) as pool:
        return list(pool.map(one, ranks))


def test_all_agree_on_a_name_that_no_run_before_has_used(address):
    names = [meet(address[0], [2, 0, 1], 3) for _ in range(3)]
    assert all(len(set(found)) == 1 for found in names)
    assert len({found[0] for found in names}) == 3


def test_one_that_comes_late_is_not_taken_for_the_one_before(address):
    """After a restart the store still has the ticket of a process that is gone."""
    (before, _) = meet(address[0], [0, 1], 2)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(meet, address[0], [0], 2)
        threading.Event().wait(0.5)
        assert not first.done()
        late = pool.submit(meet, address[0], [1], 2)
        assert first.result() == late.result() != [before]


def test_the_others_know_host_and_process(address):
    run, _ = meet(address[0], [0, 1], 2)
    ((rank, peer),) = peers_of(address[1], run, Rank(0, 2, 0, 2)).items()
    assert (rank, peer.pid, peer.started) == (1, os.getpid(), start_time(os.getpid()))
    assert peer.who == f"rank 1 of 2 (host {socket.gethostname()}, process id {os.getpid()})"


def test_who_has_not_come_is_named(address):
    found = meet(address[0], [0, 1], 6, seconds=0.5, here=2)
    assert len(set(found)) == 1
    assert found[0].startswith(
        "ranks 2, 3, 4, 5 of 6 (machine 1, 2) have not come within 0.5 s (DIST_TIMEOUT)"
    )
    (found,) = meet(address[0], [1], 2, seconds=0.5, here=2)
    assert found.startswith("rank 0 of 2 has not come within 0.5 s")


def test_nobody_at_the_address():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(Alone, match=rf"nobody answers at 127\.0\.0\.1:{port}, where the first process"):
        Address("127.0.0.1", port).connect(0.2)


def test_a_program_that_is_stopped_is_not_waited_for():
    """Linux connects to it, but it never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port, began = silent.getsockname()[1], time.monotonic()
        with pytest.raises(Alone, match=rf"what listens at 127\.0\.0\.1:{port}, .* gives no answer for 2 s"):
            Address("127.0.0.1", port).connect(2)
        assert time.monotonic() - began < 10


def test_a_port_that_another_program_has():
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        with pytest.raises(InputError, match=r"^port \d+ of this machine is in use: name another"):
            serve(taken.getsockname()[1])


@pytest.mark.parametrize("init_method", ["tcp://first", "first:9999", "udp://first:9999", "tcp://:9999"])
def test_several_machines_need_an_address(init_method):
    with pytest.raises(InputError, match=r"several machines meet at tcp://HOST:PORT"):
        meeting_point(init_method, Rank(0, 2, 0, 1), 1).__enter__()


def test_one_machine_needs_none():
    with meeting_point("tcp://nowhere:1", Rank(0, 2, 0, 2), 1) as address:
        first, second = meet(address, [0, 1], 2)
    assert first == second


def test_machines_meet_with_a_file(tmp_path):
    """One of a run that is gone names a port at which nobody is."""
    path = tmp_path / "meet"
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        path.write_text(f"127.0.0.1 {unused.getsockname()[1]}\n")
    with pytest.raises(Alone, match=r"the first machine has not come to .*meet within 0\.3 s"):
        meeting_point(f"file://{path}", Rank(1, 2, 0, 1), 0.3).__enter__()
    first, second = (meeting_point(f"file://{path}", Rank(rank, 2, 0, 1), 1) for rank in (0, 1))
    with first as one, second as two:
        assert one == two
    assert not path.exists()
