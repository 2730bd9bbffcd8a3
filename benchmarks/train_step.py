"""A training step of ViT-B-VTN, full size: ours against the arrangement of the authors' release.

    python benchmarks/train_step.py [--device cuda] [--compile]

Theirs is built here from public parts: timm's ViT, transformers' LongformerModel over [CLS], all frames and
padding, the release's head, float32 throughout. Both get one clip of 16 frames, of 224 x 224 pixels, and do a
forward and a backward pass and a step of SGD, in turn, each in a process of its own.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from common import (
    COLUMNS,
    check_out,
    divide,
    forget_peak,
    in_new_process,
    in_own_process,
    in_turn,
    matrix_rate,
    peak_mib,
    resident_mib,
    write_record,
)
from torch import nn
from transformers import LongformerConfig, LongformerModel
from transformers.utils import logging

from slowfast_ext.cli import run_safely
from slowfast_ext.config import load_config
from slowfast_ext.data.frames import Frames
from slowfast_ext.distributed import settle
from slowfast_ext.engine.compilation import compile_parts
from slowfast_ext.engine.learner import make_learner
from slowfast_ext.engine.tally import Tally
from slowfast_ext.engine.train import train_step
from slowfast_ext.flops import count_flops, example_inputs, load_on_meta
from slowfast_ext.models import make_model
from slowfast_ext.report.tables import to_markdown
from vtn.errors import InputError

_CONFIG = Path(__file__).resolve().parents[1] / "configs" / "Kinetics" / "VTN_ViT_B.yaml"
_KEYS = "VTN.PRETRAINED False TRAIN.BATCH_SIZE 1 TEST.BATCH_SIZE 1".split()
FRAMES, SIDE, WIDTH, CLASSES, WINDOW = 16, 224, 768, 400, 32
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# A step back costs twice a pass forward: gradients of the inputs, and of the weights.
_PASSES = 3


class AuthorsArrangement(nn.Module):
    """What the release computes: every token through every layer, none of it left out."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = timm.create_model("vit_base_patch16_224", num_classes=0)
        self.cls_token = nn.Parameter(torch.randn(1, 1, WIDTH))
        size = {"hidden_size": WIDTH, "intermediate_size": 3072, "num_attention_heads": 12}
        positions = {"max_position_embeddings": 288, "pad_token_id": 287, "vocab_size": 288}
        config = LongformerConfig(
            num_hidden_layers=3, attention_window=[WINDOW] * 3, type_vocab_size=2, **size, **positions
        )
        self.encoder = LongformerModel(config, add_pooling_layer=False)
        layers = [nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Dropout(0.5)]
        self.head = nn.Sequential(*layers, nn.Linear(WIDTH, CLASSES))

    def forward(self, clip: torch.Tensor, frame_indices: torch.Tensor) -> torch.Tensor:
        """Logits (B, K) of clips (B, 3, T, H, W)."""
        batch, frames = frame_indices.shape
        features = self.backbone(clip.transpose(1, 2).flatten(0, 1)).view(batch, frames, -1)
        tokens = torch.cat([self.cls_token.expand(batch, -1, -1), features], dim=1)
        padding = -tokens.shape[1] % WINDOW
        tokens = nn.functional.pad(tokens, (0, 0, 0, padding))
        mask = torch.ones(tokens.shape[:2], device=tokens.device)
        mask[:, 1 + frames :] = 0
        everywhere = torch.zeros_like(mask)
        everywhere[:, 0] = 1
        positions = nn.functional.pad(frame_indices % 286, (1, padding), value=286)
        states = self.encoder(
            inputs_embeds=tokens,
            attention_mask=mask,
            global_attention_mask=everywhere,
            position_ids=positions,
        )
        return self.head(states.last_hidden_state[:, 0])


def make_theirs(device: str) -> Callable[[], None]:
    """A step of the authors' arrangement on a normalised float clip; the loss is read in every step."""
    logging.set_verbosity_error()  # it says once in each process that it pads
    model = AuthorsArrangement().to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)
    clip = torch.randn(1, 3, FRAMES, SIDE, SIDE)
    frame_indices, labels = torch.arange(0, 8 * FRAMES, 8)[None], torch.zeros(1, dtype=torch.long)

    def step() -> None:
        logits = model(clip.to(device), frame_indices.to(device))
        loss = nn.functional.cross_entropy(logits, labels.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def make_ours(precision: str, device: str, compiled: bool) -> Callable[[], None]:
    """The step of our loops on a batch as the loader gives it."""
    keys = ["TRAIN.PRECISION", precision, "VTN.COMPILE", str(compiled), "OUTPUT_DIR", "outputs"]
    cfg = load_config(_CONFIG, [*_KEYS, *keys, "NUM_GPUS", "1" if device == "cuda" else "0"])
    settle(cfg)
    model = make_model(cfg).train()
    learner, tally = make_learner(model, cfg), Tally(all_processes=True)
    compile_parts(model, cfg)
    pixels = torch.randint(0, 256, (FRAMES, SIDE, SIDE, 3), dtype=torch.uint8)
    frames = Frames((pixels,), torch.arange(FRAMES)[None])
    inputs = [frames, torch.arange(0, 8 * FRAMES, 8)[None]]
    loaded = (inputs, torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long))

    def step() -> None:
        train_step(loaded, learner, tally, cfg)
        for _ in tally.read():  # waits until a GPU has done it
            pass

    return step


def _make(which: str, precision: str, device: str, compiled: bool) -> Callable[[], None]:
    return make_theirs(device) if which == "theirs" else make_ours(precision, device, compiled)


def make_timed(*what: Any) -> Callable[[], float]:
    """A function that does a step and returns its seconds."""
    step = _make(*what)

    def seconds() -> float:
        started = time.perf_counter()
        step()
        return time.perf_counter() - started

    return seconds


def measure_times(precision: str, device: str, compiled: bool, turns: int) -> dict:
    """Seconds of a step, ours and theirs in turn."""
    how = precision, device, compiled
    with (
        in_own_process(make_timed, "ours", *how) as ours,
        in_own_process(make_timed, "theirs", *how) as theirs,
    ):
        return in_turn(ours, theirs, turns)


def measure_memory(which: str, precision: str, device: str, compiled: bool) -> float:
    """Peak MiB of a process in its second step, weights, gradients and momenta included."""
    if device == "cpu":
        before = resident_mib()  # with the libraries, without a model
    step = _make(which, precision, device, compiled)
    step()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        step()
        return torch.cuda.max_memory_allocated() / 2**20
    forget_peak()
    step()
    return peak_mib() - before


def multiply_adds() -> float:
    """Of a step, 1e9: one pass forward and what goes back."""
    cfg, model = load_on_meta(_CONFIG, _KEYS)
    return _PASSES * count_flops(model, example_inputs(cfg, FRAMES, SIDE, device="meta")).total


def rows_for(precision: str, device: str, compiled: bool, turns: int) -> list[dict]:
    """Time, memory and rate in one precision."""
    what = f"{precision}{', compiled' if compiled else ''}"
    times = measure_times(precision, device, compiled, turns)
    peaks = [
        in_new_process(measure_memory, which, precision, device, compiled) for which in ("ours", "theirs")
    ]
    rate = multiply_adds() / times["ours"]
    fastest = matrix_rate(DTYPES[precision], device)
    theirs = {"against": "timm's ViT and transformers' Longformer, float32"}
    time_row = {"what": f"step, {what}: time", **theirs, **times, "unit": "s", "better": "higher"}
    memory = {"what": f"step, {what}: peak memory", **theirs, "ours": peaks[0], "theirs": peaks[1]}
    share = {"what": f"step, {what}: rate", "against": f"a matrix product, {precision}"}
    goals = {("float32", "cpu"): ">= 1.0", ("bfloat16", "cpu"): ">= 1.9", ("bfloat16", "cuda"): ">= 4"}
    time_row |= {"ratio": times["theirs"] / times["ours"], "target": goals.get((precision, device), "")}
    memory |= {"unit": "MiB", "ratio": divide(*peaks), "better": "lower", "target": "<= 0.8"}
    share |= {"ours": rate, "theirs": fastest, "unit": "10^9 multiply-adds/s", "ratio": rate / fastest}
    share |= {"better": "higher", "target": ">= 0.45" if device == "cuda" else ""}
    return [time_row, memory, share]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure every precision, print as it goes, write JSON at the end."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--device", default="cpu", choices=("cpu", "cuda"))
    add("--compile", action="store_true", help="compile our backbone and temporal encoder")
    add("--precisions", nargs="+", default=list(DTYPES), choices=list(DTYPES))
    add("--turns", type=int, default=3)
    add("--out", type=Path, default=Path(__file__).parent / "results" / "train_step.json")
    args = parser.parse_args(argv)
    if args.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch sees no CUDA device")
    check_out(args.out)
    rows = []
    for precision in args.precisions:
        rows += rows_for(precision, args.device, args.compile, args.turns)
        print("".join(to_markdown(rows[-3:], COLUMNS).splitlines(True)[2:]), end="", flush=True)
    write_record(args.out, rows, argv, "torch", "timm", "transformers")


if __name__ == "__main__":
    run_safely(main)
