"""The processes of a job on this machine: started, watched, and started again where a video has ended one."""

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from slowfast_ext.data.supervisor import STARTS_IN_VAIN, exit_in_words
from slowfast_ext.data.workers import MOST_MEMORY, lasting_process, prepare_worker
from slowfast_ext.files import reason_of
from slowfast_ext.jobs.claims import Member, new_name, read_member
from slowfast_ext.jobs.fetch import require_schemes
from slowfast_ext.jobs.folder import note_command, open_folder
from slowfast_ext.jobs.merge import finish_job
from slowfast_ext.jobs.plan import JobPlan, make_plan
from slowfast_ext.jobs.progress import JobProgress
from slowfast_ext.jobs.ray_crew import RayCrew
from slowfast_ext.jobs.ray_how import RayHow
from slowfast_ext.jobs.records import DIED, JobRecords
from slowfast_ext.jobs.work import VideoJob, VideoWork
from slowfast_ext.jobs.worker import JobShare, JobWorker
from slowfast_ext.processes import limit_memory
from vtn.errors import InputError

_POLL = 0.05
_LOOK_EVERY = 1.0
# After this time a death is not soon after the one before it; see STARTS_IN_VAIN.
_LONG = 60.0
_BAD_INPUT = 2
# Times that all is read at the end before a disk counts as broken.
_TURNS = 3


@dataclass(frozen=True)
class HowToRun:
    """Which part of a job the processes of this command begin with.

    Attributes:
        shard, shards: This command's number, from 0, and how many there are.
        processes: Of this command.
        fresh: Throw away what is in the folder.
        retry_failed: Try again what failed before.
        timeout: Seconds after which a video has failed.
        again: What to type to try again what failed; for the report.
        ray: How Ray is used; None if it is not.
    """

    shard: int = 0
    shards: int = 1
    processes: int = 1
    fresh: bool = False
    retry_failed: bool = False
    timeout: float = 3600.0
    again: str = ""
    ray: RayHow | None = None


@dataclass(frozen=True)
class JobOutcome:
    """How a job stands at the end of a command.

    Attributes:
        num_videos, done, repaired, failed: Counts; the last two are among those that are done.
        reasons: Why videos failed, and how many.
        is_complete: Whether all is done and the output is written.
        others: How many processes of other commands are at work.
    """

    num_videos: int
    done: int
    repaired: int
    failed: int
    reasons: Counter
    is_complete: bool
    others: int


def run_job(
    job: VideoJob, videos: Sequence[str], lists: Sequence[Path], how: HowToRun, say: Callable[[str], None]
) -> JobOutcome:
    """Do what is left of a job that no other command is at; the last command writes the output.

    Args:
        job: The job.
        videos: Paths.
        lists: Files that name more.
        how: What this command does of it.
        say: Receives lines for a person.

    Raises:
        InputError: If a list, a URL or the folder cannot be used, or it is no use to go on.
    """
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) if how.retry_failed else ""
    member = open_folder(job, how.fresh)
    try:
        plan = make_plan(job.folder, videos, lists, member)
        require_schemes(plan.schemes)
        if plan.num_rows > plan.num_videos:
            again = plan.num_rows - plan.num_videos
            say(f"{again} of {plan.num_rows} rows name a video again: it counts once")
        records = JobRecords(job.folder, job.model)
        note_command(job.folder, member.name, how.processes, f"{how.shard}/{how.shards}")
        progress = JobProgress(job.folder, plan, records, member, say)
        if progress.done and not how.retry_failed:
            say(f"{progress.done} of {plan.num_videos} videos were done before")
        try:
            for _ in range(_TURNS):
                _crew(job, plan, records, how, began, say).work(progress)
                progress.forget()
                told = None
                if progress.is_complete():
                    told = finish_job(job, plan, records, progress.marks, member, how.again)
                if told is None or not told["damaged"]:
                    break
                say(f"{told['damaged']} rows were gone or damaged: their videos are done again")
            else:
                raise InputError(f"{job.folder} does not keep what is written there: look at its disk")
        finally:
            progress.close()
        if told is not None and (before := told["before"]) > plan.num_videos:
            say(
                f"{job.manifest} had {before} videos, and now the {plan.num_videos} that are named: "
                "what was done of the others is kept, and written again when they are named"
            )
        return JobOutcome(
            plan.num_videos,
            progress.done,
            progress.repaired,
            progress.failed,
            Counter(told["reasons"] if told else {}),
            told is not None,
            # One that writes the output has no process at a video.
            len(member.at_work()) or len(member.others()),
        )
    finally:
        member.close()


def _crew(
    job: VideoJob,
    plan: JobPlan,
    records: JobRecords,
    how: HowToRun,
    began: str,
    say: Callable[[str], None],
) -> "_Crew | RayCrew":
    if how.ray is None:
        return _Crew(job, plan, records, how, began)
    return RayCrew(job, plan, records, how.ray, how.processes, how.timeout, began, say)


class _Crew:
    """The processes of one command."""

    def __init__(self, job: VideoJob, plan: JobPlan, records: JobRecords, how: HowToRun, began: str) -> None:
        self._job, self._plan, self._records, self._how, self._began = job, plan, records, how, began
        # What is forked shares the memory of the model; a GPU cannot be used by a process that was.
        self._forks = sys.platform == "linux" and not torch.cuda.is_initialized()
        self._context = multiprocessing.get_context("fork" if self._forks else "spawn")
        self._running: dict[int, tuple] = {}
        self._in_vain, self._started = 0, time.monotonic()

    def work(self, progress: JobProgress) -> None:
        """Return when no process has anything left to do.

        Raises:
            InputError: As JobWorker.run.
        """
        looked = 0.0
        try:
            for number in range(self._how.processes):
                self._start(number)
            while self._running:
                time.sleep(_POLL)
                for number, (process, pipe, name) in list(self._running.items()):
                    if not process.is_alive():
                        del self._running[number]
                        self._ended(number, process, pipe, name)
                now = time.monotonic()
                if now - looked >= _LOOK_EVERY:
                    looked = now
                    self._end_the_long()
                    progress.tell()
        finally:
            for process, pipe, _ in self._running.values():
                process.kill()
                process.join()
                pipe.close()

    def _start(self, number: int) -> None:
        source, target = self._context.Pipe(duplex=False)
        how, name = self._how, new_name()
        share = JobShare(how.shard * how.processes + number, how.shards * how.processes, self._began)
        given = self._job.work if self._forks else self._job.make
        process = self._context.Process(
            target=_run_worker,
            args=(self._job.folder, self._plan, self._records, name, given, self._forks, share, target),
            kwargs={"parent": lasting_process()},
            daemon=False,
        )
        process.start()
        target.close()
        self._running[number] = process, source, name

    def _ended(self, number: int, process: multiprocessing.Process, pipe: Connection, name: str) -> None:
        """Look why a process has ended, and start another if a video, or somebody, has ended it."""
        process.join()
        said = ""
        with contextlib.suppress(EOFError, OSError):
            said = pipe.recv() if pipe.poll() else ""
        pipe.close()
        if process.exitcode == 0:
            return
        if process.exitcode == _BAD_INPUT and said:
            raise InputError(said)
        lasted, self._started = time.monotonic() - self._started, time.monotonic()
        if self._bury(name, f"the process that read it died ({exit_in_words(process.exitcode)})"):
            self._in_vain = 0
        else:
            self._in_vain = 1 if lasted > _LONG else self._in_vain + 1
            if self._in_vain == STARTS_IN_VAIN:
                raise InputError(
                    f"processes of this job have died {STARTS_IN_VAIN} times before they were at a video, "
                    f"the last by {exit_in_words(process.exitcode)}: type a smaller --processes, if memory "
                    "runs out"
                )
        self._start(number)

    def _bury(self, name: str, why: str) -> bool:
        """Write down which video a process has ended at; whether it was at one."""
        path = self._job.folder / "members" / name
        try:
            _, (bucket, video, _) = read_member(path)
        except (OSError, ValueError):
            return False
        if video:
            self._blame(name, bucket, video, why)
        path.unlink(missing_ok=True)
        return bool(video)

    def _blame(self, name: str, bucket: str, video: str, why: str, times: int = 1) -> None:
        self._records.append(bucket, [{"path": video, "state": DIED, "why": why, "by": name}] * times)

    def _end_the_long(self) -> None:
        for number, (process, pipe, name) in list(self._running.items()):
            path = self._job.folder / "members" / name
            try:
                _, (bucket, video, since) = read_member(path)
            except (OSError, ValueError):
                continue
            if video and time.time() - since > self._how.timeout:
                process.kill()
                process.join()
                pipe.close()
                del self._running[number]
                # Not asked again what it was at: it may have come to the next video before it was killed.
                self._blame(name, bucket, video, f"it took longer than {self._how.timeout:g} s", times=2)
                path.unlink(missing_ok=True)
                self._start(number)


def _run_worker(
    folder: Path,
    plan: JobPlan,
    records: JobRecords,
    name: str,
    given: VideoWork | Callable[[], VideoWork],
    is_work: bool,
    share: JobShare,
    target: Connection,
    parent: int,
) -> None:
    """In a new process."""
    prepare_worker(parent, 0.0, 0)
    for fatal in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE):
        signal.signal(fatal, signal.SIG_DFL)  # PyTorch's handlers print a line that does not name the file
    # As many threads everywhere: sums of other parts could differ in their last digits.
    torch.set_num_threads(1)
    try:
        work = given if is_work else given()
        if not torch.cuda.is_initialized():  # which takes addresses without memory behind them
            limit_memory(MOST_MEMORY)
        member = Member(folder, name, parent=os.getppid())
        JobWorker(folder, plan, records, member, work).run(share)
        member.close()
    except (InputError, OSError) as error:  # of a video none comes so far, see JobWorker
        told = f"cannot write {folder}: {reason_of(error)}." if isinstance(error, OSError) else str(error)
        target.send(told)
        raise SystemExit(_BAD_INPUT) from None
