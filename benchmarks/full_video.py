"""One video from its file to the scores: ViT-B-VTN on the full video, SlowFast-16x8-R101 on 30 views.

    python benchmarks/full_video.py [--videos 1] [--turns 2] [--device cuda]

The videos are those of full_size.py. Every contestant, in a process of its own, reads and classifies each of
them in turn, with random weights, which do not change the time. SlowFast runs twice: in a process of ours,
which keeps the memory that it frees, and in one as PySlowFast leaves it. Beside the ratios stand the rates:
multiply-adds per second as a share of what a product of two square matrices reaches in the same precision.
"""

import argparse
import contextlib
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from common import check_out, in_own_process, matrix_rate, ratio, write_record
from full_size import make_list

from slowfast_ext import distributed
from slowfast_ext.cli import run_safely
from slowfast_ext.compare.measure import TimedModel
from slowfast_ext.compare.rows import ResultRow
from slowfast_ext.config import load_config
from slowfast_ext.flops import load_on_meta
from slowfast_ext.protocols import PROTOCOLS

_ROOT = Path(__file__).resolve().parents[1]
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Contestant:
    """A configuration, a protocol and what is changed.

    Attributes:
        name: For the table.
        config: Name of a file of configs/Kinetics.
        protocol: Of PROTOCOLS.
        precision: TEST.PRECISION.
        keys: More keys and values in turn.
        returns_memory: Whether the process gives freed memory back, which is what glibc does by itself.
    """

    name: str
    config: str
    protocol: str
    precision: str
    keys: tuple[str, ...] = ()
    returns_memory: bool = False

    @property
    def path(self) -> Path:
        """Its configuration."""
        return _ROOT / "configs" / "Kinetics" / f"{self.config}.yaml"

    def overrides(self) -> tuple[str, ...]:
        """Keys and values in turn, without those of the machine and the data."""
        keys = (
            "VTN.PRETRAINED",
            "False",
            "TRAIN.ENABLE",
            "False",
            "TEST.ENABLE",
            "True",
            "TEST.BATCH_SIZE",
            "1",
        )
        return (*keys, *PROTOCOLS[self.protocol], "TEST.PRECISION", self.precision, *self.keys)

    def multiply_adds(self) -> float:
        """Of all views of a video, 1e9, products of attention included."""
        row = ResultRow(self.name, self.protocol, str(self.path))
        row.add_costs(*load_on_meta(self.path, self.overrides()))
        return row.gflops_all


def vtn(precision: str, merged: int = 0) -> Contestant:
    """ViT-B-VTN on the full video; `merged` tokens are merged in each layer."""
    name = f"ViT-B-VTN, {precision}" + (f", {merged} tokens merged a layer" if merged else "")
    keys = ("VTN.MERGE_TOKENS", str(merged)) if merged else ()
    return Contestant(name, "VTN_ViT_B", "full-video", precision, keys)


def slowfast(precision: str, *, in_our_process: bool = True) -> Contestant:
    """SlowFast-16x8-R101 on 30 views."""
    name = f"SlowFast-16x8-R101, {precision}, {'our' if in_our_process else 'a plain'} process"
    config = "SLOWFAST_16x8_R101"
    return Contestant(name, config, "multi-view", precision, returns_memory=not in_our_process)


_PLAIN, _PLAIN_LOW = (slowfast(precision, in_our_process=False) for precision in _DTYPES)
# Ours, theirs, and how many times faster ours should be.
PAIRS = [
    (vtn("float32"), _PLAIN, ">= 2.2"),
    (vtn("bfloat16"), _PLAIN, ">= 5"),
    (vtn("bfloat16"), _PLAIN_LOW, ">= 3"),
    (vtn("bfloat16", 13), _PLAIN, ""),
    (vtn("bfloat16", 16), _PLAIN, ">= 10"),
    (vtn("float32"), slowfast("float32"), ""),
    (vtn("bfloat16"), slowfast("float32"), ""),
    (vtn("bfloat16"), slowfast("bfloat16"), ""),
    (vtn("bfloat16", 16), slowfast("float32"), ""),
]


def make_timed(contestant: Contestant, data: Path, device: str) -> Callable[[int], tuple[float, float]]:
    """A function that gives the milliseconds of reading a video, by its number, and of classifying it."""
    if contestant.returns_memory:
        distributed.keep_freed_memory = lambda: False
    machine = ["NUM_GPUS", "1" if device == "cuda" else "0", "DATA.PATH_TO_DATA_DIR", str(data)]
    machine += ["OUTPUT_DIR", str(data.parent)]
    cfg = load_config(contestant.path, [*contestant.overrides(), *machine])
    distributed.settle(cfg)
    model = TimedModel(cfg)
    model.warm_up(0)

    def milliseconds(video: int) -> tuple[float, float]:
        timed = model.time(video)
        return timed.decode_ms, timed.model_ms

    return milliseconds


def measure(contestants: Sequence[Contestant], data: Path, videos: int, turns: int, device: str) -> dict:
    """Median milliseconds of a video for each contestant, in turn: reading, model, and both."""
    found = {each: [] for each in contestants}
    with contextlib.ExitStack() as stack:
        timed = {
            each: stack.enter_context(in_own_process(make_timed, each, data, device)) for each in contestants
        }
        for turn in range(turns):
            for video in range(videos):
                for each in contestants:
                    reading, model = timed[each](video)
                    found[each].append((reading, model, reading + model))
                    seconds = found[each][-1][-1] / 1000
                    print(f"turn {turn + 1}, video {video + 1}, {each.name}: {seconds:.1f} s", flush=True)
    return {
        each: [statistics.median(part) for part in zip(*times, strict=True)] for each, times in found.items()
    }


def rows_of(medians: dict[Contestant, Sequence[float]], device: str) -> list[dict]:
    """The table: whole path, then the rate of each model."""
    rows = []
    for ours, theirs, target in PAIRS:
        row = {"what": f"{ours.name}: one video", "against": f"{theirs.name}: 30 views of it"}
        row |= {"ours": medians[ours][2] / 1000, "theirs": medians[theirs][2] / 1000, "unit": "s"}
        rows.append(row | ratio(row, inverse=True) | {"better": "higher", "target": target})
    rates = {name: matrix_rate(dtype, device) for name, dtype in _DTYPES.items()}
    for each, (_, model_ms, _) in medians.items():
        rate = each.multiply_adds() / model_ms * 1000
        row = {"what": f"{each.name}: the model alone", "against": f"a matrix product, {each.precision}"}
        row |= {"ours": rate, "theirs": rates[each.precision], "unit": "10^9 multiply-adds/s"}
        rows.append(row | ratio(row) | {"better": "higher", "target": ""})
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print the table, write it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--videos", type=int, default=1)
    add("--turns", type=int, default=2)
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--data", type=Path, default=Path("outputs/full_size/videos"), help="folder for the videos")
    add("--out", type=Path, default=Path(__file__).parent / "results" / "full_video.json")
    args = parser.parse_args(argv)
    check_out(args.out)
    make_list(args.data, args.videos)
    contestants = list(dict.fromkeys(each for pair in PAIRS for each in pair[:2]))
    medians = measure(contestants, args.data.resolve(), args.videos, args.turns, args.device)
    write_record(args.out, rows_of(medians, args.device), argv, "torch", "timm", "av")


if __name__ == "__main__":
    run_safely(main)
