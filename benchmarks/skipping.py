"""What merging tokens and comparing frames cost and save: a ViT-B on frames of 224 x 224 pixels.

    python benchmarks/skipping.py [--frames 32] [--turns 3] [--out benchmarks/results/skipping.json]

Every number of merged tokens is timed in turn, in float32 and under bfloat16 autocast, against none. The
weights are random, so how far features are from those without merging would say nothing about a trained
network and is not told: what merging does to accuracy must be measured on trained ones.
"""

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from common import check_out, write_record
from torch import nn

import vtn
from slowfast_ext.cli import run_safely
from slowfast_ext.flops import count_flops
from vtn.frame_reuse import FrameReuse

_MERGED = (0, 4, 8, 13, 16)
_PRECISIONS = {"float32": False, "bfloat16 autocast": True}


class _Backbone(nn.Module):
    """The ViT of a VTN, without memory; takes a list of inputs, as the counter of FLOPs calls a model."""

    def __init__(self, merge_tokens: int) -> None:
        super().__init__()
        with torch.device("meta"):
            self.vit = vtn.create_model("vtn_vit_b", merge_tokens=merge_tokens).backbone.eval()

    def forward(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        return self.vit(inputs[0])


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def time_backbones(backbones: dict[int, nn.Module], frames: torch.Tensor, turns: int, bf16: bool) -> dict:
    """Seconds for all frames by the number of merged tokens: a list of one for each turn."""
    times: dict[int, list[float]] = {merged: [] for merged in backbones}
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        for backbone in backbones.values():
            backbone([frames[:2]])  # to warm up
        for _ in range(turns):
            for merged, backbone in backbones.items():
                times[merged].append(seconds(lambda backbone=backbone: backbone([frames])))
    return times


def rows_of_merging(times: dict[int, list[float]], gflops: dict[int, float], precision: str) -> list[dict]:
    """A row for each number of merged tokens but none."""
    rows = []
    for merged, ours in times.items():
        if merged == 0:
            continue
        ratios = [theirs / mine for theirs, mine in zip(times[0], ours, strict=True)]
        rows.append(
            {
                "what": f"ViT-B, {merged} tokens merged in each layer, {precision}",
                "against": "none merged",
                "ours": statistics.median(ours),
                "theirs": statistics.median(times[0]),
                "unit": "s",
                "ratio": statistics.median(ratios),
                "better": "higher",
                "target": None,
                "spread": {"theirs / ours": [min(ratios), max(ratios)]},
                "gflops_per_frame": {"ours": gflops[merged], "theirs": gflops[0]},
            }
        )
    return rows


def row_of_comparing(frames: torch.Tensor, encoding: float) -> dict:
    """What it costs to find that all frames differ, beside encoding them in `encoding` seconds."""

    def compare() -> None:
        reuse = FrameReuse(0.01, (0.5,) * 3, Counter())
        for _, new in reuse.changed([frames], begins=[0]):
            assert bool(new.all())

    compare()
    ours = statistics.median(seconds(compare) for _ in range(5))
    row = {"what": "comparing frames that all differ", "against": "encoding them, float32", "unit": "s"}
    row |= {"ours": ours, "theirs": encoding, "ratio": ours / encoding, "better": "lower", "target": None}
    return row


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--turns", type=int, default=3, help="number of times that a median is taken over")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/skipping.json"))
    args = parser.parse_args(argv)
    check_out(args.out)
    torch.manual_seed(0)
    backbones = {merged: _Backbone(merged) for merged in _MERGED}
    frames = torch.randn(args.frames, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    gflops = {merged: count_flops(backbone, [frames[:1]]).total for merged, backbone in backbones.items()}
    weights = vtn.create_model("vtn_vit_b").backbone.state_dict()
    for backbone in backbones.values():
        backbone.vit.load_state_dict(weights, assign=True)
    rows = []
    for precision, bf16 in _PRECISIONS.items():
        times = time_backbones(backbones, frames, args.turns, bf16)
        rows += rows_of_merging(times, gflops, precision)
        if not bf16:
            rows.append(row_of_comparing(frames, statistics.median(times[0])))
    write_record(args.out, rows, argv, "torch", "timm")


if __name__ == "__main__":
    run_safely(main)
