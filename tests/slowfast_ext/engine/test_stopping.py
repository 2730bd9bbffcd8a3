"""Signals: noted, answered with a checkpoint and the usual status, by real programs too."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from launches import children_of
from tiny_runs import ROOT, command

from slowfast_ext.engine import stopping
from slowfast_ext.engine.stopping import SAVE, Noted, Stopped, signal_in, stop_signals
from slowfast_ext.host.places import list_inside


def test_the_bits_that_processes_tell_each_other():
    noted = Noted()
    assert (noted.bits, signal_in(0), signal_in(SAVE)) == (0, 0, 0)
    noted.take(signal.SIGTERM, None)
    assert signal_in(noted.bits | SAVE) == signal.SIGTERM
    assert signal_in(noted.bits | SAVE | 1 << signal.SIGINT) == signal.SIGINT


def test_handlers_are_put_back_and_nothing_is_raised():
    before = [signal.getsignal(number) for number in stopping.STOP_SIGNALS]
    for number in stopping.STOP_SIGNALS:
        with stop_signals() as noted:
            os.kill(os.getpid(), number)
            assert noted.number == number
        assert [signal.getsignal(number) for number in stopping.STOP_SIGNALS] == before
    assert Stopped(signal.SIGINT).code == 130


def test_a_second_signal_leaves_at_once(monkeypatch, capfd):
    def leave(status):
        raise RuntimeError(status)

    monkeypatch.setattr(stopping.os, "_exit", leave)
    with stop_signals():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(RuntimeError, match="143"):
            os.kill(os.getpid(), signal.SIGTERM)
    assert capfd.readouterr().err == "\nSIGTERM: left at once, as a second signal asks\n"


def test_in_another_thread_nothing_is_noted():
    found = []

    def work():
        with stop_signals() as noted:
            found.append(noted.number)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [0]


def processes_of(group: int) -> list[int]:
    """Those of a group that live."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(int(path.parent.name))
    return found


@contextlib.contextmanager
def started(tiny_config, data_dir, out, *overrides) -> Iterator[subprocess.Popen]:
    """A long training in a group of its own, up to its first step; at the end nothing of it is left."""
    keys = "ENGINE own SOLVER.MAX_EPOCH 5000 DATA_LOADER.NUM_WORKERS 1".split()
    line = command(tiny_config, data_dir, out, *keys, *overrides)
    pipe, group = subprocess.PIPE, {"start_new_session": True}
    process = subprocess.Popen(line, stdout=pipe, stderr=subprocess.STDOUT, text=True, cwd=ROOT, **group)
    try:
        for text in process.stdout:
            if "train_iter" in text:
                break
        assert process.poll() is None
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_to_all_processes_of_a_training(number, tiny_config, data_dir, tmp_path):
    """Workers that read are not disturbed, and none outlives it."""
    out = tmp_path / "out"
    with started(tiny_config, data_dir, out) as process:
        os.killpg(process.pid, number)
        printed = process.communicate(timeout=60)[0]
        assert process.returncode == 128 + number, printed
        last = printed.strip().splitlines()[-1]
        assert f"Stopped by {signal.Signals(number).name} in " in last
        assert last.endswith("the same command goes on from there")
        assert "Traceback" not in printed
        assert list_inside(str(out)) or list((out / "checkpoints").glob("checkpoint_epoch_*"))
        assert not (out / "lock.json").exists()
        assert processes_of(process.pid) == []


def test_workers_end_with_a_training_that_is_killed(tiny_config, data_dir, tmp_path):
    out = tmp_path / "out"
    with started(tiny_config, data_dir, out) as process:
        workers = children_of(process.pid, "run_net")
        assert workers
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)  # or it might notice by itself, seconds later
        process.kill()
        process.wait()
        deadline = time.monotonic() + 10
        while processes_of(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert processes_of(process.pid) == []
