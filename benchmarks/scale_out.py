"""What it costs to divide work among processes that share only a folder: a plain loop, `local` and `array`.

    python benchmarks/scale_out.py [--videos 400] [--seconds 0.5] [--rows 1000000] [--turns 5]

First work that takes a known time of a core for each video, as a decoder and a model do: a plain loop in one
process, the same halved among two processes without anything shared, and jobs with two processes and with
two commands. The ratio is that of their times; a job starts with an empty folder, and ends with its output.

Then very many videos that take no time: rows in a second, memory of the command, size of what is written, and
seconds until a command knows that nothing is left. What a video has for a row is as long as a prediction of
400 classes.
"""

import argparse
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from common import (
    check_out,
    forget_peak,
    in_new_process,
    in_turn,
    peak_mib,
    ratio,
    resident_mib,
    write_record,
)

from slowfast_ext.cli import run_safely
from slowfast_ext.jobs.driver import HowToRun, run_job
from slowfast_ext.jobs.merge import LinesOutput
from slowfast_ext.jobs.work import DONE, FAILED, VideoJob, VideoResult

_PROCESSES = 2
_ROW = "x" * 4400  # bytes of a prediction of 400 classes


class BusyWork:
    """Keeps a core busy for some seconds of its own time for each video."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def do(self, path: str, name: str, state: tuple[int, int]) -> VideoResult:
        """As VideoWork."""
        until = time.process_time() + self.seconds
        while time.process_time() < until:
            pass
        return VideoResult(f"{name} {_ROW}", DONE)

    def fail(self, name: str, state: tuple[int, int], why: str) -> VideoResult:
        """As VideoWork."""
        return VideoResult(f"{name} {why}", FAILED, why)


def job_in(folder: Path, seconds: float) -> VideoJob:
    """A job that fills a folder."""
    return VideoJob(
        folder=folder / "job",
        settings={},
        model="busy",
        make=lambda: BusyWork(seconds),
        work=BusyWork(seconds),
        output=LinesOutput(folder / "rows.jsonl"),
        manifest=folder / "videos.jsonl",
    )


def loop(names: Sequence[str], seconds: float) -> None:
    """The plain loop."""
    work = BusyWork(seconds)
    with tempfile.TemporaryFile("w") as file:
        for name in names:
            file.write(work.do(name, name, (0, 0)).row + "\n")


def seconds_of(functions: Sequence[Callable[[], None]]) -> float:
    """Seconds that functions take, each in a process."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=function) for function in functions]
    started = time.perf_counter()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise RuntimeError("A process of the benchmark has failed.")
    return time.perf_counter() - started


def run_in(folder: Path, names: Sequence[str], seconds: float, **how: int) -> Callable[[], None]:
    """A command of a job."""

    def run() -> None:
        run_job(job_in(folder, seconds), names, [], HowToRun(**how), lambda line: None)

    return run


def overheads(num_videos: int, seconds: float, turns: int) -> list[dict]:
    """Rows of the first part."""
    names, share = [f"/videos/{number:07}.mp4" for number in range(num_videos)], seconds
    halves = [lambda part=part: loop(names[part::_PROCESSES], share) for part in range(_PROCESSES)]
    whole = [lambda: loop(names, share)]

    def fresh(commands: Callable[[Path], Sequence[Callable[[], None]]]) -> float:
        with tempfile.TemporaryDirectory() as folder:
            return seconds_of(commands(Path(folder)))

    def one(folder: Path) -> list[Callable[[], None]]:
        return [run_in(folder, names, share, processes=1)]

    def local(folder: Path) -> list[Callable[[], None]]:
        return [run_in(folder, names, share, processes=_PROCESSES)]

    def array(folder: Path) -> list[Callable[[], None]]:
        return [
            run_in(folder, names, share, processes=1, shard=part, shards=_PROCESSES)
            for part in range(_PROCESSES)
        ]

    rows = []
    for what, against, ours, theirs in (
        ("local, 1 process", "a plain loop", one, whole),
        ("local, 2 processes", "two plain loops", local, halves),
        ("array, 2 commands", "two plain loops", array, halves),
    ):
        measured = in_turn(lambda ours=ours: fresh(ours), lambda theirs=theirs: seconds_of(theirs), turns)
        row = {
            "what": f"{what}: {num_videos} videos of {seconds:g} s",
            "against": against,
            "unit": "s",
            "better": "lower",
            "target": "<= 1.10",
        }
        rows.append(row | measured | ratio(measured))
        print(rows[-1], flush=True)
    return rows


def many(folder: str, num_rows: int) -> dict[str, float]:
    """In a process of its own: one command over very many videos, and what it took."""
    place = Path(folder)
    before = resident_mib()
    forget_peak()
    started = time.perf_counter()
    how = HowToRun(processes=_PROCESSES)
    outcome = run_job(job_in(place, 0.0), [], [place / "list.txt"], how, lambda line: None)
    if outcome.done != num_rows or not outcome.is_complete:
        raise RuntimeError(f"{outcome.done} of {num_rows} videos are done.")
    return {"seconds": time.perf_counter() - started, "MiB": peak_mib() - before}


def very_many(num_rows: int, folder: Path) -> list[dict]:
    """Rows of the second part."""
    with (folder / "list.txt").open("w") as file:
        for number in range(num_rows):
            file.write(f"/some/folder/of/videos/{number // 1000:05}/{number:09}.mp4 {number % 400}\n")
    first = in_new_process(many, str(folder), num_rows)
    size = {
        "manifest": (folder / "videos.jsonl").stat().st_size,
        "records": sum(path.stat().st_size for path in (folder / "job" / "records").iterdir()),
        "plan": sum(path.stat().st_size for path in (folder / "job" / "plans").rglob("*") if path.is_file()),
    }
    again = in_new_process(many, str(folder), num_rows)
    (folder / "list.txt").write_text((folder / "list.txt").read_text() + "/one/more.mp4\n")
    more = in_new_process(many, str(folder), num_rows + 1)
    shutil.rmtree(folder / "job")

    def row(what: str, ours: float, unit: str) -> dict:
        return {
            "what": f"{what}, {num_rows:,} videos",
            "against": "",
            "ours": ours,
            "theirs": None,
            "unit": unit,
            "ratio": None,
            "better": "higher" if unit == "rows/s" else "lower",
            "target": "",
        }

    return [
        row("all, with the output", num_rows / first["seconds"], "rows/s"),
        row("memory of the command beyond its start", first["MiB"], "MiB"),
        *(row(f"size of the {name}", value / 1e6, "MB") for name, value in size.items()),
        row("until nothing is left to do", again["seconds"], "s"),
        row("one video more, with the output", more["seconds"], "s"),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--videos", type=int, default=400, help="of the first part; default: 400")
    add("--seconds", type=float, default=0.5, help="of a core for each of them; default: 0.5")
    add("--turns", type=int, default=5, help="default: 5")
    add("--rows", type=int, default=1_000_000, help="videos of the second part, 0 for none; default: 1000000")
    add("--folder", type=Path, help="where the second part writes; default: a temporary folder")
    add("--out", type=Path, default=Path("benchmarks/results/scale_out.json"))
    args = parser.parse_args(argv)
    check_out(args.out)
    rows = overheads(args.videos, args.seconds, args.turns) if args.videos else []
    if args.rows:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            rows += very_many(args.rows, Path(folder))
    write_record(args.out, rows, argv, "torch")


if __name__ == "__main__":
    run_safely(main)
