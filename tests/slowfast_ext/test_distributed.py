"""How processes are started on one and on two machines, seen without starting any."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import distributed as dist

from slowfast_ext import distributed
from slowfast_ext.config import load_config
from slowfast_ext.distributed import describe_devices, device_of, launch_job
from slowfast_ext.plugin import loops
from vtn import InputError


@pytest.fixture
def launch(tiny_cfg, tmp_path, monkeypatch) -> Callable[..., list[dict]]:
    """Launch a job; its processes follow one another in this one. Returns what each joins a group with.

    The meeting place is a file, of which each process notes under "stale" whether it is there.
    """
    joined: list[dict] = []
    meet = tmp_path / "meet"

    def spawn(function, nprocs, args) -> None:
        for local_rank in range(nprocs):
            function(local_rank, *args)

    monkeypatch.setattr(torch.multiprocessing, "spawn", spawn)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    monkeypatch.setattr(
        dist, "init_process_group", lambda **group: joined.append(group | {"stale": meet.exists()})
    )
    monkeypatch.setattr(dist, "destroy_process_group", lambda: None)

    def run(num_shards: int, shard_id: int, processes: int, *, left_behind: bool = False) -> list[dict]:
        joined.clear()
        if left_behind:
            meet.write_bytes(b"of processes that are gone")
        cfg = tiny_cfg("VTN.CPU_PROCESSES", str(processes), "TRAIN.BATCH_SIZE", "6").clone()
        cfg.defrost()
        cfg.NUM_SHARDS, cfg.SHARD_ID = num_shards, shard_id
        launch_job(cfg, f"file://{meet}", lambda cfg: None)
        return list(joined)

    return run


@pytest.mark.parametrize(("num_shards", "processes"), [(1, 3), (2, 1), (2, 3), (3, 2)])
def test_all_processes_of_all_machines_have_a_rank_of_their_own(num_shards, processes, launch):
    groups = [group for shard in range(num_shards) for group in launch(num_shards, shard, processes)]
    assert [group["rank"] for group in groups] == list(range(num_shards * processes))
    assert {group["world_size"] for group in groups} == {num_shards * processes}
    assert {group["backend"] for group in groups} == {"gloo"}


def test_a_meeting_place_of_processes_that_are_gone_is_removed(launch):
    assert [group["stale"] for group in launch(1, 0, 2, left_behind=True)] == [False, False]


def test_a_meeting_place_of_other_machines_is_kept(launch):
    """The other machine may have come first."""
    assert [group["stale"] for group in launch(2, 1, 1, left_behind=True)] == [True]


def test_a_single_process_joins_no_group(launch, tmp_path):
    assert launch(1, 0, 1) == []
    assert not Path(tmp_path / "meet").exists()


def test_the_sentence_of_a_process_wins_over_what_it_does_to_the_others(tiny_cfg, monkeypatch):
    """Where one fails on bad input, another loses its connection, and either may be noticed first."""
    multiprocessing = torch.multiprocessing

    def spawn(function, nprocs, args) -> None:
        Path(args[-1]).write_text("train.csv line 3: é is no label", encoding="utf-8")
        raise multiprocessing.ProcessRaisedException("Connection closed by peer", 1, 123)

    monkeypatch.setattr(multiprocessing, "spawn", spawn)
    with pytest.raises(InputError, match=r"^train\.csv line 3: é is no label$"):
        launch_job(tiny_cfg("VTN.CPU_PROCESSES", "2"), "tcp://localhost:1", lambda cfg: None)


def test_a_fault_in_a_process_is_told_as_it_is(tiny_cfg, monkeypatch):
    multiprocessing = torch.multiprocessing

    def spawn(function, nprocs, args) -> None:
        raise multiprocessing.ProcessRaisedException("ZeroDivisionError", 1, 123)

    monkeypatch.setattr(multiprocessing, "spawn", spawn)
    with pytest.raises(multiprocessing.ProcessRaisedException, match="ZeroDivisionError"):
        launch_job(tiny_cfg("VTN.CPU_PROCESSES", "2"), "tcp://localhost:1", lambda cfg: None)


@pytest.fixture
def a_gpu(monkeypatch) -> list[str]:
    """A machine with GPUs on which every use of one is noted, and fails."""
    touched: list[str] = []

    def touch(*args, **kwargs):
        touched.append("a GPU was touched")
        raise RuntimeError("a GPU was touched")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "_lazy_init", touch)
    return touched


def test_num_gpus_0_never_touches_a_gpu(a_gpu, tiny_cfg, tmp_path):
    cfg = tiny_cfg("NUM_GPUS", "0", "DATA_LOADER.PIN_MEMORY", "True", "SOLVER.MAX_EPOCH", "1")
    with pytest.raises(RuntimeError, match="a GPU was touched"):
        torch.cuda.current_device()
    a_gpu.clear()
    for run in (loops.train, loops.test):
        launch_job(cfg, "tcp://localhost:1", run)
    assert not a_gpu
    assert (Path(cfg.OUTPUT_DIR) / "test_results.json").is_file()
    first = (Path(cfg.OUTPUT_DIR) / "stdout.log").read_text().splitlines()[0]
    assert first.endswith("Device: CPU, 1 process; NUM_GPUS is 0")


def test_num_gpus_left_out_is_all_that_are_visible(tiny_config, data_dir, tmp_path, monkeypatch):
    text = tiny_config.read_text()
    tiny_config.write_text("".join(line for line in text.splitlines(True) if "NUM_GPUS" not in line))
    given = ["DATA.PATH_TO_DATA_DIR", str(data_dir), "OUTPUT_DIR", str(tmp_path / "out")]
    given += "TRAIN.BATCH_SIZE 12 TEST.BATCH_SIZE 12".split()
    for available, count, found in ((False, 0, 0), (True, 1, 1), (True, 3, 3)):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        assert found == load_config(tiny_config, given).NUM_GPUS
        assert load_config(tiny_config, [*given, "NUM_GPUS", "0"]).NUM_GPUS == 0
    with pytest.raises(InputError, match="NUM_GPUS is 4 but PyTorch sees 3 CUDA devices"):
        load_config(tiny_config, [*given, "NUM_GPUS", "4"])


def test_the_device_is_said(tiny_cfg, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert describe_devices(tiny_cfg()) == "Device: CPU, 1 process; PyTorch sees no GPU"
    cfg = tiny_cfg().clone()
    cfg.defrost()
    cfg.NUM_GPUS, cfg.NUM_SHARDS = 2, 3
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "H200")
    said = "Device: GPU (H200), 6 processes on 3 machines; NUM_GPUS is 2, PyTorch sees 8 here"
    assert describe_devices(cfg) == said
    assert str(device_of(cfg)) == "cuda:1"
    monkeypatch.setattr(distributed, "_on_cpu", True)  # as in the processes of a CPU run
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    assert str(device_of(cfg)) == "cpu"
