"""What saving inside an epoch costs a training of ViT-B-VTN here, and what going on from there takes.

    python benchmarks/checkpoint.py

Rounds of a few steps with and without a save at their beginning take turns. Each ends when its file is on
disk, so the difference is all that a save costs: the copy, and what writing in the background takes from
the steps. A save comes every TRAIN.CHECKPOINT_MINUTES. Then the newest file is found, read and filled in.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from common import check_out, write_record

from slowfast_ext.cli import run_safely
from slowfast_ext.config import load_config
from slowfast_ext.data.frames import Frames
from slowfast_ext.distributed import seed_everything, settle
from slowfast_ext.engine import train
from slowfast_ext.engine.learner import make_learner
from slowfast_ext.engine.saving import Saver
from slowfast_ext.engine.start import find_training_source
from slowfast_ext.engine.tally import Tally
from slowfast_ext.engine.validations import Validations
from slowfast_ext.host.places import Place
from slowfast_ext.models import make_model

_CONFIG = Path(__file__).parents[1] / "configs" / "Kinetics" / "VTN_ViT_B.yaml"
_KEYS = "NUM_GPUS 0 ENGINE own VTN.PRETRAINED False TRAIN.BATCH_SIZE 1".split()


def measure(folder: str, turns: int, steps: int) -> tuple[dict[str, list[float]], float, float]:
    """Seconds of rounds with and without a save, seconds until a state is filled, minutes between saves."""
    cfg = load_config(_CONFIG, [*_KEYS, "OUTPUT_DIR", folder])
    settle(cfg)
    seed_everything(0)
    learner = make_learner(make_model(cfg).train(), cfg)
    saver = Saver(cfg, learner, Place(0), Validations(folder), {})
    pixels = torch.randint(256, (cfg.DATA.NUM_FRAMES, 224, 224, 3), dtype=torch.uint8)
    index = torch.arange(cfg.DATA.NUM_FRAMES)[None]
    loaded = [Frames((pixels,), index), index], torch.zeros(1, dtype=torch.long), torch.zeros(1)
    times: dict[str, list[float]] = {"with": [], "without": []}
    for turn in range(1, turns + 2):
        for which, seconds in times.items():
            tally = Tally(all_processes=False)
            started = time.perf_counter()
            if which == "with":
                saver.save_inside(Place(0, turn), {})
            for _ in range(steps):
                train.train_step(loaded, learner, tally, cfg)
            saver.wait()
            if turn > 1:  # the first round warms up
                seconds.append(time.perf_counter() - started)
    saver.close()
    started = time.perf_counter()
    learner.resume(find_training_source(cfg, inside=True))
    return times, time.perf_counter() - started, cfg.TRAIN.CHECKPOINT_MINUTES


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2, help="of a round; writing takes less time than they")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "checkpoint.json")
    args = parser.parse_args(argv)
    check_out(args.out)
    with tempfile.TemporaryDirectory() as folder:
        times, resumed, minutes = measure(folder, args.turns, args.steps)
    cost = statistics.median(a - b for a, b in zip(times["with"], times["without"], strict=True))
    spread = {which: [min(seconds), max(seconds)] for which, seconds in times.items()}
    saving = {
        "what": f"seconds that a save takes from a training, of the {minutes:g} minutes between two",
        "against": "the same steps without a save",
        "ours": cost,
        "theirs": 60 * minutes,
        "unit": "s",
        "ratio": cost / (60 * minutes),
        "better": "lower",
        "target": "<= 0.02",
        "spread": spread,
    }
    resuming = {
        "what": "finding, reading and filling in the newest checkpoint",
        "against": "the 10 s that it may take",
        "ours": resumed,
        "theirs": 10.0,
        "unit": "s",
        "ratio": resumed / 10,
        "better": "lower",
        "target": "<= 1",
    }
    write_record(args.out, [saving, resuming], argv, "torch", "timm")


if __name__ == "__main__":
    run_safely(main)
