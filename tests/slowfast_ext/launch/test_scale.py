"""One training in any number of processes, on one machine or two, started in any way: the same numbers.

Dropout is off, because every process draws its own. The two "machines" meet over the loopback device.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from launches import TORCHRUN
from tiny_runs import NO_DROPOUT, ROOT, TINY, stats
from videos import make_video

from slowfast_ext.host import checkpoint

pytestmark = pytest.mark.slow
VIDEOS = 24
KEYS = [
    *"ENGINE own TRAIN.BATCH_SIZE 12 TEST.BATCH_SIZE 12 SOLVER.MAX_EPOCH 2".split(),
    *"TEST.SAVE_RESULTS_PATH scores.npz".split(),
    *NO_DROPOUT,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """24 videos, of which 23 are tested, so that shares are unequal; and the configuration."""
    folder = tmp_path_factory.mktemp("scale")
    (folder / "tiny.yaml").write_text(TINY)
    rows = []
    for number in range(VIDEOS):
        make_video(folder / f"{number}.mp4", 16 + number, fps=25, size=(64, 48))
        rows.append(f"{number}.mp4 {number % 5}")
    for split, part in (("train", rows), ("val", rows[:11]), ("test", rows[1:])):
        (folder / f"{split}.csv").write_text("\n".join(part) + "\n")
    return folder


def run(folder: Path, out: Path, commands: list[list[str]], *keys: str) -> Path:
    """Run the same command on each machine; the words before and after the script differ."""
    paths = ["DATA.PATH_TO_DATA_DIR", str(folder), "OUTPUT_DIR", str(out)]
    started = []
    for before, flags in commands:
        words = [*before, "tools/run_net.py", "--cfg", str(folder / "tiny.yaml"), *flags]
        words += [*paths, *KEYS, *keys]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        started.append(subprocess.Popen([*words, *paths, *KEYS, *keys], cwd=ROOT, env=environment, **pipes))
    for process in started:
        said, _ = process.communicate(timeout=600)
        assert process.returncode == 0, said[-3000:]
    return out


def ways(port: int) -> dict[str, tuple[list, list[str]]]:
    """What is typed on each machine, and the keys, for each way to start processes."""
    python, there = [sys.executable], f"tcp://127.0.0.1:{port}"
    found = {f"{count} processes": ([(python, [])], ["VTN.CPU_PROCESSES", str(count)]) for count in (2, 3, 4)}
    for count in (2, 3):
        found[f"torchrun, {count}"] = [([*TORCHRUN, "--standalone", "--nproc_per_node", str(count)], [])], []
    found["2 machines of 2"] = (
        [(python, f"--num_shards 2 --shard_id {n} --init_method {there}".split()) for n in range(2)],
        ["VTN.CPU_PROCESSES", "2"],
    )
    nodes = [f"--nnodes 2 --node_rank {n} --nproc_per_node 2 --master_addr 127.0.0.1" for n in range(2)]
    found["torchrun, 2 machines of 2"] = (
        [([*TORCHRUN, *f"{node} --master_port {port}".split()], []) for node in nodes],
        [],
    )
    return found


@pytest.fixture(scope="module")
def alone(folder):
    """The run of one process."""
    return run(folder, folder / "alone", [([sys.executable], [])])


def losses(out: Path) -> list[float]:
    log = (out / "stdout.log").read_text()
    return [line["loss"] for kind in ("train_iter", "train_iter_") for line in stats(log, _type=kind)]


def same_run(found: Path, expected: Path) -> None:
    """Losses, weights, validation and scores of every video."""
    assert len(losses(expected)) == 4  # two epochs of two steps
    assert losses(found) == pytest.approx(losses(expected), abs=2e-5)  # the log has five digits
    weights = [
        torch.load(checkpoint.checkpoint_path(str(out), 2), weights_only=True)["model_state"]
        for out in (found, expected)
    ]
    for name, weight in weights[1].items():
        torch.testing.assert_close(weights[0][name], weight, atol=1e-5, rtol=1e-5, msg=name)
    one, two = (np.load(out / "scores.npz") for out in (found, expected))
    assert one["paths"].tolist() == two["paths"].tolist()
    assert one["scored"].all()
    np.testing.assert_allclose(one["scores"], two["scores"], atol=1e-5)
    for out in (found, expected):
        (line,) = stats((out / "stdout.log").read_text(), split="test_final")
        assert line["num_videos"] == VIDEOS - 1


@pytest.mark.parametrize("way", ways(0))
def test_the_same_losses_weights_and_scores(way, alone, folder, free_port):
    commands, keys = ways(free_port)[way]
    same_run(run(folder, folder / way.replace(" ", "_"), commands, *keys), alone)


def test_losses_are_those_of_the_whole_batch(alone, folder):
    """With half the batch, and so twice the steps, they are others: what is compared above can differ."""
    other = run(folder, folder / "other", [([sys.executable], [])], "TRAIN.BATCH_SIZE", "6")
    assert losses(other)[:2] != pytest.approx(losses(alone)[:2], abs=2e-5)


def test_parts_of_a_batch_change_nothing(alone, folder):
    keys = ["VTN.CPU_PROCESSES", "2", "TRAIN.ACCUMULATE_STEPS", "3"]
    same_run(run(folder, folder / "parts", [([sys.executable], [])], *keys), alone)
