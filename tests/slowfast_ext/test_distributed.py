"""How processes are started on one and on two machines, seen without starting any."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import distributed as dist

from slowfast_ext.distributed import launch_job
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
