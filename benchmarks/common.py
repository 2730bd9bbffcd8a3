"""What the benchmarks share: separate processes, peak memory, the table and the JSON file."""

import contextlib
import json
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from slowfast_ext.report.machine import describe_machine
from slowfast_ext.report.tables import Column, to_markdown
from vtn.errors import InputError

COLUMNS = [
    Column("what", "what"),
    Column("against", "against"),
    Column("ours", "ours", ".4g"),
    Column("theirs", "theirs", ".4g"),
    Column("unit", "unit"),
    Column("ratio", "ratio", ".3g"),
    Column("target", "target"),
]


def divide(numerator: float | None, denominator: float | None) -> float | None:
    """A ratio, or None if either number is missing."""
    return numerator / denominator if numerator is not None and denominator else None


def in_turn(ours: Callable[[], float], theirs: Callable[[], float], turns: int = 7) -> dict:
    """Medians and spreads of what two functions return, called in turn after one call to warm up."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(turns)]
    row = {"ours": statistics.median(x for x, _ in pairs), "theirs": statistics.median(y for _, y in pairs)}
    ratios = [x / y for x, y in pairs]
    return row | {
        "spread": {
            "ours": [min(x for x, _ in pairs), max(x for x, _ in pairs)],
            "theirs": [min(y for _, y in pairs), max(y for _, y in pairs)],
            "ours / theirs": [min(ratios), max(ratios)],
        }
    }


def cpu_seconds(work: Callable[[], object]) -> float:
    """What a piece of work takes of all cores in this process."""
    started = time.process_time()
    work()
    return time.process_time() - started


def seconds_per_video(batches: Iterable, videos: int) -> float:
    """Seconds from asking for the first batch to receiving the last."""
    started = time.perf_counter()
    for _ in batches:
        pass
    return (time.perf_counter() - started) / videos


def ratio(row: dict, *, inverse: bool = False) -> dict:
    """The ratio that the target is about: ours / theirs, or how many times faster ours is."""
    return {"ratio": row["theirs"] / row["ours"] if inverse else row["ours"] / row["theirs"]}


@contextlib.contextmanager
def on_one_core() -> Iterator[None]:
    """Within, this process and those that it starts share one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def in_own_process(make: Callable[..., Callable], *args: Any) -> Iterator[Callable]:
    """A function that calls `make(*args)` there, where it has been made: in a process of its own.

    What one contestant sets in its process, such as how memory is used again, another does not have.
    """
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_answer, args=(there, make, args), daemon=True)
    process.start()
    there.close()  # so that a process that has died is noticed
    here.recv()  # it is made

    def call(*given: Any) -> Any:
        here.send(given)
        return here.recv()

    yield call
    here.send(None)
    process.join()


def _answer(connection: Connection, make: Callable[..., Callable], args: tuple) -> None:
    function = make(*args)
    connection.send(None)
    while (given := connection.recv()) is not None:
        connection.send(function(*given))


def in_new_process(function: Callable, *args: Any) -> Any:
    """The result of function(*args) in a separate process, or None if memory ran out."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=_limit_memory) as pool:
        try:
            return pool.submit(function, *args).result()
        except (MemoryError, BrokenProcessPool):
            return None
        except RuntimeError as error:
            if "memory" not in str(error):
                raise
            return None


def _limit_memory() -> None:
    """If a process asks for more memory than there is, let it fail, not the whole machine."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            available = int(line.split()[1]) * 1024
            resource.setrlimit(resource.RLIMIT_DATA, (available, available))


def matrix_rate(dtype: torch.dtype, device: str = "cpu", turns: int = 7) -> float:
    """The most multiply-adds per second, 1e9, that this machine does in a product of two square matrices."""
    size = 2048 if device == "cpu" else 8192
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(turns + 1):  # the first one warms up
        started = time.perf_counter()
        left @ right
        if device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return size**3 / min(seconds) / 1e9


def forget_peak() -> None:
    """Let the kernel forget this process's peak of memory so far."""
    Path("/proc/self/clear_refs").write_text("5")


def resident_mib() -> float:
    """Memory of this process now."""
    return _status_mib("VmRSS")


def peak_mib() -> float:
    """Most memory that this process has had since `forget_peak`."""
    return _status_mib("VmHWM")


def _status_mib(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def check_out(out: Path) -> None:
    """Refuse a folder for the result that does not exist, before anything is measured."""
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {out.parent}")


def write_record(out: Path, rows: Sequence[dict], argv: Sequence[str] | None, *packages: str) -> None:
    """Print the table of all rows; write machine, date, command and rows as JSON.

    Args:
        out: The JSON file.
        rows: What was measured: what, against, ours, theirs, unit, ratio, better, target, and any more.
        argv: Arguments of the command, sys.argv's if None.
        packages: Whose versions belong to the result.
    """
    command = " ".join(["python", sys.argv[0], *(sys.argv[1:] if argv is None else argv)])
    record = {
        "machine": describe_machine(*packages),
        "date": date.today().isoformat(),
        "command": command,
        "rows": rows,
    }
    out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"\n{to_markdown(rows, COLUMNS)}\n{record['machine']}\nWritten to {out}")
