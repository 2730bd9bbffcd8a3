"""The temporal encoder against Hugging Face's LongformerModel: same weights, same features, time and memory.

    python benchmarks/temporal_encoder.py

Times alternate between the two in one process, after their outputs were compared; each peak of memory is of a
process of its own, over what that process held before. Prints a table, and writes it as JSON.
"""

import argparse
import gc
import math
import statistics
import time
from pathlib import Path

import torch
from common import (
    COLUMNS,
    check_out,
    divide,
    forget_peak,
    in_new_process,
    peak_mib,
    resident_mib,
    write_record,
)
from torch import nn
from transformers.utils import logging

from slowfast_ext.cli import run_safely
from slowfast_ext.report.tables import to_markdown
from vtn.authors_names import to_authors_names
from vtn.errors import InputError
from vtn.sequence_encoder import SequenceEncoder
from vtn.temporal_encoder import TemporalEncoder

# The paper's ViT-B-VTN; 90,000 features are one hour at 25 frames per second.
SIZE = {
    "num_heads": 12,
    "ffn_dim": 3072,
    "max_position_embeddings": 288,
    "attention_dropout": 0.1,
    "hidden_dropout": 0.1,
}
WIDTH, WINDOW = 768, 32
NUM_FEATURES = (250, 2_000, 20_000, 90_000)
PASSES = ("forward", "forward+backward")
NUM_TURNS, MIN_SECONDS = 3, 0.5


def build(num_layers: int, device: str) -> dict[str, nn.Module]:
    """Both encoders in evaluation mode with the same random weights; bfloat16 on a GPU."""
    logging.set_verbosity_error()  # it says once in each process that it pads
    torch.manual_seed(0)
    size = SIZE | {"num_layers": num_layers, "attention_window": [WINDOW] * num_layers}
    ours = TemporalEncoder(WIDTH, position_embedding="learned", **size)
    theirs = SequenceEncoder("longformer", WIDTH, **size)
    state = {f"temporal_encoder.{name}": value for name, value in ours.state_dict().items()}
    prefix = "temporal_encoder."
    theirs.model.load_state_dict({n.removeprefix(prefix): v for n, v in to_authors_names(state).items()})
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    return {name: model.to(device, dtype).eval() for name, model in (("ours", ours), ("theirs", theirs))}


def one_pass(model: nn.Module, tokens: torch.Tensor, kind: str) -> torch.Tensor:
    """The state of CLS; with "forward+backward" gradients of weights and tokens are computed too."""
    frame_indices = torch.arange(tokens.shape[1] - 1, device=tokens.device)[None]
    if kind == "forward":
        with torch.no_grad():
            return model(tokens, frame_indices)[0]
    tokens = tokens.detach().requires_grad_()
    state = model(tokens, frame_indices)[0]
    state.float().square().sum().backward()
    model.zero_grad()
    return state.detach()


def example_tokens(num_features: int, device: str) -> torch.Tensor:
    """(1, 1 + T, D)."""
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    return torch.randn(1, 1 + num_features, WIDTH, generator=torch.Generator().manual_seed(1)).to(
        device, dtype
    )


def measure_times(num_layers: int, num_features: int, kind: str, device: str, names: list[str]) -> dict:
    """Seconds of a pass, ours and theirs in turn, and the largest difference between their outputs.

    A turn is as many passes as take MIN_SECONDS, so that a short one is not timed by itself.
    """
    models, tokens = build(num_layers, device), example_tokens(num_features, device)
    states = {name: one_pass(models[name], tokens, kind) for name in names}  # warms up too
    difference = (states["ours"] - states["theirs"]).abs().max().item() if len(names) == 2 else None

    def seconds(name: str, passes: int) -> float:
        gc.collect()
        started = time.perf_counter()
        for _ in range(passes):
            one_pass(models[name], tokens, kind)
        if device != "cpu":
            torch.cuda.synchronize()
        return (time.perf_counter() - started) / passes

    passes = {name: max(1, math.ceil(MIN_SECONDS / seconds(name, 1))) for name in names}
    turns: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(NUM_TURNS if num_features < max(NUM_FEATURES) else 1):
        for name in names:
            turns[name].append(seconds(name, passes[name]))
    return {"seconds": turns, "difference": difference}


def measure_memory(num_layers: int, num_features: int, kind: str, device: str, name: str) -> float:
    """Peak MiB of one pass, beyond what was held before it."""
    model, tokens = build(num_layers, device)[name], example_tokens(num_features, device)
    one_pass(model, tokens[:, :3], kind)  # what libraries allocate once does not count
    gc.collect()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        one_pass(model, tokens, kind)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    forget_peak()
    before = resident_mib()
    one_pass(model, tokens, kind)
    return peak_mib() - before


def compare(num_layers: int, num_features: int, kind: str, device: str) -> list[dict]:
    """The two rows, time and memory, of one case."""
    case = (num_layers, num_features, kind, device)
    memory = {name: in_new_process(measure_memory, *case, name) for name in ("ours", "theirs")}
    names = [name for name, peak in memory.items() if peak is not None]
    times = in_new_process(measure_times, *case, names) or {"seconds": {}, "difference": None}
    median = {name: statistics.median(values) for name, values in times["seconds"].items()}
    what = f"{num_layers} layer{'s' * (num_layers > 1)}, {kind}, {num_features:,} features"
    common = {"against": "transformers LongformerModel", "better": "lower"}
    rows = [{"what": f"{what}: time", **common, "unit": "s"}, {"what": f"{what}: peak memory", **common}]
    rows[1]["unit"] = "MiB"
    for row, numbers in zip(rows, (median, memory), strict=True):
        row["ours"], row["theirs"] = numbers.get("ours"), numbers.get("theirs")
    rows[0]["ratio"] = divide(rows[0]["theirs"], rows[0]["ours"])
    rows[1]["ratio"] = divide(rows[1]["ours"], rows[1]["theirs"])
    rows[0]["target"], rows[1]["target"] = targets(num_layers, num_features, kind, device)
    rows[0]["spread"] = {name: [min(v), max(v)] for name, v in times["seconds"].items()}
    rows[0]["largest_difference_of_outputs"] = times["difference"]
    if memory["theirs"] is None:
        for row in rows:
            row["note"] = "theirs does not fit into the memory of this machine"
    return rows


def targets(num_layers: int, num_features: int, kind: str, device: str) -> tuple[str, str]:
    """Targets for the ratios of time and of memory; only a forward pass on a CPU has any."""
    if kind != "forward" or device != "cpu" or num_layers not in (1, 3):
        return "", ""
    long = num_features >= 2_000
    speed = (">= 50" if long else "") if num_layers == 1 else (">= 1.5" if long else ">= 1")
    return speed, "<= 0.333" if num_features == 20_000 else ""


def growth_rows(rows: list[dict], layers: list[int]) -> list[dict]:
    """How our peak of memory grows between the two longest videos, where both were measured."""
    short, long = NUM_FEATURES[-2:]
    peaks = {row["what"]: row["ours"] for row in rows if row["unit"] == "MiB"}
    grown = []
    for num_layers in layers:
        prefix = f"{num_layers} layer{'s' * (num_layers > 1)}, forward"
        ours = divide(*(peaks.get(f"{prefix}, {n:,} features: peak memory") for n in (long, short)))
        if ours is not None:
            row = {
                "what": f"{prefix}: growth of peak memory from {short:,} to {long:,} features",
                "against": "growth of the number of features",
                "ours": ours,
                "theirs": long / short,
                "unit": "times",
                "ratio": ours / (long / short),
                "better": "lower",
                "target": "<= 1.1",
            }
            grown.append(row)
    return grown


def main(argv: list[str] | None = None) -> None:
    """Measure every case, print as it goes, write JSON at the end."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="cuda measures in bfloat16")
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--features", type=int, nargs="+", default=list(NUM_FEATURES))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/temporal_encoder.json"))
    args = parser.parse_args(argv)
    if args.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch sees no CUDA device")
    check_out(args.out)
    rows = []
    for kind in PASSES:
        for num_layers in args.layers:
            for num_features in args.features:
                rows += compare(num_layers, num_features, kind, args.device)
                print("".join(to_markdown(rows[-2:], COLUMNS).splitlines(True)[2:]), end="", flush=True)
    rows += growth_rows(rows, args.layers)
    write_record(args.out, rows, argv, "torch", "transformers")


if __name__ == "__main__":
    run_safely(main)
