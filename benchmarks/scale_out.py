"""What it costs to divide work among processes: a plain loop, `local`, `array` and `ray`.

    python benchmarks/scale_out.py [--videos 400] [--seconds 0.5] [--real 60] [--rows 1000000] [--turns 5]

First work that takes a known time of a core for each video, as a decoder and a model do: a plain loop in one
process, the same halved among two processes without anything shared, and jobs with two processes and with
two commands. The ratio is that of their times; a job starts with an empty folder, and ends with its output.
Of Ray the time of a job with a few videos is taken off, and shown by itself: a cluster takes seconds to start
and to end. From both sides, so the loop too is without its first videos.

The same with real videos of 10 s and a small VTN: reading, model and rows, as tools/predict.py does it. Start
and end, the report among them, are taken off from all runners there.

Then very many videos that take no time: rows in a second, memory of the command, size of what is written, and
seconds until a command knows that nothing is left. What a video has for a row is as long as a prediction of
400 classes.
"""

import argparse
import multiprocessing
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import scale_out_videos as real
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
from slowfast_ext.jobs.ray_how import RayHow
from slowfast_ext.jobs.work import DONE, FAILED, VideoJob, VideoResult

_PROCESSES = 2
_FEW = 2  # videos of a job on Ray that shows what starting costs
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


def run_in(folder: Path, names: Sequence[str], seconds: float, **how: int | RayHow) -> Callable[[], None]:
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

    rows = beyond_start(
        "ray",
        f"{num_videos} videos of {seconds:g} s",
        names,
        lambda folder, some, count: run_in(folder, some, share, processes=count, ray=RayHow()),
        lambda some, count: [lambda part=part: loop(some[part::count], share) for part in range(count)],
        turns,
    )
    for what, against, ours, theirs in (
        ("local, 1 process", "a plain loop", one, whole),
        ("local, 2 processes", "two plain loops", local, halves),
        ("array, 2 commands", "two plain loops", array, halves),
    ):
        measured = in_turn(lambda ours=ours: fresh(ours), lambda theirs=theirs: seconds_of(theirs), turns)
        rows.append(compared(f"{what}: {num_videos} videos of {seconds:g} s", against, measured, "<= 1.10"))
    return rows


def compared(what: str, against: str, measured: dict, target: str) -> dict:
    """A row of the table, which is printed too."""
    row = {"what": what, "against": against, "unit": "s", "better": "lower", "target": target}
    row |= measured | (ratio(measured) if against else {"ratio": None})
    print(row, flush=True)
    return row


def beyond_start(
    runner: str,
    what: str,
    names: Sequence[str],
    job: Callable[[Path, Sequence[str], int], Callable[[], None]],
    loops: Callable[[Sequence[str], int], Sequence[Callable[[], None]]],
    turns: int,
) -> list[dict]:
    """Rows of a runner with 1 and with 2 processes: what it costs beyond its start and end, and these."""
    target = "<= 1.25" if runner == "ray" else "<= 1.10"
    rows = []
    for count in (1, _PROCESSES):
        started = []

        def seconds(some: Sequence[str], count: int = count) -> float:
            with tempfile.TemporaryDirectory() as folder:
                return seconds_of([job(Path(folder), some, count)])

        def ours(count: int = count, started: list[float] = started) -> float:
            started.append(seconds(names[: _FEW * count]))
            return seconds(names) - started[-1]

        def theirs(count: int = count) -> float:
            return seconds_of(loops(names, count)) - seconds_of(loops(names[: _FEW * count], count))

        against = "a plain loop" if count == 1 else f"{count} plain loops"
        measured = in_turn(ours, theirs, turns)
        processes = f"{runner}, {count} process{'es' if count > 1 else ''}"
        rows.append(compared(f"{processes}, beyond its start: {what}", against, measured, target))
        start = {"ours": statistics.median(started), "theirs": None}
        rows.append(compared(f"{processes}: {_FEW * count} videos, with start and end", "", start, ""))
    return rows


def real_videos(num_videos: int, turns: int, runners: Sequence[str]) -> list[dict]:
    """Rows of predictions of real videos."""
    with tempfile.TemporaryDirectory() as place:
        path, names = real.prepare(Path(place), num_videos)
        what = f"{num_videos} videos of 10 s through a small VTN"

        def loops(some: Sequence[str], count: int) -> list[Callable[[], None]]:
            files = [Path(place) / f"loop{part}.jsonl" for part in range(count)]
            return [real.loop(path, some[part::count], file) for part, file in enumerate(files)]

        def job(runner: str) -> Callable[[Path, Sequence[str], int], Callable[[], None]]:
            return lambda folder, some, count: real.command(
                path, some, folder / "out", "--runner", runner, "--processes", str(count)
            )

        return [
            row for runner in runners for row in beyond_start(runner, what, names, job(runner), loops, turns)
        ]


def many(folder: str, num_rows: int) -> dict[str, float]:
    """In a process of its own: one command over very many videos, and what it took."""
    place = Path(folder)
    before = resident_mib()
    forget_peak()
    started = time.perf_counter()
    how = HowToRun(processes=_PROCESSES)
    begun = time.time()
    outcome = run_job(job_in(place, 0.0), [], [place / "list.txt"], how, lambda line: None)
    if outcome.done != num_rows or not outcome.is_complete:
        raise RuntimeError(f"{outcome.done} of {num_rows} videos are done.")
    divided, done = (
        max(path.stat().st_mtime for path in (place / "job").glob(names))
        for names in ("plans/*/plan.json", "finished/*")
    )
    return {
        "seconds": time.perf_counter() - started,
        "MiB": peak_mib() - before,
        "divide": divided - begun,
        "share": done - divided,
        "output": time.time() - done,
    }


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
        row("dividing the list, a video's share", first["divide"] / num_rows, "s"),
        row("work of two processes, a video's share", first["share"] / num_rows, "s"),
        row("output, manifest and report, a video's share", first["output"] / num_rows, "s"),
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
    add("--real", type=int, default=60, help="real videos of 10 s, 0 for none; default: 60")
    add("--runners", nargs="+", default=("ray", "local"), help="for these; default: ray local")
    add("--turns", type=int, default=5, help="default: 5")
    add("--rows", type=int, default=1_000_000, help="videos of the second part, 0 for none; default: 1000000")
    add("--folder", type=Path, help="where the second part writes; default: a temporary folder")
    add("--out", type=Path, default=Path("benchmarks/results/scale_out.json"))
    args = parser.parse_args(argv)
    check_out(args.out)
    rows = overheads(args.videos, args.seconds, args.turns) if args.videos else []
    rows += real_videos(args.real, args.turns, args.runners) if args.real else []
    if args.rows:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            rows += very_many(args.rows, Path(folder))
    write_record(args.out, rows, argv, "torch")


if __name__ == "__main__":
    run_safely(main)
