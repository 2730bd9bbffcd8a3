"""Processes: one, or several with torch.distributed, on CUDA (nccl) or CPU (gloo)."""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import distributed as dist

from vtn.errors import InputError


def num_processes(cfg) -> int:
    """Processes on this machine: one per GPU, or VTN.CPU_PROCESSES when NUM_GPUS is 0."""
    return cfg.NUM_GPUS if cfg.NUM_GPUS > 0 else cfg.VTN.CPU_PROCESSES


def world_size(cfg) -> int:
    """Processes on all machines."""
    return num_processes(cfg) * cfg.NUM_SHARDS


def init_process_group(
    local_rank: int,
    local_world_size: int,
    shard_id: int,
    num_shards: int,
    init_method: str,
    dist_backend: str = "nccl",
) -> None:
    """Join the process group; without CUDA the backend is gloo, whatever `dist_backend` says."""
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank)
    else:
        dist_backend = "gloo"
    dist.init_process_group(
        backend=dist_backend,
        init_method=init_method,
        world_size=local_world_size * num_shards,
        rank=shard_id * local_world_size + local_rank,
    )


def run(
    local_rank: int,
    num_proc: int,
    func: Callable,
    init_method: str,
    shard_id: int,
    num_shards: int,
    backend: str,
    cfg,
    told: str = "",
) -> None:
    """Body of one process: join the group, call `func(cfg)`, leave.

    Bad input ends the process with status 2 instead of a traceback. Its sentence goes to the file `told`, for
    the process that started this one and can show it last, or to the screen.
    """
    # Registration must also happen in a spawned child, which starts from nothing.
    import slowfast_ext
    from slowfast_ext.host import get_host

    slowfast_ext.register()
    cpu = cfg.NUM_GPUS == 0
    if cpu:
        # Left alone, every process would take all cores and they would starve each other.
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // num_proc))
    init_process_group(local_rank, num_proc, shard_id, num_shards, init_method, "gloo" if cpu else backend)
    try:
        func(get_host().prepare_process(cfg) if cpu else cfg)
    except InputError as error:
        if told:
            Path(told).write_text(str(error), encoding="utf-8")
        else:
            sys.stderr.write(f"error: {error}\n")  # main silences print() in all processes but one
            sys.stderr.flush()
        os._exit(2)
    finally:
        dist.destroy_process_group()


def launch_job(cfg, init_method: str, func: Callable) -> None:
    """Call `func(cfg)` in as many processes as `cfg` asks for, and wait for them.

    Args:
        cfg: Keys NUM_GPUS, VTN.CPU_PROCESSES, NUM_SHARDS, SHARD_ID, DIST_BACKEND.
        init_method: Where the processes meet, e.g. tcp://localhost:9999 or file:///shared/name.
        func: Module-level function, so that a spawned process can find it.

    Raises:
        InputError: That of a process that failed on bad input.
        SystemExit: If a process ended without a word, with its status.
    """
    if world_size(cfg) == 1:
        func(cfg)
        return
    if cfg.NUM_SHARDS == 1 and init_method.startswith("file://"):
        # One that is left from processes that are gone sends the new ones to addresses where nobody is.
        Path(init_method.removeprefix("file://")).unlink(missing_ok=True)
    procs = num_processes(cfg)
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "error.txt"
        args = (procs, func, init_method, cfg.SHARD_ID, cfg.NUM_SHARDS, cfg.DIST_BACKEND, cfg, str(told))
        try:
            torch.multiprocessing.spawn(run, nprocs=procs, args=args)
        except (
            torch.multiprocessing.ProcessExitedException,
            torch.multiprocessing.ProcessRaisedException,
        ) as error:
            # Where one fails on bad input, another may lose its connection first.
            if told.is_file():
                raise InputError(told.read_text(encoding="utf-8")) from None
            if isinstance(error, torch.multiprocessing.ProcessRaisedException):
                raise
            raise SystemExit(error.exit_code if error.exit_code > 0 else 1) from None


def is_master() -> bool:
    """True in the one process that writes files."""
    return not dist.is_initialized() or dist.get_rank() == 0


def unwrap(model: torch.nn.Module) -> torch.nn.Module:
    """The model without its DistributedDataParallel wrapper."""
    return model.module if isinstance(model, torch.nn.parallel.DistributedDataParallel) else model
