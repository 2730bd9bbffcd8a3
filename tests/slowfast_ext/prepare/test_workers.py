"""Tasks that die, hang or raise are named, and all others are done."""

import os
import signal
import time

import pytest

from slowfast_ext.prepare import workers
from slowfast_ext.prepare.workers import Lost, run_tasks
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


def test_poisonous_tasks_do_not_stop_the_others(tmp_path):
    tasks = [(f"ok {i}", "") for i in range(20)]
    poison = [
        ("die", str(tmp_path / "die")),
        ("die once", str(tmp_path / "once")),
        ("raise", str(tmp_path / "raise")),
    ]
    tasks[5:5] = poison
    results = {task[0]: result for task, result in run_tasks(work, tasks, jobs=3, seconds=300.0)}
    assert len(results) == 23
    assert results["die"] == Lost("the process that read it was ended by SIGSEGV")
    assert results["die once"] == "DIE ONCE"
    assert results["raise"] == Lost("ZeroDivisionError: by nothing")
    assert all(results[f"ok {i}"] == f"OK {i}" for i in range(20))
    # Another attempt for those that died, as memory may have run out.
    assert [os.path.getsize(path) for _, path in poison] == [2, 2, 1]


def test_a_task_that_hangs_is_given_up(tmp_path):
    attempts = tmp_path / "attempts"
    ((_, result),) = run_tasks(work, [("hang", str(attempts))], jobs=1, seconds=3.0)
    assert result == Lost("it took more than 3 s")
    # It is not tried again; on a very busy machine the time is up before it begins.
    assert not attempts.exists() or attempts.read_text() == "x"


def test_an_interruption_waits_until_a_process_has_started(monkeypatch, capfd):
    """Ctrl-C while a process gets what it needs to start: it is ended as all others are, without a word."""
    started, start = [], workers._Worker.__init__

    def interrupted(self, *args):
        os.kill(os.getpid(), signal.SIGINT)
        start(self, *args)
        started.append(self.process)

    monkeypatch.setattr(workers._Worker, "__init__", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            list(run_tasks(work, [("ok", "")], jobs=1, seconds=60))
    finally:
        signal.signal(signal.SIGINT, before)
    (process,) = started
    assert not process.is_alive()
    assert "Traceback" not in capfd.readouterr().err


def test_an_input_error_ends_it():
    with pytest.raises(InputError, match="no use to go on"):
        list(run_tasks(work, [("refuse", ""), *[("ok", "")] * 3], jobs=1, seconds=60))


def test_tasks_are_taken_when_a_process_is_free():
    taken = []

    def tasks():
        for number in range(10):
            taken.append(number)
            yield (f"ok {number}", "")

    results = run_tasks(work, tasks(), jobs=2, seconds=60)
    next(results)
    assert len(taken) <= 4
    results.close()
    assert list(run_tasks(work, [], jobs=2, seconds=60)) == []
