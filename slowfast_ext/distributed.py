"""Processes and devices: the one definition of rank, number of processes, device and backend.

NUM_GPUS and VTN.CPU_PROCESSES say what a run wants; what a process really has is asked here. In a CPU run the
loops of PySlowFast main are given another NUM_GPUS, see host/git_cpu.py.
"""

import functools
import os
import random
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import distributed as dist
from torch import nn

from slowfast_ext.freed_memory import keep_freed_memory
from vtn.errors import InputError

_on_cpu = False  # whether this process must leave every GPU alone


def visible_gpus() -> int:
    """GPUs that PyTorch can use on this machine."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def num_processes(cfg) -> int:
    """Processes on this machine: one for each GPU, or VTN.CPU_PROCESSES where NUM_GPUS is 0."""
    return cfg.NUM_GPUS if cfg.NUM_GPUS > 0 else cfg.VTN.CPU_PROCESSES


def world_size(cfg) -> int:
    """Processes on all machines."""
    return num_processes(cfg) * cfg.NUM_SHARDS


def use_visible_gpus(cfg, given: set[str]) -> None:
    """Set NUM_GPUS to all that PyTorch sees unless it is among the `given` keys, in place."""
    if "NUM_GPUS" not in given:
        cfg.NUM_GPUS = visible_gpus()


def use_processes(cfg, processes: int, typed: Mapping[str, Any]) -> None:
    """Set NUM_GPUS or VTN.CPU_PROCESSES to the number that torchrun has started on this machine, in place.

    Args:
        cfg: NUM_GPUS says whether the run is one on the CPU.
        processes: Those that torchrun has started here.
        typed: The keys of the command line, as a tree.

    Raises:
        InputError: If another number was typed, or there are fewer GPUs.
    """
    on_the_cpu = cfg.NUM_GPUS == 0
    key, number = "NUM_GPUS", typed.get("NUM_GPUS")
    if on_the_cpu:
        key, number = "VTN.CPU_PROCESSES", typed.get("VTN", {}).get("CPU_PROCESSES")
    if number not in (None, processes):
        raise InputError(
            f"{key} is {number}, but torchrun has started {processes} processes on this machine: leave the "
            f"key out, or give torchrun --nproc_per_node {number}"
        )
    if on_the_cpu:
        cfg.VTN.CPU_PROCESSES = processes
        return
    found = visible_gpus()
    if found < processes:
        fewer = f"give torchrun --nproc_per_node {found}, or " if found else ""
        raise InputError(
            f"torchrun has started {processes} processes on this machine, but PyTorch sees {found} CUDA "
            f"device{'s' * (found != 1)}: {fewer}add `NUM_GPUS 0` to the command to run on the CPU"
        )
    cfg.NUM_GPUS = processes


def settle(cfg) -> None:
    """Take note whether this process may use a GPU. Every run begins with it, in each of its processes."""
    global _on_cpu
    _on_cpu = cfg.NUM_GPUS == 0
    if _on_cpu:
        keep_freed_memory()


def on_cpu() -> bool:
    """Whether this process must leave every GPU alone, also where there is one."""
    return _on_cpu


def device_of(cfg) -> torch.device:
    """The device of this process: its GPU, or the CPU."""
    if cfg.NUM_GPUS == 0 or (on_cpu() and dist.is_initialized()):
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def describe_devices(cfg) -> str:
    """One line: what the run uses, in how many processes, and why."""
    count = world_size(cfg)
    processes = "1 process" if count == 1 else f"{count} processes"
    machines = f" on {cfg.NUM_SHARDS} machines" if cfg.NUM_SHARDS > 1 else ""
    if device_of(cfg).type == "cpu":
        why = "NUM_GPUS is 0" if visible_gpus() else "PyTorch sees no GPU"
        return f"Device: CPU, {processes}{machines}; {why}"
    name, seen = torch.cuda.get_device_name(), visible_gpus()
    return (
        f"Device: GPU ({name}), {processes}{machines}; NUM_GPUS is {cfg.NUM_GPUS}, PyTorch sees {seen} here"
    )


def rank() -> int:
    """Number of this process among all, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_master() -> bool:
    """True in the one process that writes files."""
    return rank() == 0


def unwrap(model: nn.Module) -> nn.Module:
    """The model without its DistributedDataParallel wrapper."""
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def all_reduce_sum(values: list[float]) -> list[float]:
    """Sum numbers over all processes."""
    if not dist.is_initialized():
        return values
    tensor = on_backend(torch.tensor(values, dtype=torch.float64))
    dist.all_reduce(tensor)
    return tensor.tolist()


def agree(number: int, op: dist.ReduceOp) -> int:
    """Combine a number over all processes, on their CPUs: through NCCL a GPU would be waited for."""
    tensor = torch.tensor(int(number))
    dist.all_reduce(tensor, op, group=_through_cpus())
    return int(tensor)


def gather_objects(value: Any) -> list[Any]:
    """What each process gives, by rank, in all of them; through their CPUs, as `agree`."""
    if not dist.is_initialized():
        return [value]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, value, group=_through_cpus())
    return found


def gather_in_first(value: Any) -> list[Any]:
    """The same in the first process, and nothing in the others, which must call it too."""
    if not dist.is_initialized():
        return [value]
    found = [None] * dist.get_world_size() if is_master() else None
    dist.gather_object(value, found, group=_through_cpus())
    return found or []


def said_by_first(value: Any) -> Any:
    """What the first process gives, in all of them, which must all call it; through their CPUs."""
    told = [value]
    if dist.is_initialized():
        dist.broadcast_object_list(told, group=_through_cpus())
    return told[0]


def _through_cpus() -> dist.ProcessGroup | None:
    """The group of all processes that uses no GPU: None where that is the one that there is."""
    return _group_of_cpus(dist.group.WORLD) if dist.get_backend() == "nccl" else None


@functools.lru_cache(maxsize=1)
def _group_of_cpus(world: dist.ProcessGroup) -> dist.ProcessGroup:
    """The processes of a group, connected without GPUs; all of them ask for it together the first time."""
    return dist.new_group(backend="gloo")


def on_backend(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor where the processes' backend can send it from: NCCL sends from GPUs only."""
    return tensor.cuda() if dist.get_backend() == "nccl" else tensor


def seed_everything(seed: int, process: int | None = None) -> None:
    """Seed Python, NumPy and PyTorch; every process gets random numbers of its own."""
    seed = (seed * 1009 + (rank() if process is None else process)) % 2**32
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def join_group(
    local_rank: int, local_world_size: int, shard_id: int, num_shards: int, init_method: str, backend: str
) -> None:
    """Join the group of all processes; with gloo as backend no GPU is touched.

    Args:
        local_rank: This process on its machine, from 0.
        local_world_size: Processes on each machine.
        shard_id: This machine, from 0.
        num_shards: Machines.
        init_method: Where the processes meet, such as tcp://localhost:9999.
        backend: "nccl", or "gloo" for CPUs.
    """
    dist.init_process_group(
        backend=backend,
        init_method=init_method,
        world_size=local_world_size * num_shards,
        rank=shard_id * local_world_size + local_rank,
    )


def run_process(
    local_rank: int,
    num_proc: int,
    func: Callable,
    init_method: str,
    shard_id: int,
    num_shards: int,
    backend: str,
    cfg,
) -> None:
    """Body of one process of PySlowFast's own launchers: join the group, call `func(cfg)`, leave.

    Bad input ends the process with status 2 instead of a traceback.
    """
    settle(cfg)
    use_device(local_rank, num_proc)
    join_group(local_rank, num_proc, shard_id, num_shards, init_method, "gloo" if on_cpu() else backend)
    try:
        func(cfg)
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")  # main silences print() in all processes but one
        sys.stderr.flush()
        os._exit(2)
    finally:
        dist.destroy_process_group()


def use_device(local_rank: int, local_world_size: int) -> None:
    """Take this process's GPU, or its share of the cores: left alone, each would take all of them."""
    if on_cpu():
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // local_world_size))
    else:
        torch.cuda.set_device(local_rank)


def train_together(
    model: nn.Module, *, find_unused_parameters: bool = False
) -> nn.parallel.DistributedDataParallel:
    """Wrap a model, on its device, so that the gradients of all processes are averaged in its backward pass.

    They travel in buckets, while the backward pass goes on; they lie in the buckets, which saves as much
    memory as they need. `static_graph` is not promised, because parts of a batch may be accumulated.

    Args:
        model: Its trained weights, those that require gradients now, are the same ones in every process.
        find_unused_parameters: Some get no gradient in some steps; to look for them takes time in each.
    """
    # Of tensors like a CLS token (1, 1, D), whose strides over one element mean nothing.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    device = next(model.parameters()).device
    together = nn.parallel.DistributedDataParallel(
        model,
        device_ids=[device] if device.type == "cuda" else None,
        find_unused_parameters=find_unused_parameters,
        gradient_as_bucket_view=True,
    )
    if not find_unused_parameters:
        _settle_buckets(together)
    return together


def _settle_buckets(together: nn.parallel.DistributedDataParallel) -> None:
    """Let PyTorch fill its buckets anew now, in an order that follows from the weights alone.

    It does so once, after the first backward pass. Three processes or more round a sum by where it lies in a
    bucket: left to its first step, a run that goes on in the middle would have other bits there than one that
    was not stopped.
    """
    weights = [weight for weight in together.module.parameters() if weight.requires_grad]
    together.module.forward = lambda: sum(0 * weight.sum() for weight in weights)
    together().backward()
    del together.module.forward
    together.zero_grad()
