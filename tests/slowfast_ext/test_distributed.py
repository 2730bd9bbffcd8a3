"""Which device a run uses, and that a CPU run leaves GPUs alone."""

from pathlib import Path

import pytest
import torch
from torch import distributed as dist

from slowfast_ext import distributed
from slowfast_ext.config import load_config
from slowfast_ext.distributed import (
    describe_devices,
    device_of,
    gather_in_first,
    gather_objects,
    said_by_first,
)
from slowfast_ext.launch import launch_job
from slowfast_ext.plugin import loops
from vtn import InputError


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


@pytest.mark.parametrize(
    ("ask", "call", "found"),
    [
        (gather_objects, "all_gather_object", ["a"]),
        (gather_in_first, "gather_object", ["a"]),
        (said_by_first, "broadcast_object_list", "a"),
    ],
)
def test_objects_go_through_cpus_where_the_backend_is_nccl(ask, call, found, monkeypatch, tmp_path):
    """One process without a GPU, which says that its backend is NCCL."""
    assert ask("a") == found  # also where there is no group
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", world_size=1, rank=0)
    try:
        original, groups = getattr(dist, call), []

        def noting(*args, group=None):
            groups.append(group)
            return original(*args, group=group)

        monkeypatch.setattr(dist, call, noting)
        assert (ask("a"), groups) == (found, [None])
        monkeypatch.setattr(dist, "get_backend", lambda: "nccl")
        assert (ask("a"), groups[1:]) == (found, [distributed._group_of_cpus(dist.group.WORLD)])
    finally:
        dist.destroy_process_group()
