"""Jobs without a model: a row is the checksum of a file. Some files kill the process that reads them."""

import contextlib
import functools
import json
import multiprocessing
import os
import random
import signal
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from slowfast_ext.jobs.claims import read_member
from slowfast_ext.jobs.driver import HowToRun, JobOutcome, run_job
from slowfast_ext.jobs.merge import LinesOutput
from slowfast_ext.jobs.work import DONE, FAILED, REPAIRED, VideoJob, VideoResult
from slowfast_ext.processes import start_time
from slowfast_ext.video import VideoError

POISON, HANGS, BAD, DAMAGED = b"poison", b"hangs", b"bad", b"damaged"
LARGE, KILLS_MODEL = b"large", b"kills the model"  # of work in two halves


class FakeWork:
    """Checksums, slowly.

    Args:
        seconds: That a video takes.
        log: File that gets a line "PROCESS PATH" for each video that is begun.
    """

    def __init__(self, seconds: float = 0.0, log: Path | None = None) -> None:
        self.seconds, self.log = seconds, log

    def do(self, path: str, name: str, state: tuple[int, int]) -> VideoResult:
        """As VideoWork."""
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{os.getpid()} {name}\n")
        content = Path(path).read_bytes()
        if content.startswith(POISON):
            os.kill(os.getpid(), signal.SIGKILL)
        if content.startswith(HANGS):
            time.sleep(20)
        if content.startswith(BAD):
            raise VideoError(f"{name}: it is bad.")
        time.sleep(self.seconds)
        why = "its end" if content.startswith(DAMAGED) else ""
        return VideoResult(row_of(name, content), REPAIRED if why else DONE, why, float(len(content)))

    def fail(self, name: str, state: tuple[int, int], why: str) -> VideoResult:
        """As VideoWork."""
        return VideoResult(f"{name} failed: {why}", FAILED, why)


class FakeReader:
    """The half of StagedFakeWork that reads; as FakeWork it dies, hangs or fails at some."""

    def __init__(self, work: FakeWork) -> None:
        self._work = work

    def read(self, path: str, name: str, state: tuple[int, int]) -> bytes | None:
        """As ReadingWork."""
        content = Path(path).read_bytes()
        if content.startswith(LARGE):
            return None
        if content.startswith((POISON, BAD, HANGS)):
            self._work.do(path, name, state)
        return content


class StagedFakeWork(FakeWork):
    """As FakeWork, in two halves."""

    def __init__(self, seconds: float = 0.0, log: Path | None = None) -> None:
        super().__init__(seconds, log)
        self.reader = FakeReader(FakeWork(0.0, log))

    def answer(self, found: bytes, name: str, state: tuple[int, int]) -> VideoResult:
        """As StagedWork."""
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{os.getpid()} {name}\n")
        if found.startswith(KILLS_MODEL):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        why = "its end" if found.startswith(DAMAGED) else ""
        return VideoResult(row_of(name, found), REPAIRED if why else DONE, why)


def row_of(name: str, content: bytes) -> str:
    """What a row must say."""
    return f"{name} {zlib.crc32(content):08x} {'x' * 200}"


def make_videos(folder: Path, count: int) -> list[str]:
    """Files that differ."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number:04}.mp4" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(b"video %d" % number)
    return list(map(str, paths))


def fake_job(
    out: Path,
    model: str = "fake",
    seconds: float = 0.0,
    log: Path | None = None,
    staged: bool = False,
    **settings,
):
    """A job that fills the folder `out`."""
    kind = StagedFakeWork if staged else FakeWork
    work = kind(seconds, log)
    return VideoJob(
        folder=out / "job",
        settings=settings,
        model=model,
        make=functools.partial(kind, seconds, log),
        work=work,
        output=LinesOutput(out / "rows.jsonl"),
        manifest=out / "videos.jsonl",
        reader=work.reader if staged else None,
    )


def run(
    job: VideoJob,
    videos: Sequence[str],
    lists: Sequence[Path] = (),
    say: Callable[[str], None] = lambda line: None,
    **how,
) -> JobOutcome:
    """Run a job here."""
    return run_job(job, videos, lists, HowToRun(**how), say)


def kill_within(
    commands: Sequence[multiprocessing.Process],
    out: Path,
    chance: random.Random,
    *,
    seconds: float,
    rest: float,
) -> str:
    """Kill commands, or a process of theirs and after a rest the commands, or both at once; says which."""
    victim = chance.choice(["command", "command", "process", "both"])
    deadline = time.monotonic() + chance.uniform(0.0, seconds)
    try:
        while time.monotonic() < deadline and any(command.is_alive() for command in commands):
            time.sleep(0.002)
        if victim != "command" and (pids := pids_at_work(out)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(pids), signal.SIGKILL)
        if victim == "process":
            time.sleep(chance.uniform(0.0, rest))
    finally:
        for command in commands:
            command.kill()
            command.join()
    return victim


def in_process(function: Callable[[], None]) -> multiprocessing.Process:
    """Start a function as a command of its own that any signal may end."""

    def quietly() -> None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        function()

    process = multiprocessing.get_context("fork").Process(target=quietly)
    process.start()
    return process


def pids_at_work(out: Path) -> list[int]:
    """Processes that are at a video."""
    found = []
    for path in (out / "job" / "members").glob("[!.]*"):
        with contextlib.suppress(OSError, ValueError):
            owner, (_, video, _) = read_member(path)
            pid, began = owner["processes"][0]
            if video and began == start_time(pid):  # not of a process that was killed before
                found.append(pid)
    return found


def rows_in(out: Path) -> list[str]:
    """Of the output."""
    return (out / "rows.jsonl").read_text().splitlines()


def wanted(videos: Sequence[str]) -> Counter:
    """Rows that an output must have."""
    return Counter(row_of(name, Path(name).read_bytes()) for name in videos)


def manifest_of(out: Path) -> dict[str, dict]:
    """What is said of each video."""
    entries = [json.loads(line) for line in (out / "videos.jsonl").read_text().splitlines()]
    assert len({entry["path"] for entry in entries}) == len(entries)
    return {entry["path"]: entry for entry in entries}
