"""Whether 8-bit linear layers pay on a CPU: ViT-B-VTN on 16 frames of 224 x 224 pixels.

python benchmarks/int8.py [--frames 16] [--turns 3] [--out benchmarks/results/int8.json]
"""

import argparse
import copy
import statistics
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from common import check_out, write_record
from torch import nn

import vtn
from slowfast_ext.cli import run_safely


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--turns", type=int, default=3, help="number of times that a median is taken over")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/int8.json"))
    args = parser.parse_args(argv)
    check_out(args.out)
    torch.manual_seed(0)
    model = vtn.create_model("vtn_vit_b").eval()
    quantised = copy.deepcopy(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's note that torchao is to follow
        torch.ao.quantization.quantize_dynamic(quantised.backbone, {nn.Linear}, torch.qint8, inplace=True)
    clip = torch.randn(1, 3, args.frames, 224, 224)
    kinds = {"int8": (quantised, False), "float32": (model, False), "bfloat16 autocast": (model, True)}
    times: dict[str, list[float]] = {name: [] for name in kinds}
    logits = {}
    with torch.inference_mode():
        for turn in range(args.turns + 1):  # the first one warms up
            for name, (which, bf16) in kinds.items():
                started = time.perf_counter()
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    logits[name] = which(clip).float()
                if turn:
                    times[name].append(time.perf_counter() - started)
    rows = [row(times, logits, name) for name in ("float32", "bfloat16 autocast")]
    write_record(args.out, rows, argv, "torch", "timm")


def row(times: dict[str, list[float]], logits: dict[str, torch.Tensor], against: str) -> dict:
    """int8 beside another precision; logits differ from float32's by so much at most, and spread so far."""
    ours, theirs, exact = times["int8"], times[against], logits["float32"]
    return {
        "what": "ViT-B-VTN, int8 linear layers in the backbone",
        "against": against,
        "ours": statistics.median(ours),
        "theirs": statistics.median(theirs),
        "unit": "s",
        "ratio": statistics.median(theirs) / statistics.median(ours),
        "better": "higher",
        "target": None,
        "logits_differ": {
            name: float((logits[name] - exact).abs().max()) for name in ("int8", "bfloat16 autocast")
        },
        "logits_deviate": float(exact.std()),
    }


if __name__ == "__main__":
    run_safely(main)
