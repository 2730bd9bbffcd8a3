"""Preparing a data set: read every video, once, then write what was found."""

import contextlib
import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from slowfast_ext.data.tasks import Lost, run_tasks
from slowfast_ext.data.video_list import normalize_path
from slowfast_ext.prepare.find import VideoIndex
from slowfast_ext.prepare.journal import NAME as JOURNAL
from slowfast_ext.prepare.journal import Journal
from slowfast_ext.prepare.lists import CLASSES, FAILURES, PreparedDataset, write_lists
from slowfast_ext.prepare.plan import SPLITS, Plan, check_path, check_plan
from slowfast_ext.prepare.process import Job, Outcome, Work, part_of, process_video
from slowfast_ext.prepare.report import PAGE, write_report
from slowfast_ext.progress import with_progress
from vtn.errors import InputError

_COPIES = "videos"


@dataclass(frozen=True)
class Settings:
    """How to prepare.

    Attributes:
        out: Folder to write into.
        work: What is done to each video.
        jobs: Processes.
        timeout: Seconds after which a video is given up.
        separator: Between path and label in the lists.
        retry_failed: Whether to try again what failed in an earlier run.
    """

    out: Path
    work: Work
    jobs: int
    timeout: float = 1800.0
    separator: str = " "
    retry_failed: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", Path(normalize_path(self.out)))
        work = self.work
        if work.short_side and (work.short_side < 16 or work.short_side % 2):
            raise InputError(f"--short-side must be even and 16 or more, but is {work.short_side}.")
        if not 0 <= work.crf <= 51:
            raise InputError(f"--crf must be 0 to 51, but is {work.crf}.")
        if self.jobs < 1:
            raise InputError(f"--jobs must be 1 or more, but is {self.jobs}.")
        if not self.timeout > 0:
            raise InputError(f"--timeout must be more than 0 seconds, but is {self.timeout:g}.")
        if (
            not self.separator
            or any(c.isdecimal() for c in self.separator)
            or len(f"a{self.separator}b".splitlines()) > 1
        ):
            raise InputError(
                f"--separator is {self.separator!r}; it must be text without digits and line breaks."
            )


def _make_folder(out: Path) -> None:
    """Make the folder, and refuse one that holds lists of something else.

    Raises:
        InputError: If it cannot be made, or holds a list that this program did not write.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out}: {error.strerror}.") from error
    check_path(str(out.absolute()))
    others = [name for name in (*(f"{split}.csv" for split in SPLITS), CLASSES) if (out / name).exists()]
    if others and not (out / JOURNAL).is_file():
        raise InputError(f"{out} holds {others[0]} that this program did not write: name another folder.")


def prepare(
    plan: Plan, index: VideoIndex, settings: Settings, title: str, *, say: Callable[[str], None] = print
) -> PreparedDataset:
    """Read every video of a plan and write lists, failures and report.

    Args:
        plan: What is to be listed.
        index: Where the videos were found.
        settings: How.
        title: Of the report.
        say: Receives lines on what is found.

    Returns:
        What was written.

    Raises:
        InputError: If the plan or the folder cannot be used, the disk is full, or no video can be listed.
    """
    check_plan(plan, index.folder)
    _make_folder(settings.out)
    jobs = _jobs(plan, index, settings)
    for note in plan.notes:
        say(f"note: {note}")
    journal = Journal(settings.out)
    try:
        outcomes = _process(jobs, journal, settings, say)
    finally:
        journal.close()
    copies = {job.path: job.copy for job in jobs if job.copy}
    result = PreparedDataset(plan, outcomes, copies)
    for note in result.notes[len(plan.notes) :]:
        say(f"note: {note}")
    write_lists(result, settings.out, settings.separator)
    write_report(result, settings.out, title)
    say(_summary(result, settings.out))
    if not any(result.listed.values()):
        raise InputError(f"No video can be listed: see {settings.out / FAILURES}.")
    return result


def _jobs(plan: Plan, index: VideoIndex, settings: Settings) -> list[Job]:
    """A job for each file, in the order of the plan; OUT/videos mirrors the folder of the originals."""
    jobs, real = [], functools.cache(os.path.realpath)
    for path in dict.fromkeys(entry.path for entry in plan.entries if entry.path):
        copy = ""
        if settings.work.short_side:
            within = os.path.relpath(path, index.folder)
            # The old suffix stays: a.avi and a.mp4 are two videos.
            within += "" if within.lower().endswith(".mp4") else ".mp4"
            copy = str(settings.out.absolute() / _COPIES / within)
            if real(os.path.dirname(copy)) == real(os.path.dirname(path)):
                raise InputError(f"The copy of {path} would overwrite it: name another --out.")
        jobs.append(Job(path, copy, settings.work))
    return jobs


def _process(
    jobs: list[Job], journal: Journal, settings: Settings, say: Callable[[str], None]
) -> dict[str, Outcome]:
    """Do the jobs that are not in the journal, and note each one as it is done."""
    outcomes: dict[str, Outcome] = {}
    todo = []
    for job in jobs:
        outcome = journal.find(job)
        if outcome is None or (settings.retry_failed and outcome.reason):
            todo.append(job)
        else:
            outcomes[job.path] = outcome
    if outcomes:
        say(f"{len(outcomes)} of {len(jobs)} videos were done before")
    num_processes = min(settings.jobs, max(1, len(todo)))
    results = run_tasks(process_video, todo, jobs=num_processes, timeout=settings.timeout)
    try:
        for job, result in with_progress(results, len(todo), "reading videos", say):
            outcome = Outcome(f"{job.path}: {result.reason}.") if isinstance(result, Lost) else result
            _remove_part(job)
            journal.add(job, outcome)
            outcomes[job.path] = outcome
    finally:
        results.close()
        unfinished = (job for job in todo if job.path not in outcomes)
        for job in islice(unfinished, num_processes):  # they begin in order, so no other has begun
            _remove_part(job)
    return outcomes


def _remove_part(job: Job) -> None:
    """Remove what a process that was ended left of a copy."""
    if job.copy:
        with contextlib.suppress(FileNotFoundError):
            part_of(job.copy).unlink()


def _summary(result: PreparedDataset, out: Path) -> str:
    """The last line."""
    lists = ", ".join(
        f"{split} {len(result.listed[result.plan.copies.get(split, split)])}" for split in SPLITS
    )
    left = f"{result.count('missing')} missing, {result.count('failed')} failed"
    incomplete = result.count("incomplete")
    more = f", {incomplete} incomplete but listed" if incomplete else ""
    return f"{out}: {lists} videos, {len(result.plan.classes)} classes; {left}{more} ({FAILURES}; see {PAGE})"
