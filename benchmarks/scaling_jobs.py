"""What preparing and predicting Kinetics and more take on many cores: computed from what was measured.

    python benchmarks/scaling_jobs.py --page docs/scaling.md

Measured are what a core takes for a video of 10 s (results/video_costs.json, results/explain.json), and what
dividing a list, sharing the work and writing the output take for each video (results/scale_out.json). A GPU
is assumed, as in benchmarks/scaling.py.

Legend: V videos, N processes, c seconds of a core for a video.

    time = V divide + V (c + share) / N + V c / 4096 + V output

One process divides the list and one writes the output. The third part is what the last bucket may take when
all others are done.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common import check_out
from scaling import Assumed, count, measured, put_into

from slowfast_ext.cli import run_safely
from slowfast_ext.jobs.names import BUCKETS
from slowfast_ext.report.tables import Column, to_markdown
from vtn.errors import InputError

_RESULTS = Path(__file__).parent / "results"
MARKS = "<!-- benchmarks/scaling_jobs.py wrote this -->", "<!-- until here, jobs -->"
DATASETS = {"Kinetics-400": 260_000, "Kinetics-700": 650_000, "10^8 videos": 10**8}
PROCESSES = (64, 512, BUCKETS)
_MEASURED = (
    ("verify quick, 340x256", "check, quick"),
    ("verify full, 340x256", "check, every frame"),
    ("verify full, 1280x720", "check, every frame, 1280x720"),
    ("copy with a short side of 256, 1280x720", "copy 1280x720 to a short side of 256"),
)
_PREDICT = "predict, ViT-B-VTN, 250 frames"
COSTS = [
    Column("work", "work"),
    Column("seconds", "s of a core for a video", ".3g"),
    *(Column(name, f"{name}, core hours", ",.0f") for name in DATASETS),
]
TIMES = [
    Column("videos", "videos"),
    Column("work", "work"),
    *(Column(f"hours {number}", f"hours, {number:,} processes", ",.2f") for number in PROCESSES),
    Column("share", f"of it work, {PROCESSES[-1]:,} processes", ".0%"),
    Column("half", "processes at which half of the time is work", ",.0f"),
]


@dataclass(frozen=True)
class Coordination:
    """What one video takes beside the work, in seconds.

    Attributes:
        divide: Of the process that divides the list.
        share: Of the process that does the video: claims, rows, records.
        output: Of the process that writes the output.
    """

    divide: float
    share: float
    output: float


def costs(results: Path = _RESULTS) -> dict[str, float]:
    """Seconds of a core for a video, of each kind of work."""
    found = {name: measured("video_costs.json", what, results) for what, name in _MEASURED}
    found[_PREDICT] = measured("explain.json", "what the page adds", results, "theirs")
    if None in found.values():
        raise InputError(f"{results} lacks figures: run benchmarks/video_costs.py and explain.py")
    return found


def coordination(results: Path = _RESULTS) -> Coordination:
    """From results/scale_out.json.

    Raises:
        InputError: If it is not there, or has no such rows.
    """
    found = [measured("scale_out.json", what, results) for what in ("dividing", "work of two", "output")]
    if None in found:
        raise InputError(f"{results / 'scale_out.json'} lacks figures: run benchmarks/scale_out.py")
    return Coordination(found[0], 2 * found[1], found[2])


def hours(videos: int, processes: int, seconds: float, beside: Coordination) -> float:
    """Hours until the output is written.

    Args:
        videos: V.
        processes: N; more than BUCKETS have nothing to do.
        seconds: c.
        beside: What coordination takes.
    """
    share = (seconds + beside.share) / min(processes, BUCKETS)
    return videos * (_alone(seconds, beside) + share) / 3600


def _alone(seconds: float, beside: Coordination) -> float:
    """What one process does while others wait, for a video."""
    return beside.divide + beside.output + seconds / BUCKETS


def half_of(seconds: float, beside: Coordination) -> float:
    """The number of processes at which as much time passes beside their work as in it."""
    return max(0.0, seconds - beside.share) / _alone(seconds, beside)


def tables(costs: dict[str, float], beside: Coordination) -> tuple[list[dict], list[dict]]:
    """Core hours of the work alone; and hours on some numbers of processes."""
    work = [
        {"work": name, "seconds": seconds}
        | {dataset: videos * seconds / 3600 for dataset, videos in DATASETS.items()}
        for name, seconds in costs.items()
    ]
    times = []
    for dataset, videos in DATASETS.items():
        for name, seconds in costs.items():
            row = {"videos": dataset, "work": name, "half": half_of(seconds, beside)}
            row |= {f"hours {number}": hours(videos, number, seconds, beside) for number in PROCESSES}
            most = PROCESSES[-1]
            row["share"] = videos * seconds / most / 3600 / row[f"hours {most}"]
            times.append(row)
    return work, times


def facts(costs: dict[str, float], beside: Coordination, assumed: Assumed) -> list[str]:
    """What the tables rest on, and where more processes stop helping."""
    counted = count()
    rate = assumed.tflops * 1e12 / 2 * assumed.share
    gpu = counted.val_gflops * 1e9 / rate
    videos = DATASETS["10^8 videos"]
    return [
        f"Measured for each video beside the work: {1e6 * beside.divide:.0f} µs to divide the list, "
        f"{1e6 * beside.share:.0f} µs to claim, write and record, {1e6 * beside.output:.0f} µs to write the "
        "output, with rows of 4,400 bytes on a local disk (benchmarks/results/scale_out.json).",
        f"So a list of 10^8 takes {videos * beside.divide / 3600:.1f} h to be divided and "
        f"{videos * beside.output / 3600:.1f} h to be written, by one process each, whatever the others do.",
        f"A list has {BUCKETS:,} buckets, and one process does a bucket: more processes than that find "
        "nothing to do.",
        f"Assumed, not measured: on a GPU with {assumed.tflops:g} TFLOP/s in bfloat16, of which layers reach "
        f"{assumed.share:.0%}, a ViT-B-VTN takes {gpu:.3f} s for a video in place of "
        f"{costs[_PREDICT]:.0f} s of a core: "
        + ", ".join(f"{name} {number * gpu / 3600:,.0f} GPU hours" for name, number in DATASETS.items())
        + f". Such a GPU waits unless {counted.video_seconds / gpu:.1f} cores read for it.",
        "All this was measured with 244 videos in a bucket; where there are fewer, more comes to each.",
        "Not measured: disks that many machines share. Each bucket takes some twenty operations on files, "
        "and each process a few in a minute; videos are read once.",
    ]


def page(costs: dict[str, float], beside: Coordination, assumed: Assumed) -> str:
    """Tables and facts in Markdown."""
    work, times = tables(costs, beside)
    lines = "".join(f"- {line}\n" for line in facts(costs, beside, assumed))
    return f"{to_markdown(work, COSTS)}\n{to_markdown(times, TIMES)}\n{lines}"


def main(argv: Sequence[str] | None = None) -> None:
    """Compute the tables, print them, and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=_RESULTS / "scaling_jobs.json")
    parser.add_argument("--page", type=Path, help="put the tables into this page, between its marks")
    args = parser.parse_args(argv)
    check_out(args.out)
    found, beside = costs(), coordination()
    work, times = tables(found, beside)
    record = {"costs": found, "coordination": vars(beside), "work": work, "times": times}
    args.out.write_text(json.dumps(record, indent=1) + "\n")
    text = page(found, beside, Assumed())
    print(f"{text}\nWritten to {args.out}")
    if args.page is not None:
        args.page.write_text(put_into(args.page.read_text(), text, MARKS))


if __name__ == "__main__":
    run_safely(main)
