"""Processes that this one starts: they work together, and all end when one of them dies or hangs.

Most run a second or two and start two processes that load PyTorch, so those of one kind are one test.
"""

import os
import signal
import socket
import subprocess
import time

import launched
import pytest
import torch
from launches import all_gone, children_of, is_alive, pid_in

from slowfast_ext.launch.children import places_of
from slowfast_ext.run_lock import LOCK
from vtn import InputError

HOST = socket.gethostname()


@pytest.mark.parametrize(("shards", "processes"), [(1, 3), (2, 1), (2, 3), (3, 2)])
def test_all_processes_of_all_machines_have_a_rank_of_their_own(shards, processes, tmp_path):
    places = [
        place
        for shard in range(shards)
        for place in places_of(launched.settings(tmp_path, processes, 4, shard, shards))
    ]
    assert [place.rank for place in places] == list(range(shards * processes))
    assert {place.world_size for place in places} == {shards * processes}
    assert [place.local_rank for place in places] == list(range(processes)) * shards
    assert [place.shard_id for place in places] == [s for s in range(shards) for _ in range(processes)]


def test_a_single_process_is_this_one(launch):
    seen = []
    launch(seen.append, processes=1)
    assert len(seen) == 1
    assert not torch.distributed.is_initialized()


def test_a_killed_process_ends_all_and_is_named(launch, tmp_path, capsys):
    started = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        launch(launched.die, timeout=60)
    assert ended.value.code == 1
    assert time.monotonic() - started < 60  # of which most is the start of two processes
    pid = int((tmp_path / "rank1").read_text())
    named = f"rank 1 of 2 (host {HOST}, process id {pid}) was killed by signal 9, SIGKILL"
    assert capsys.readouterr().err == f"error: {named}\n"
    assert not is_alive(int((tmp_path / "worker").read_text()))
    assert not (tmp_path / "stdout.log").exists()  # there was none


def test_a_killed_first_process_is_named_in_its_log_and_leaves_no_lock(launch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        launch(launched.die_at_work, timeout=60)
    said = capsys.readouterr().err.removeprefix("error: ")
    first, last = (tmp_path / "stdout.log").read_text().splitlines(keepends=True)
    assert first.endswith("Start epoch: 1\n")
    assert last.startswith("[ERROR: 20")
    assert last.endswith(f"]: {said}")
    assert said.startswith("rank 0 of 2 ")
    assert not (tmp_path / LOCK).exists()


@pytest.mark.slow
def test_a_stopped_process_ends_all_and_is_named(launch, tmp_path, capsys):
    """No connection breaks: only its signs of life are missing."""
    with pytest.raises(SystemExit, match="1"):
        launch(launched.hang, timeout=4)
    pid = int((tmp_path / "rank1").read_text())
    said = capsys.readouterr().err
    assert said.startswith(f"error: rank 1 of 2 (host {HOST}, process id {pid}) gives no sign of life since ")
    assert said.endswith("(DIST_TIMEOUT is 4 s)\n")
    assert all_gone([pid], 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["add_up", "be_slow"])
def test_processes_work_together(name, launch, tmp_path):
    """Something that takes longer than DIST_TIMEOUT is no silence."""
    launch(getattr(launched, name), processes=3, timeout=5)
    if name == "add_up":
        threads = max(1, torch.multiprocessing.cpu_count() // 3)
        assert {(tmp_path / f"rank{rank}").read_text() for rank in range(3)} == {f"3 3 {threads}"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["refuse", "refuse_alone"])
def test_bad_input_of_a_process_is_the_one_sentence(name, launch):
    with pytest.raises(InputError, match=r"^train\.csv line 3: é is no label$"):
        launch(getattr(launched, name), timeout=20)


@pytest.mark.slow
def test_a_fault_in_a_process_is_shown_where_it_is(launch):
    """The other one loses its connection, and may end first."""
    with pytest.raises(torch.multiprocessing.ProcessRaisedException) as raised:
        launch(launched.fail, timeout=20)
    assert "in fail\n" in str(raised.value)
    assert str(raised.value).rstrip().endswith("ZeroDivisionError: of the second process")
    assert "Connection" not in str(raised.value)


@pytest.mark.slow
def test_a_process_that_leaves_alone_is_named_with_its_status(launch, tmp_path, capsys):
    with pytest.raises(SystemExit, match="3"):
        launch(launched.leave, timeout=20)
    pid = (tmp_path / "rank1").read_text()
    said = f"error: rank 1 of 2 (host {HOST}, process id {pid}) ended with status 3\n"
    assert capsys.readouterr().err == said


def test_a_signal_goes_on_to_all_and_they_may_save(start, tmp_path):
    """They save, and all end with 128 + n."""
    process = start("work")
    for rank in range(2):
        pid_in(tmp_path / f"rank{rank}")
    process.send_signal(signal.SIGUSR1)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGUSR1, out
    assert out == ""
    saved = [(tmp_path / f"rank{rank}").read_text() for rank in range(2)]
    assert saved == [f"saved {signal.SIGUSR1:d}"] * 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_those_that_do_not_handle_it(number, start, tmp_path):
    process = start("work_on")
    pids = [pid_in(tmp_path / f"{what}{rank}") for what in ("rank", "worker") for rank in range(2)]
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, out
    assert "Traceback" not in out
    assert ("interrupted: " in out) == (number == signal.SIGINT)
    assert all_gone(pids)


@pytest.mark.slow
def test_a_signal_while_processes_start_is_not_lost(start):
    process = start("work")
    deadline = time.monotonic() + 60
    while not children_of(process.pid, "spawn_main") and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)  # PyTorch is being loaded there
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out
    assert "Traceback" not in out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["work", "work_on"])
def test_nothing_outlives_a_launcher_that_is_killed(name, start, tmp_path):
    """With handlers they save first; without they go at once, and take their workers with them."""
    process = start(name)
    whats = ("rank", "worker") if name == "work_on" else ("rank",)
    pids = [pid_in(tmp_path / f"{what}{rank}") for what in whats for rank in range(2)]
    process.kill()
    assert all_gone(pids)
    if name == "work":
        assert (tmp_path / "rank0").read_text() == f"saved {signal.SIGTERM:d}"


@pytest.mark.slow
def test_a_machine_that_does_not_come_is_named(start, tmp_path, free_port):
    process = start("add_up", "0", "2", f"tcp://127.0.0.1:{free_port}", processes=1, timeout=3)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out.startswith("error: rank 1 of 2 (machine 1) has not come within 3 s (DIST_TIMEOUT): look ")
    assert out.count("\n") == 1
    process = start("add_up", "1", "2", f"tcp://127.0.0.1:{free_port}", processes=1, timeout=3)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out.startswith(f"error: nobody answers at 127.0.0.1:{free_port}, where the first process")
    assert out.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("meet", ["tcp", "file"])
def test_two_machines_meet_twice(meet, start, tmp_path, free_port):
    """Training and test: what the first has left in the store does not disturb the second."""
    where = f"tcp://127.0.0.1:{free_port}" if meet == "tcp" else f"file://{tmp_path}/meet"
    both = [start("twice", str(shard), "2", where, processes=2, timeout=30) for shard in range(2)]
    for process in both:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0, out
    assert {(tmp_path / f"sums{rank}").read_text() for rank in range(4)} == {"10 10 "}


@pytest.fixture
def two_machines(start, tmp_path, free_port):
    """Start a process on each of two; returns the commands, ids of the processes, and where they meet."""

    def run(timeout: float) -> tuple[list[subprocess.Popen], list[int], str]:
        where = f"tcp://127.0.0.1:{free_port}"
        both = [start("work_on", str(shard), "2", where, processes=1, timeout=timeout) for shard in range(2)]
        return both, [pid_in(tmp_path / f"rank{rank}") for rank in range(2)], where

    return run


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_of_another_machine_is_named_on_both(how, two_machines):
    both, pids, _ = two_machines(15)
    os.kill(pids[1], how)
    began = time.monotonic()
    said = "was killed by signal 9, SIGKILL" if how == signal.SIGKILL else "gives no sign of life since"
    for process in both:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 1, out
        assert f"error: rank 1 of 2 (host {HOST}, process id {pids[1]}) {said}" in out
        assert out.count("\n") == 1, out
    assert time.monotonic() - began < 30  # of which DIST_TIMEOUT is 15, on a busy machine
    assert all_gone(pids)


@pytest.mark.slow
def test_another_machine_that_looks_late_learns_why_the_run_ends(two_machines):
    """It asks once a second, and the first machine, which knows, is ready to end before that."""
    both, pids, _ = two_machines(8)
    for pid in (pids[1], both[1].pid):
        os.kill(pid, signal.SIGSTOP)
    assert all_gone(pids[:1])
    time.sleep(3)
    os.kill(both[1].pid, signal.SIGCONT)
    for process in both:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 1, out
        assert f"rank 1 of 2 (host {HOST}, process id {pids[1]}) gives no sign of life since" in out
    assert all_gone(pids)


@pytest.mark.slow
def test_a_process_that_is_stopped_ends_where_the_first_machine_is_gone(two_machines):
    both, pids, where = two_machines(6)
    time.sleep(2)  # what started the second one asks for news once a second
    os.kill(pids[1], signal.SIGSTOP)
    os.killpg(both[0].pid, signal.SIGKILL)
    out, _ = both[1].communicate(timeout=60)
    assert both[1].returncode == 1
    assert out.startswith(f"error: what started the first ranks, at {where[6:]}, gives no sign of life"), out
    assert all_gone(pids)


@pytest.mark.slow
@pytest.mark.parametrize("shard", [0, 1])
def test_a_whole_machine_that_is_gone_ends_the_other(shard, two_machines):
    """Launcher and process at once, as when its power fails."""
    both, pids, where = two_machines(15)
    os.killpg(both[shard].pid, signal.SIGKILL)
    assert all_gone([pids[shard]])
    out, _ = both[1 - shard].communicate(timeout=60)
    assert both[1 - shard].returncode == 1
    who = f"rank 1 of 2 (host {HOST}, process id {pids[1]})"
    who = who if shard else f"what started the first ranks, at {where[6:]},"
    assert out.startswith(f"error: {who} gives no sign of life since"), out


def test_torchrun_and_the_configuration_must_agree(launch, monkeypatch):
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "0")
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "3")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", "1")
    with pytest.raises(
        InputError, match=r"^torchrun has started 3 processes, but the configuration is for 2$"
    ):
        launch(launched.add_up, processes=2)
