"""One video from its file to the scores: ViT-B-VTN on the full video, SlowFast-16x8-R101 on 30 views.

    python benchmarks/full_video.py [--videos 1] [--turns 2] [--device cuda]

The videos are those of full_size.py. Every contestant reads and classifies each of them in turn, with random
weights, which do not change the time. Beside the ratios stand the rates: multiply-adds per second as a share
of what a product of two square matrices reaches in the same precision on the same machine.
"""

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from common import check_out, matrix_rate, ratio, write_record
from full_size import make_list

from slowfast_ext.cli import run_safely
from slowfast_ext.compare.measure import TimedModel
from slowfast_ext.compare.rows import ResultRow
from slowfast_ext.config import load_config
from slowfast_ext.distributed import settle
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
    """

    name: str
    config: str
    protocol: str
    precision: str
    keys: tuple[str, ...] = ()

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


def slowfast(precision: str) -> Contestant:
    """SlowFast-16x8-R101 on 30 views."""
    return Contestant(f"SlowFast-16x8-R101, {precision}", "SLOWFAST_16x8_R101", "multi-view", precision)


# Ours, theirs, and how many times faster ours should be.
PAIRS = [
    (vtn("float32"), slowfast("float32"), ">= 2.2"),
    (vtn("bfloat16"), slowfast("float32"), ">= 5"),
    (vtn("bfloat16"), slowfast("bfloat16"), ">= 3"),
    (vtn("bfloat16", 8), slowfast("float32"), ""),
    (vtn("bfloat16", 13), slowfast("float32"), ">= 10"),
]


def measure(contestants: Sequence[Contestant], data: Path, videos: int, turns: int, device: str) -> dict:
    """Median milliseconds of a video for each contestant, in turn: reading, model, and both."""
    models = {}
    for each in contestants:
        machine = ["NUM_GPUS", "1" if device == "cuda" else "0", "DATA.PATH_TO_DATA_DIR", str(data)]
        cfg = load_config(each.path, [*each.overrides(), *machine, "OUTPUT_DIR", str(data.parent)])
        settle(cfg)
        models[each] = TimedModel(cfg)
        models[each].warm_up(0)
    found = {each: [] for each in contestants}
    for turn in range(turns):
        for video in range(videos):
            for each, model in models.items():
                timed = model.time(video)
                found[each].append((timed.decode_ms, timed.model_ms, timed.decode_ms + timed.model_ms))
                print(f"turn {turn + 1}, video {video + 1}, {each.name}: {found[each][-1][-1] / 1000:.1f} s")
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
