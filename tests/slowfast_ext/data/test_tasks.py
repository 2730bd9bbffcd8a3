"""Tasks that die, hang or raise are named, and all others are done."""

import gc
import mmap
import os
import signal
import threading
import time
from multiprocessing import synchronize

import pytest
from fuzzing import tasks
from fuzzing.tasks import Lost, run_tasks
from torch.utils.data import DataLoader

from vtn.errors import InputError


def work(task: tuple[str, str]) -> str:
    """Do what the task says; the second part is a file that counts attempts."""
    what, attempts = task
    if attempts:
        with open(attempts, "a") as file:
            file.write("x")
    if what == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "die once" and os.path.getsize(attempts) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hang":
        time.sleep(600)
    if what == "raise":
        raise ZeroDivisionError("by nothing")
    if what == "refuse":
        raise InputError("no use to go on.")
    return what.upper()


def poisonous(folder) -> list[tuple[str, str]]:
    """Twenty good tasks, and three others among them."""
    found = [(f"ok {i}", "") for i in range(20)]
    found[5:5] = [(what, str(folder / what)) for what in ("die", "die once", "raise")]
    return found


def take_from_the_system(num_bytes: int) -> None:
    """Not from what the process that this one is forked from has freed."""
    mmap.mmap(-1, num_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()


def test_a_task_gets_no_more_memory_than_it_may_have(monkeypatch):
    monkeypatch.setattr(tasks, "MOST_MEMORY", 0.25)
    (_, result), *_ = run_tasks(take_from_the_system, [2**30], jobs=1, timeout=300)
    assert result == Lost("OSError: [Errno 12] Cannot allocate memory")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("jobs", [1, 3])
def test_poisonous_tasks_do_not_stop_the_others(tmp_path, jobs):
    results = [
        (task[0], result) for task, result in run_tasks(work, poisonous(tmp_path), jobs=jobs, timeout=300)
    ]
    assert len(results) == 23
    results = dict(results)
    assert results.pop("die") == Lost("the process that read it died (signal 11, SIGSEGV)")
    assert results.pop("raise") == Lost("ZeroDivisionError: by nothing")
    assert results == {what: what.upper() for what in ("die once", *(f"ok {i}" for i in range(20)))}


def test_one_that_died_gets_another_attempt(tmp_path):
    """Memory may have run out. With one process no task begins anew because of another."""
    list(run_tasks(work, poisonous(tmp_path), jobs=1, timeout=300))
    attempts = [os.path.getsize(tmp_path / what) for what in ("die", "die once", "raise")]
    assert attempts == [2, 2, 1]


def test_a_task_that_hangs_is_given_up(tmp_path):
    attempts = tmp_path / "attempts"
    ((_, result),) = run_tasks(work, [("hang", str(attempts))], jobs=1, timeout=3)
    assert result == Lost("reading it took longer than 3 s")
    # It is not tried again; on a very busy machine the time is up before it begins.
    assert not attempts.exists() or attempts.read_text() == "x"


def slow(task: int) -> int:
    """The first hangs; the others are done in a moment, but never leave a second without a result."""
    time.sleep(600 if task == 0 else 0.3)
    return task


def test_one_that_hangs_is_given_up_while_others_are_done():
    given = [task for task, _ in run_tasks(slow, list(range(40)), jobs=2, timeout=2)]
    assert sorted(given) == list(range(40))
    assert given.index(0) < 39


def first_takes_long(task: int) -> int:
    time.sleep(8 if task == 0 else 0)
    return task


def test_no_task_waits_behind_a_long_one():
    given = [task for task, _ in run_tasks(first_takes_long, list(range(12)), jobs=2, timeout=300)]
    assert given == [*range(1, 12), 0]


def test_an_interruption_waits_until_the_processes_have_started(monkeypatch, capfd):
    """Ctrl-C while a process gets what it needs to start: it is ended as all others are, without a word."""
    started, start = [], DataLoader.__iter__

    def interrupted(self):
        os.kill(os.getpid(), signal.SIGINT)
        batches = start(self)
        started.extend(batches._workers)
        os.kill(started[0].pid, signal.SIGINT)
        return batches

    monkeypatch.setattr(DataLoader, "__iter__", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            list(run_tasks(work, [("ok", "")], jobs=2, timeout=60))
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(started) == 2
    assert not any(process.is_alive() for process in started)
    assert "Traceback" not in capfd.readouterr().err


def test_ctrl_c_is_for_the_process_that_started_the_others(tmp_path, capfd):
    """The group of a terminal gets it: the others go on, and end with the one that answers it."""
    tasks = [("interrupt", ""), *[(f"ok {i}", "") for i in range(5)]]
    results = dict(run_tasks(interrupted_work, tasks, jobs=1, timeout=60))
    assert results[tasks[0]] == "INTERRUPT"
    assert capfd.readouterr().err == ""


def interrupted_work(task: tuple[str, str]) -> str:
    """Work in a process that gets Ctrl-C."""
    if task[0] == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
    return work(task)


def test_no_process_is_left_when_nobody_asks_for_more(tmp_path):
    def pid(task: int) -> int:
        if task:
            (tmp_path / str(os.getpid())).touch()
            time.sleep(600)
        return os.getpid()

    results = run_tasks(pid, list(range(4)), jobs=2, timeout=1000)
    (_, first) = next(results)
    end = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    results.close()
    for process in {first, *(int(path.name) for path in tmp_path.iterdir())}:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def locks() -> dict[int, synchronize.SemLock]:
    """All that processes share to wait for each other, by their identity."""
    return {id(one): one for one in gc.get_objects() if issubclass(type(one), synchronize.SemLock)}


def test_a_process_that_dies_while_it_holds_all_locks(tmp_path):
    """Whatever processes share may be held by one that is killed: nobody may wait for that for ever."""
    of_others = locks()

    def die_once(task: int) -> int:
        (tmp_path / f"{task}-{os.getpid()}").touch()
        if task == 3 and len(list(tmp_path.glob("3-*"))) == 1:
            for number, lock in locks().items():
                if number not in of_others:
                    lock._semlock.acquire(False)
            os.kill(os.getpid(), signal.SIGKILL)
        return task

    given = []
    thread = threading.Thread(
        target=lambda: given.extend(task for task, _ in run_tasks(die_once, range(8), jobs=2, timeout=60)),
        daemon=True,  # one that waits for ever must not keep the tests
    )
    thread.start()
    thread.join(60)
    assert sorted(given) == list(range(8))


def test_a_process_that_somebody_ends_between_tasks_costs_nothing(tmp_path):
    def pid(task: int) -> int:
        if task == 2:
            (tmp_path / str(os.getpid())).touch()
        time.sleep(5 if task == 2 else 0.2)  # long enough that the other process gets one of the short ones
        return os.getpid()

    results = run_tasks(pid, [0, 1, 2], jobs=2, timeout=1000)
    pids = {next(results)[1], next(results)[1]}
    end = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < end:
        time.sleep(0.02)
    (busy,) = (int(path.name) for path in tmp_path.iterdir())
    (idle,) = pids - {busy}
    os.kill(idle, signal.SIGKILL)
    assert [task for task, _ in results] == [2]


def test_an_input_error_ends_it():
    with pytest.raises(InputError, match="^no use to go on"):
        list(run_tasks(work, [("refuse", ""), *[("ok", "")] * 3], jobs=1, timeout=60))


def test_tasks_begin_in_order_when_a_process_is_free(tmp_path):
    tasks = [(f"ok {number}", str(tmp_path / str(number))) for number in range(10)]
    results = run_tasks(work, tasks, jobs=2, timeout=60)
    next(results)
    begun = len(list(tmp_path.iterdir()))
    assert {path.name for path in tmp_path.iterdir()} <= set("0123")
    assert 1 <= begun <= 4
    results.close()
    assert list(run_tasks(work, [], jobs=2, timeout=60)) == []
