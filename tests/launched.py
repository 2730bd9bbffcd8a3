"""What the processes of tests/slowfast_ext/launch do; they start from nothing, so this is a module.

As a program it launches one of its functions, as a command would:
python tests/launched.py NAME FOLDER PROCESSES TIMEOUT [SHARD SHARDS INIT_METHOD]
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import distributed as dist

from slowfast_ext.distributed import all_reduce_sum, rank
from slowfast_ext.launch import launch_job
from slowfast_ext.run_lock import alone_in_folder
from vtn import InputError


def settings(folder: Path, processes: int, timeout: float, shard: int = 0, shards: int = 1):
    """The keys that the launcher reads, and the folder for notes."""
    return SimpleNamespace(
        NUM_GPUS=0,
        VTN=SimpleNamespace(CPU_PROCESSES=processes),
        NUM_SHARDS=shards,
        SHARD_ID=shard,
        DIST_BACKEND="nccl",
        DIST_TIMEOUT=timeout,
        OUTPUT_DIR=str(folder),
    )


def note(cfg, what: str = "") -> None:
    """Leave this process's id, or another word, in a file with its rank as name."""
    path = Path(cfg.OUTPUT_DIR, f"rank{rank()}")
    part = path.with_suffix(".part")
    part.write_text(what or str(os.getpid()))
    part.replace(path)


def add_up(cfg) -> None:
    """The sum of all ranks, in each process."""
    note(cfg, f"{all_reduce_sum([float(rank())])[0]:g} {dist.get_world_size()} {torch.get_num_threads()}")


def die(cfg) -> None:
    """The second process has a worker, and is killed; the first one waits for it."""
    if rank() == 1:
        worker = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL)
        Path(cfg.OUTPUT_DIR, "worker").write_text(str(worker.pid))
        note(cfg)
        os.kill(os.getpid(), signal.SIGKILL)
    all_reduce_sum([0.0])


def die_at_work(cfg) -> None:
    """The first process has the folder's lock and a log, and is killed; the second one waits for it."""
    if rank() == 0:
        with alone_in_folder(cfg.OUTPUT_DIR):
            Path(cfg.OUTPUT_DIR, "stdout.log").write_text("[INFO: train.py:  103]: Start epoch: 1\n")
            note(cfg)
            os.kill(os.getpid(), signal.SIGKILL)
    all_reduce_sum([0.0])


def hang(cfg) -> None:
    """The last process is stopped, as a debugger or a dead disk does; the others wait for it."""
    note(cfg)
    all_reduce_sum([0.0])
    if rank() == dist.get_world_size() - 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    all_reduce_sum([0.0])


def be_slow(cfg) -> None:
    """Longer than DIST_TIMEOUT at something that is no step."""
    if rank() == 0:
        time.sleep(1.5 * cfg.DIST_TIMEOUT)
    all_reduce_sum([0.0])
    note(cfg)


def leave(cfg) -> None:
    """The second process ends with a status of its own, the first one goes on."""
    if rank() == 1:
        note(cfg)
        sys.exit(3)
    time.sleep(60)


def fail(cfg) -> None:
    """The second process has a fault; the first one loses its connection."""
    if rank() == 1:
        raise ZeroDivisionError("of the second process")
    all_reduce_sum([0.0])


def refuse(cfg) -> None:
    """Every process finds the same bad input."""
    raise InputError("train.csv line 3: é is no label")


def refuse_alone(cfg) -> None:
    """The second process finds bad input; the first one loses its connection."""
    if rank() == 1:
        raise InputError("train.csv line 3: é is no label")
    all_reduce_sum([0.0])


def work(cfg) -> None:
    """For ever, with a handler that saves and leaves."""

    def save(number: int, frame) -> None:
        note(cfg, f"saved {number}")
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, save)
    note(cfg)
    time.sleep(600)


def rest(cfg) -> None:
    """For ever, without a handler."""
    note(cfg)
    time.sleep(600)


def work_on(cfg) -> None:
    """For ever, without a handler, and with a worker."""
    worker = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL)
    Path(cfg.OUTPUT_DIR, f"worker{rank()}").write_text(str(worker.pid))
    note(cfg)
    time.sleep(600)


def twice(cfg) -> None:
    """Once for the training and once for the test: the second one must not meet what the first has left."""
    path = Path(cfg.OUTPUT_DIR, f"sums{rank()}")
    before = path.read_text() if path.exists() else ""
    path.write_text(f"{before}{all_reduce_sum([float(rank() + 1)])[0]:g} ")


if __name__ == "__main__":
    name, folder, processes, timeout, *machines = sys.argv[1:]
    shard, shards, init_method = machines or (0, 1, "tcp://localhost:1")
    cfg = settings(Path(folder), int(processes), float(timeout), int(shard), int(shards))
    import launched  # so that a spawned process finds the function under its module's name

    from slowfast_ext.cli import run_safely

    def launch() -> None:
        for _ in range(2 if name == "twice" else 1):
            launch_job(cfg, init_method, getattr(launched, name))

    run_safely(launch)
