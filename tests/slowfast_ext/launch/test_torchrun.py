"""Processes that torchrun starts, as a user types it."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from launches import TORCHRUN, all_gone, children_of, pid_in
from tiny_runs import ROOT, stats

ALONE = [*TORCHRUN, "--standalone", "--nproc_per_node", "2"]


@pytest.fixture
def torchrun(tiny_config, data_dir):
    """Run tools/run_net.py by torchrun; returns the finished process."""

    def run(out, *overrides: str, before=ALONE, flags=()) -> subprocess.CompletedProcess:
        words = [*before, "tools/run_net.py", "--cfg", str(tiny_config), *flags]
        paths = ["DATA.PATH_TO_DATA_DIR", str(data_dir), "OUTPUT_DIR", str(out)]
        return subprocess.run(
            [*words, *paths, *overrides], capture_output=True, text=True, cwd=ROOT, timeout=600
        )

    return run


@pytest.mark.slow
def test_training_and_test_in_one_command(torchrun, tmp_path):
    """The processes meet twice; the first one alone writes; the log says what they exchange."""
    result = torchrun(tmp_path / "out", "SOLVER.MAX_EPOCH", "1", "TEST.SAVE_RESULTS_PATH", "scores.npz")
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    log = (tmp_path / "out" / "stdout.log").read_text()
    assert "Device: CPU, 2 processes;" in log
    (exchange,) = stats(log, _type="exchange")
    assert exchange["num_processes"] == 2
    assert exchange["gradient_bytes"] == exchange["sent_bytes"] > 100_000  # 2 (N - 1) / N is 1
    with np.load(tmp_path / "out" / "scores.npz") as saved:
        np.testing.assert_allclose(saved["scores"].sum(1), 1, atol=1e-5)
        assert len(saved["scores"]) == 7
    assert result.stdout.count("config: ") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "flags", "said"),
    [
        (["SOLVER.MAX_EPOCH", "0"], [], "error: SOLVER.MAX_EPOCH is 0: it must be at least 1"),
        (["VTN.CPU_PROCESSES", "3"], [], "error: VTN.CPU_PROCESSES is 3, but torchrun has started 2 "),
        ([], ["--num_shards", "2"], "error: --num_shards: torchrun has started this command, and says which"),
        ([], ["--nmu_shards", "2"], "error: unrecognized argument --nmu_shards"),
        (["TRAIN.BATCH_SIZE", "3"], [], "error: TRAIN.BATCH_SIZE is 3: it must be a positive multiple of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_said_once(overrides, flags, said, torchrun, tmp_path):
    result = torchrun(tmp_path / "out", *overrides, flags=flags)
    assert result.returncode == 1  # torchrun's own
    assert result.stderr.count(said) == 1
    assert "exitcode  : 2 " in result.stderr
    assert 'tools/run_net.py", line' not in result.stderr  # a traceback of ours


@pytest.mark.slow
def test_bad_input_within_the_run_is_said_once(start):
    process = start("refuse_alone", before=ALONE, timeout=30)
    out, _ = process.communicate(timeout=120)
    assert out.count("error: train.csv line 3: é is no label") == 1
    assert "exitcode  : 2 " in out
    assert "in refuse_alone" not in out


@pytest.mark.slow
def test_a_fault_is_shown_once(start):
    process = start("fail", before=ALONE, timeout=30)
    out, _ = process.communicate(timeout=120)
    assert out.count("ZeroDivisionError: of the second process\n") == 1
    assert "Connection closed" not in out


@pytest.mark.slow
def test_a_stopped_process_ends_all(start, tmp_path):
    """torchrun itself does not notice it."""
    process = start("hang", before=ALONE, timeout=6)
    pids = [pid_in(tmp_path / f"rank{rank}") for rank in range(2)]
    began = time.monotonic()
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert time.monotonic() - began < 20  # torchrun alone waits 30 s for one that does not end
    assert out.count(f"process id {pids[1]}) gives no sign of life since") == 1
    assert all_gone(pids)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_of_another_machine_is_named_on_both(how, start, tmp_path, free_port):
    both = []
    for node in range(2):
        machines = ["--nnodes", "2", "--node_rank", str(node), "--nproc_per_node", "1"]
        machines += ["--master_addr", "127.0.0.1", "--master_port", str(free_port)]
        both.append(start("rest", before=[*TORCHRUN, *machines], timeout=15))
    pids = [pid_in(tmp_path / f"rank{rank}") for rank in range(2)]
    os.kill(pids[1], how)
    said = both[0].communicate(timeout=120)[0]
    assert "error: rank 1 of 2 " in said
    assert f"process id {pids[1]})" in said
    other = both[1].communicate(timeout=120)[0]
    assert f"process id {pids[1]})" in other or f"(pid: {pids[1]})" in other  # torchrun's own line
    assert all_gone(pids)


@pytest.mark.slow
def test_nothing_outlives_torchrun(start, tmp_path):
    process = start("work_on", before=ALONE, timeout=6)
    pids = [pid_in(tmp_path / f"{what}{rank}") for what in ("rank", "worker") for rank in range(2)]
    process.kill()
    assert all_gone(pids, 10)


def restarted(out: Path, kill_after: str, *words: str) -> list[str]:
    """Kill a process once there is such a checkpoint; returns where torchrun's two starts began."""
    with open(f"{out}.said", "w") as said:
        process = subprocess.Popen(
            [*ALONE, "--max_restarts", "1", "tools/run_net.py", *words], stdout=said, stderr=said, cwd=ROOT
        )
    deadline = time.monotonic() + 120
    while not list((out / "checkpoints").glob(kill_after)) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(children_of(process.pid, "run_net.py")[-1], signal.SIGKILL)
    assert process.wait(300) == 0, Path(f"{out}.said").read_text()[-3000:]
    log = (out / "stdout.log").read_text()
    return [line.partition("Start epoch: ")[2] for line in log.splitlines() if "Start epoch: " in line]


@pytest.mark.slow
def test_a_restart_goes_on_from_the_last_checkpoint(tiny_config, data_dir, tmp_path):
    """The first start is killed after its first epoch; the store still holds what its processes wrote."""
    out = tmp_path / "out"
    paths = ["DATA.PATH_TO_DATA_DIR", str(data_dir), "OUTPUT_DIR", str(out), "SOLVER.MAX_EPOCH", "6"]
    starts = restarted(out, "checkpoint_epoch_00001.pyth", "--cfg", str(tiny_config), *paths)
    assert len(starts) == 2
    assert starts[0] == "1"
    assert int(starts[1].partition(",")[0]) >= 2
    assert (out / "test_results.json").is_file()


@pytest.mark.slow
def test_a_restart_goes_on_inside_an_epoch_with_the_bits_of_no_restart(
    torchrun, tiny_config, data_dir, tmp_path
):
    """A checkpoint at every step; the first start is killed soon after its first one, of 16 in the epoch."""
    data = tmp_path / "data"
    data.mkdir()
    for split, times in (("train", 4), ("val", 1)):
        rows = [f"{data_dir}/{row}" for row in (data_dir / f"{split}.csv").read_text().splitlines()]
        (data / f"{split}.csv").write_text("\n".join(rows * times) + "\n")
    keys = (
        "TRAIN.BATCH_SIZE 2 SOLVER.MAX_EPOCH 1 TEST.ENABLE False TRAIN.CHECKPOINT_MINUTES 0.0000001".split()
    )
    keys += ["DATA.PATH_TO_DATA_DIR", str(data)]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    done = torchrun(whole, *keys)
    assert done.returncode == 0, done.stderr[-3000:]
    starts = restarted(cut, "inside_*.pyth", "--cfg", str(tiny_config), *keys, "OUTPUT_DIR", str(cut))
    assert len(starts) == 2
    assert re.fullmatch(r"1, after ([1-9]|1[0-5]) iterations", starts[1]), starts
    last = "checkpoints/checkpoint_epoch_00001.pyth"
    one, other = (torch.load(out / last, weights_only=True) for out in (whole, cut))
    for name in ("model_state", "optimizer_state"):
        torch.testing.assert_close(other[name], one[name], rtol=0, atol=0)
