"""What a training of ViT-B-VTN on Kinetics-400 takes on 1, 8 and 32 GPUs: computed, not measured.

    python benchmarks/scaling.py

No GPU was at hand, so a step's time follows from its multiply-adds, which are counted, and from an assumed
GPU. What the loader needs is measured (results/loader.json), and so is a step on a CPU if it is in
results/train_step.json. What processes exchange is counted. `--tflops 989 --share 0.3` is for another GPU.

Legend: N processes, one for each GPU; B videos of a step in each.

    compute  = 3 B F / (peak share)              F multiply-adds of a forward pass; back is twice that
    exchange = 2 (N - 1) / N bytes / bandwidth   a ring; of the slowest link that it crosses
    step     = the longer of  compute + what of exchange does not fit into the backward pass, 2/3 compute
                         and  B clip / cores     what the loader needs: clip seconds of a core, cores of a GPU
    epoch    = videos / (N B) step
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common import check_out

from slowfast_ext.cli import run_safely
from slowfast_ext.engine.exchange import count_exchange
from slowfast_ext.flops import count_flops, example_inputs, load_on_meta, view_shape
from slowfast_ext.report.tables import Column, to_markdown

_ROOT = Path(__file__).resolve().parents[1]
_RESULTS = Path(__file__).parent / "results"
_CONFIG = _ROOT / "configs" / "Kinetics" / "VTN_ViT_B.yaml"
_KEYS = "VTN.PRETRAINED False".split()
# A pass back computes the gradients of the inputs and those of the weights.
_PASSES, _BACK = 3, 2 / 3
MARKS = "<!-- benchmarks/scaling.py wrote this -->", "<!-- until here -->"
COLUMNS = [
    Column("gpus", "GPUs"),
    Column("batch", "videos in a step of all"),
    Column("compute_s", "compute, s", ".3f"),
    Column("exchange_s", "exchange, s", ".3f"),
    Column("loader_s", "loader, s", ".3f"),
    Column("step_s", "step, s", ".3f"),
    Column("limit", "what it waits for"),
    Column("epoch_hours", "epoch, h", ".2f"),
    Column("training_hours", "training, h", ".1f"),
    Column("gpu_hours", "GPU hours", ".0f"),
    Column("efficiency", "of N times one GPU", ".2f"),
]


@dataclass(frozen=True)
class Assumed:
    """What is taken from data sheets or guessed; every one is an argument of the command.

    Attributes:
        videos: Of the training list.
        val_videos: Of the validation list, each seen whole after every epoch.
        tflops: Peak of a GPU in bfloat16, 1e12 operations per second; a multiply-add is two.
        share: Of the peak that layers reach.
        cores: CPU cores for each GPU.
        inside: Bandwidth of a GPU to the others of its machine, 1e9 bytes per second and direction.
        between: The same of a machine to the others.
        per_machine: GPUs of a machine.
    """

    videos: int = 240_000
    val_videos: int = 20_000
    tflops: float = 312.0
    share: float = 0.4
    cores: int = 12
    inside: float = 300.0
    between: float = 25.0
    per_machine: int = 8


@dataclass(frozen=True)
class Counted:
    """What is counted from the configuration and read from measurements.

    Attributes:
        gflops: Multiply-adds of a training clip, forward, 1e9.
        val_gflops: Of a full video.
        parameters_bytes: Of gradients in a step.
        epochs: Of the configuration.
        batch: Of the configuration.
        clip_seconds, video_seconds: Of one core, to read a clip and a full video.
        cpu_step: Seconds of a step with one clip on the CPU that was measured; None if it was not.
        shown_seconds: By which a step of two processes on a CPU is longer for their exchange.
    """

    gflops: float
    val_gflops: float
    parameters_bytes: int
    epochs: int
    batch: int
    clip_seconds: float
    video_seconds: float
    cpu_step: float | None
    shown_seconds: float | None


def measured(file: str, what: str, results: Path = _RESULTS, side: str = "ours") -> float | None:
    """A figure of the first row of results/FILE whose `what` begins so; None without such a row."""
    path = results / file
    rows = json.loads(path.read_text())["rows"] if path.is_file() else []
    return next((row[side] for row in rows if row["what"].startswith(what)), None)


def count(results: Path = _RESULTS) -> Counted:
    """Count the configuration; read the measurements."""
    cfg, model = load_on_meta(_CONFIG, _KEYS)
    costs = [
        count_flops(model, example_inputs(cfg, *view_shape(cfg, train=train), device="meta")).total
        for train in (True, False)
    ]
    return Counted(
        *costs,
        parameters_bytes=count_exchange(model, 1).gradient_bytes,
        epochs=cfg.SOLVER.MAX_EPOCH,
        batch=cfg.TRAIN.BATCH_SIZE,
        clip_seconds=measured("loader.json", "training clip", results),
        video_seconds=measured("loader.json", "full video, 250 frames", results),
        cpu_step=measured("train_step.json", "step, float32: time", results),
        shown_seconds=_shown_seconds(results),
    )


def _shown_seconds(results: Path) -> float | None:
    steps = [measured("processes.json", "step of 2", results, side) for side in ("ours", "theirs")]
    return None if None in steps else steps[0] - steps[1]


def row_of(gpus: int, batch: int, counted: Counted, assumed: Assumed) -> dict:
    """Times of a step, an epoch and a training.

    Args:
        gpus: N.
        batch: N B.
        counted: Of the configuration.
        assumed: Of the machines.
    """
    rate = assumed.tflops * 1e12 / 2 * assumed.share  # multiply-adds per second
    share = batch / gpus
    compute = _PASSES * share * counted.gflops * 1e9 / rate
    link = assumed.inside if gpus <= assumed.per_machine else assumed.between
    exchange = 2 * (gpus - 1) / gpus * counted.parameters_bytes / (link * 1e9)
    loader = share * counted.clip_seconds / assumed.cores
    shown = max(0.0, exchange - _BACK * compute)
    step = max(compute + shown, loader)
    limit = "loader" if step == loader else "exchange" if shown else "compute"
    epoch = assumed.videos / batch * step
    val = assumed.val_videos / gpus
    val *= max(counted.val_gflops * 1e9 / rate, counted.video_seconds / assumed.cores)
    hours = counted.epochs * (epoch + val) / 3600
    ideal = _PASSES * counted.gflops * 1e9 / rate * assumed.videos / gpus
    return {
        "gpus": gpus,
        "batch": batch,
        "compute_s": compute,
        "exchange_s": exchange,
        "loader_s": loader,
        "step_s": step,
        "limit": limit,
        "epoch_hours": (epoch + val) / 3600,
        "training_hours": hours,
        "gpu_hours": hours * gpus,
        "efficiency": ideal / epoch,
    }


def tables(counted: Counted, assumed: Assumed) -> dict[str, list[dict]]:
    """The paper's batch, as far as it can be divided, and that batch on every GPU."""
    whole = counted.batch
    return {
        f"{whole} videos in a step of all GPUs, as in the paper": [
            row_of(gpus, whole, counted, assumed) for gpus in (1, 8, whole)
        ],
        f"{whole} videos in a step of each GPU": [
            row_of(gpus, gpus * whole, counted, assumed) for gpus in (1, 8, 32)
        ],
    }


def facts(counted: Counted, assumed: Assumed) -> list[str]:
    """What the tables rest on, and where more GPUs stop helping."""
    rate = assumed.tflops * 1e12 / 2 * assumed.share
    clip = _PASSES * counted.gflops * 1e9 / rate
    ring = 2 * counted.parameters_bytes / (assumed.between * 1e9)
    lines = [
        f"Counted: {counted.gflops:.1f} GFLOPs (multiply-adds) for a clip, {counted.val_gflops:,.0f} for a "
        f"full video; {counted.parameters_bytes / 1e6:,.1f} MB of gradients in a step.",
        f"Measured: a core reads a clip in {1e3 * counted.clip_seconds:.1f} ms and a full video in "
        f"{1e3 * counted.video_seconds:.0f} ms (benchmarks/results/loader.json).",
    ]
    if counted.cpu_step:
        hours = assumed.videos * counted.cpu_step / 3600
        lines.append(
            f"Measured: a step with one clip takes {counted.cpu_step:.1f} s on the CPU of "
            f"benchmarks/results/train_step.json, so an epoch there would take {hours:,.0f} h."
        )
    if counted.shown_seconds:
        lines.append(
            "Measured: on the two cores of one CPU two processes take "
            f"{counted.shown_seconds:.1f} s longer for a step if they exchange these gradients by gloo "
            "(benchmarks/processes.py)."
        )
    return [
        *lines,
        f"Assumed: a GPU with {assumed.tflops:g} TFLOP/s in bfloat16, of which layers reach "
        f"{assumed.share:.0%}; {assumed.cores} cores for each; {assumed.inside:g} GB/s between the "
        f"{assumed.per_machine} GPUs of a machine and {assumed.between:g} GB/s between machines; "
        f"{assumed.videos:,} videos to train on and {assumed.val_videos:,} to validate on, whole, after each "
        f"of {counted.epochs} epochs.",
        f"The loader keeps up from {counted.clip_seconds / clip:.1f} cores for each GPU on.",
        "Between machines the exchange fits into the backward pass from "
        f"{ring / (_BACK * clip):.1f} videos in a step of each GPU on; with fewer, more machines help less.",
        f"A step of all GPUs has at least one video in each: with {counted.batch} videos, {counted.batch} "
        "GPUs are the end. More need a larger batch, and another learning rate.",
    ]


def page(counted: Counted, assumed: Assumed) -> str:
    """Tables and facts in Markdown."""
    parts = [f"{title}:\n\n{to_markdown(rows, COLUMNS)}" for title, rows in tables(counted, assumed).items()]
    return "\n".join([*parts, "".join(f"- {line}\n" for line in facts(counted, assumed))])


def put_into(text: str, tables: str, marks: tuple[str, str] = MARKS) -> str:
    """A page with other tables between its marks."""
    before, _, rest = text.partition(marks[0])
    return f"{before}{marks[0]}\n\n{tables}\n{marks[1]}{rest.partition(marks[1])[2]}"


def main(argv: Sequence[str] | None = None) -> None:
    """Compute the tables, print them, and write what they rest on as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in vars(Assumed()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    parser.add_argument("--out", type=Path, default=_RESULTS / "scaling.json")
    parser.add_argument("--page", type=Path, help="put the tables into this page, between its two marks")
    args = vars(parser.parse_args(argv))
    out, into = args.pop("out"), args.pop("page")
    check_out(out)
    counted, assumed = count(), Assumed(**args)
    record = {"counted": vars(counted), "assumed": vars(assumed), "tables": tables(counted, assumed)}
    out.write_text(json.dumps(record, indent=1) + "\n")
    print(page(counted, assumed))
    print(f"Written to {out}")
    if into is not None:
        into.write_text(put_into(into.read_text(), page(counted, assumed)))


if __name__ == "__main__":
    run_safely(main)
