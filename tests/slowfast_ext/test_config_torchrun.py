"""What torchrun says of machines and processes wins over a file; a contradiction that is typed stops."""

import pytest
import torch

from slowfast_ext import config
from slowfast_ext.config import adapt_loaded_config, load_config
from slowfast_ext.distributed import world_size
from vtn import InputError


@pytest.fixture
def load(tiny_config, data_dir, tmp_path, monkeypatch):
    """Load the tiny configuration as torchrun's processes do, on a machine with so many GPUs."""

    def run(*overrides: str, processes: int, gpus: int = 0, file: str = "NUM_GPUS: 0"):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        tiny_config.write_text(tiny_config.read_text().replace("NUM_GPUS: 0", file))
        given = ["DATA.PATH_TO_DATA_DIR", str(data_dir), "OUTPUT_DIR", str(tmp_path / "out")]
        batches = ["TRAIN.BATCH_SIZE", "24", "TEST.BATCH_SIZE", "24"]
        machines = {"num_shards": 2, "shard_id": 1, "processes": processes}
        return load_config(tiny_config, [*given, *batches, *overrides], **machines)

    return run


def test_on_the_cpu(load):
    cfg = load(processes=3)
    assert (cfg.NUM_GPUS, cfg.VTN.CPU_PROCESSES, cfg.NUM_SHARDS, cfg.SHARD_ID) == (0, 3, 2, 1)
    assert world_size(cfg) == 6


@pytest.mark.parametrize("file", ["NUM_GPUS: 8", "LOG_MODEL_INFO: True"])
def test_on_gpus_also_if_a_file_has_another_number(load, file):
    cfg = load(processes=2, gpus=4, file=file)
    assert (cfg.NUM_GPUS, world_size(cfg)) == (2, 4)


def test_what_is_typed_may_say_the_same(load):
    assert load("VTN.CPU_PROCESSES", "3", processes=3).VTN.CPU_PROCESSES == 3
    assert load("NUM_GPUS", "2", processes=2, gpus=2).NUM_GPUS == 2


@pytest.mark.parametrize(
    ("typed", "gpus", "said"),
    [
        (
            "VTN.CPU_PROCESSES 2",
            0,
            r"^VTN\.CPU_PROCESSES is 2, but torchrun has started 3 processes on ",
        ),
        ("NUM_GPUS 2", 4, r"^NUM_GPUS is 2, but torchrun .* or give torchrun --nproc_per_node 2$"),
        (
            "LOG_PERIOD 1",
            2,
            r"sees 2 CUDA devices: give torchrun --nproc_per_node 2, or add `NUM_GPUS 0` to",
        ),
        ("NUM_GPUS 3", 0, r"has started 3 processes .* sees 0 CUDA devices: add `NUM_GPUS 0` to the command"),
    ],
)
def test_a_contradiction_stops(typed, gpus, said, load):
    with pytest.raises(InputError, match=said):
        load(*typed.split(), processes=3, gpus=gpus, file="LOG_MODEL_INFO: True" if gpus else "NUM_GPUS: 0")


def test_a_configuration_that_main_has_loaded(load, tiny_config, monkeypatch):
    """main's own scripts, under torchrun."""
    cfg = load(processes=1).clone()
    cfg.defrost()
    for name, value in zip(("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"), "5623", strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "first")
    monkeypatch.setenv("MASTER_PORT", "29500")
    adapt_loaded_config(cfg, tiny_config)
    assert (cfg.VTN.CPU_PROCESSES, cfg.NUM_SHARDS, cfg.SHARD_ID) == (3, 2, 1)
    assert config.torchrun_place().local_rank == 2
