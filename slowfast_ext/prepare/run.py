"""Preparing a data set: read every video, once, then write what was found."""

import argparse
import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slowfast_ext.data.video_list import normalize_path
from slowfast_ext.jobs.driver import HowToRun
from slowfast_ext.jobs.options import run_and_tell
from slowfast_ext.jobs.work import VideoJob
from slowfast_ext.prepare.copies import Copies
from slowfast_ext.prepare.lists import CLASSES, FAILURES, PreparedDataset
from slowfast_ext.prepare.many import PreparedLists, PrepareWork
from slowfast_ext.prepare.plan import SPLITS, Plan, check_path, check_plan
from slowfast_ext.prepare.process import Work
from slowfast_ext.prepare.report import PAGE
from vtn.errors import InputError

_COPIES, _JOB, _MANIFEST = "videos", "job", "videos.jsonl"
# What an earlier version of this program kept its work in.
_JOURNAL = "journal.jsonl"


@dataclass(frozen=True)
class Settings:
    """How to prepare.

    Attributes:
        out: Folder to write into.
        work: What is done to each video.
        separator: Between path and label in the lists.
    """

    out: Path
    work: Work
    separator: str = " "

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", Path(normalize_path(self.out)))
        work = self.work
        if work.short_side and (work.short_side < 16 or work.short_side % 2):
            raise InputError(f"--short-side must be even and 16 or more, but is {work.short_side}.")
        if not 0 <= work.crf <= 51:
            raise InputError(f"--crf must be 0 to 51, but is {work.crf}.")
        if (
            not self.separator
            or any(c.isdecimal() for c in self.separator)
            or len(f"a{self.separator}b".splitlines()) > 1
        ):
            raise InputError(
                f"--separator is {self.separator!r}; it must be text without digits and line breaks."
            )


def prepare(
    plan: Plan,
    originals: Path,
    settings: Settings,
    title: str,
    args: argparse.Namespace,
    how: HowToRun,
    *,
    say: Callable[[str], None] = print,
) -> PreparedDataset | None:
    """Read every video of a plan; the command that finishes last writes lists, failures and report.

    Args:
        plan: What is to be listed.
        originals: Folder where the videos were found, absolute.
        settings: How.
        title: Of the report.
        args: Of the command line, as run_and_tell takes them.
        how: What this command does of it.
        say: Receives lines on what is found.

    Returns:
        What was written; None if that is left to another command.

    Raises:
        InputError: If the plan or the folder cannot be used, the disk is full, or no video can be listed.
    """
    check_plan(plan, originals)
    _make_folder(settings.out, say)
    videos = list(plan.paths)
    copies = None
    if settings.work.short_side:
        copies = Copies(settings.out.absolute() / _COPIES, originals)
        _require_apart(videos, copies)
    for note in plan.notes:
        say(f"note: {note}")
    output = PreparedLists(plan, copies, settings.out, settings.separator, title)
    job = VideoJob(
        folder=settings.out / _JOB,
        settings={"command": "prepare_dataset", **settings.work.settings},
        model="",
        make=functools.partial(PrepareWork, settings.work, copies),
        work=PrepareWork(settings.work, copies),
        output=output,
        manifest=settings.out / _MANIFEST,
    )

    def finish() -> None:
        result = output.result
        for note in result.notes[len(plan.notes) :]:
            say(f"note: {note}")
        say(_summary(result, settings.out))
        if not any(result.listed.values()):
            raise InputError(f"No video can be listed: see {settings.out / FAILURES}.")

    try:
        run_and_tell(job, args, videos, how, say, finish)
    finally:
        if copies is not None:
            copies.remove_left()
    return output.result


def _make_folder(out: Path, say: Callable[[str], None]) -> None:
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
    if others and not any((out / name).exists() for name in (_JOB, _MANIFEST, _JOURNAL)):
        raise InputError(f"{out} holds {others[0]} that this program did not write: name another folder.")
    if (out / _JOURNAL).exists() and not (out / _JOB).exists():
        say(f"note: {out / _JOURNAL} is of an earlier version of this program: all videos are read again")


def _require_apart(videos: Sequence[str], copies: Copies) -> None:
    """Refuse copies that would overwrite what they are made of."""
    real = functools.cache(os.path.realpath)
    for path in videos:
        if real(os.path.dirname(copies.of(path))) == real(os.path.dirname(path)):
            raise InputError(f"The copy of {path} would overwrite it: name another --out.")


def _summary(result: PreparedDataset, out: Path) -> str:
    """The last line."""
    lists = ", ".join(
        f"{split} {len(result.listed[result.plan.copies.get(split, split)])}" for split in SPLITS
    )
    left = f"{result.count('missing')} missing, {result.count('failed')} failed"
    incomplete = result.count("incomplete")
    more = f", {incomplete} incomplete but listed" if incomplete else ""
    return f"{out}: {lists} videos, {len(result.plan.classes)} classes; {left}{more} ({FAILURES}; see {PAGE})"
