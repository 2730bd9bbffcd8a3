"""The folder of a job: whose it is, and what it holds."""

import contextlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

from slowfast_ext.files import reason_of, write_text
from slowfast_ext.jobs.claims import Member
from slowfast_ext.jobs.work import VideoJob
from vtn.errors import InputError

_DESCRIPTION = "job.json"
COMMANDS = "commands"
_PARTS = ("claims", "members", "plans", "rows", "records", "finished", COMMANDS)


def open_folder(job: VideoJob, fresh: bool) -> Member:
    """Make the folder of a job, or go on in it.

    Args:
        job: The job.
        fresh: Throw away what another job, or this one, has left there.

    Returns:
        This process as a member.

    Raises:
        InputError: If it cannot be written, is of a job with other settings, or somebody is at work in it who
            must not be.
    """
    folder = job.folder
    _make(folder)
    member = Member(folder)
    try:
        if fresh:
            others = member.others()
            if others:
                raise InputError(
                    f"--fresh throws away what is in {folder}, but {len(others)} processes are at work "
                    f"there, such as {others[0]}: end them first"
                )
            member.close()
            shutil.rmtree(folder, ignore_errors=True)
            _make(folder)
            member = Member(folder)
        while not member.take(_DESCRIPTION):  # another process is writing it
            time.sleep(0.05)
        _require_same(job, member)
        member.give_back(_DESCRIPTION)
    except BaseException:
        with contextlib.suppress(OSError):
            member.close()
        raise
    return member


def note_command(folder: Path, name: str, processes: int, shard: str) -> None:
    """Leave a word, for the report, that a command takes part in a job.

    Args:
        folder: Of the job.
        name: Of the command's process.
        processes: That it starts.
        shard: Of how many parts which one it begins with.

    Raises:
        InputError: If that is not possible.
    """
    said = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "processes": processes, "shard": shard}
    write_text(folder / COMMANDS / name, json.dumps(said) + "\n")


def _make(folder: Path) -> None:
    try:
        for name in _PARTS:
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {reason_of(error)}.") from error


def _require_same(job: VideoJob, member: Member) -> None:
    path = job.folder / _DESCRIPTION
    settings = {**job.settings, "model": job.model}
    if not path.exists():
        write_text(path, json.dumps(settings, indent=1) + "\n")
    try:
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        others = [key for key in {**settings, **known} if settings.get(key) != known.get(key)]
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is no description of a job: name another folder") from error
    if others and not any((job.folder / "records").iterdir()) and not member.others():
        write_text(path, json.dumps(settings, indent=1) + "\n")  # that job was refused before it did anything
    elif others:
        # The fingerprint is of some settings too, which say more; and of another command all are others.
        others = ["command"] if "command" in others else [key for key in others if key != "model"] or others
        told = ", ".join(
            f"{key} is {known.get(key)!r} there and {settings.get(key)!r} here" for key in others
        )
        raise InputError(
            f"{job.folder} holds the results of another job: {told}; name another folder, or throw them away "
            "with --fresh, which --runner array does not take"
        )
