"""What it costs two processes on this machine's CPU to average the gradients of ViT-B-VTN in each step.

    python benchmarks/processes.py

Each takes half of the cores and a clip of two frames, so that a step is short. Steps with and without the
exchange take turns in one run, so the difference is what the backward pass does not hide.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from common import check_out, write_record
from torch import distributed as dist

from slowfast_ext.cli import run_safely
from slowfast_ext.config import load_config
from slowfast_ext.data.frames import Frames
from slowfast_ext.distributed import is_master
from slowfast_ext.engine import train
from slowfast_ext.engine.exchange import count_exchange
from slowfast_ext.engine.learner import Learner, make_learner
from slowfast_ext.engine.tally import Tally
from slowfast_ext.launch import launch_job
from slowfast_ext.models import make_model

_CONFIG = Path(__file__).resolve().parents[1] / "configs" / "Kinetics" / "VTN_ViT_B.yaml"
_PROCESSES, _FRAMES, _SIDE = 2, 2, 224
_KEYS = [
    *"NUM_GPUS 0 VTN.PRETRAINED False ENGINE own DATA.NUM_FRAMES 2".split(),
    *f"VTN.CPU_PROCESSES {_PROCESSES} TRAIN.BATCH_SIZE {_PROCESSES} TEST.BATCH_SIZE {_PROCESSES}".split(),
]
_FOUND = "found.json"


def measure(cfg) -> None:
    """Time steps in each process; the first one writes what it found to OUTPUT_DIR."""
    model = make_model(cfg).train()
    learner, tally = make_learner(model, cfg), Tally(all_processes=False)
    pixels = torch.randint(0, 256, (_FRAMES, _SIDE, _SIDE, 3), dtype=torch.uint8)
    inputs = [Frames((pixels,), torch.arange(_FRAMES)[None]), torch.arange(0, 8 * _FRAMES, 8)[None]]
    label = torch.zeros(1, dtype=torch.long)
    times = {"with": [], "without": []}
    for turn in range(int(cfg.SOLVER.MAX_EPOCH) + 1):
        for which, seconds in times.items():
            took = _step((inputs, label, label), learner, tally, cfg, exchange=which == "with")
            if turn:  # the first one warms up
                seconds.append(took)
    found = count_exchange(model, _PROCESSES)
    if is_master():
        record = {"times": times, "gradient_bytes": found.gradient_bytes, "sent_bytes": found.sent_bytes}
        Path(cfg.OUTPUT_DIR, _FOUND).write_text(json.dumps(record))


def _step(loaded: tuple, learner: Learner, tally: Tally, cfg, *, exchange: bool) -> float:
    """Seconds of a step, which both processes begin together."""
    dist.barrier()
    started = time.perf_counter()
    if exchange:
        train.train_step(loaded, learner, tally, cfg)
    else:
        with learner.model.no_sync():
            train.train_step(loaded, learner, tally, cfg)
    return time.perf_counter() - started


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "processes.json")
    args = parser.parse_args(argv)
    check_out(args.out)
    with tempfile.TemporaryDirectory() as folder:
        keys = [*_KEYS, "SOLVER.MAX_EPOCH", str(args.turns), "OUTPUT_DIR", folder]
        launch_job(load_config(_CONFIG, keys), "tcp://localhost:9999", measure)
        found = json.loads(Path(folder, _FOUND).read_text())
    ours, alone = (statistics.median(found["times"][which]) for which in ("with", "without"))
    row = {"what": f"step of {_PROCESSES} processes, gradients averaged", "against": "the same, not averaged"}
    row |= {
        "ours": ours,
        "theirs": alone,
        "unit": "s",
        "ratio": ours / alone,
        "better": "lower",
        "target": "",
    }
    row |= {name: found[name] for name in ("gradient_bytes", "sent_bytes")}
    row["spread"] = {which: [min(seconds), max(seconds)] for which, seconds in found["times"].items()}
    write_record(args.out, [row], argv, "torch", "timm")


if __name__ == "__main__":
    run_safely(main)
