"""Options of commands that work on very many videos, and what such a command says at its end."""

import argparse
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from slowfast_ext.jobs.driver import HowToRun, run_job
from slowfast_ext.jobs.names import public_name
from slowfast_ext.jobs.ray_how import RayHow, require_ray
from slowfast_ext.jobs.work import VideoJob
from slowfast_ext.processes import usable_cores
from slowfast_ext.report.words import without_controls
from slowfast_ext.typed import as_typed
from vtn.errors import InputError

LOCAL, ARRAY, RAY = "local", "array", "ray"
_SLURM = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT")
_REASONS = 10
_ON_GPU = 4  # processes that share one, unless --processes says so


def add_runner(parser: argparse.ArgumentParser, *, models: bool = True) -> None:
    """Add the options of jobs.

    Args:
        parser: Gets them.
        models: Whether processes of these jobs have one, which share GPUs where there are any.
    """
    group = parser.add_argument_group(
        "very many videos", "a folder, --out DIR, that any number of processes fill"
    )
    add = group.add_argument
    add(
        "--runner",
        choices=(LOCAL, ARRAY, RAY),
        help="local: processes of this machine; array: this is one of many commands, such as tasks of Slurm; "
        "ray: processes of a Ray cluster",
    )
    add("--shard", metavar="K/N", help="of array: which part to begin with, from 0/N; default: as Slurm says")
    add("--processes", type=int, metavar="N", help="that look at videos; default: the cores of this command")
    add(
        "--address",
        help="of ray: HOST:PORT of a cluster, or auto for that of this machine; default: RAY_ADDRESS, or one "
        "is started with --processes CPUs",
    )
    parser.set_defaults(models=models, gpus=None)
    if models:
        add(
            "--gpus",
            type=float,
            metavar="F",
            help="of ray: for each process with the model, such as 0.5; default: 1 where there are GPUs",
        )
    add(
        "--fresh", action="store_true", help="of local and ray: throw away what the folder has of another job"
    )
    add("--retry-failed", action="store_true", help="try videos again that could not be read")
    add("--video-timeout", type=float, metavar="SECONDS", help="a video has failed then; default: 3600")


def how_to_run(args: argparse.Namespace, name: str = "") -> HowToRun | None:
    """What the options say; None if no job is asked for.

    Args:
        args: With the options of add_runner, and as `typed` all words of the command line.
        name: Of the command, for the one that the report names; none is named if empty.

    Raises:
        InputError: If they do not fit together.
    """
    if args.runner is None:
        for option in ("shard", "processes", "address", "gpus", "fresh", "video_timeout"):
            if (value := getattr(args, option)) is not None and value is not False:
                raise InputError(f"--{option.replace('_', '-')} is for very many videos: add --runner local")
        return None
    if getattr(args, "workers", None) is not None:
        raise InputError("--workers is not for --runner: --processes says how many look at videos")
    if args.out is None:
        raise InputError("--runner fills a folder: name it with --out DIR")
    if args.out.exists() and not args.out.is_dir():
        raise InputError(f"--out {args.out} is a file: with --runner it is a folder")
    if args.fresh and args.runner == ARRAY:
        raise InputError(
            "--fresh would throw away what the other tasks have done: remove the folder before you start them"
        )
    for option, number in (("--processes", args.processes), ("--video-timeout", args.video_timeout)):
        if number is not None and not number > 0:
            raise InputError(f"{option} is {number}: it must be more than 0")
    shard, shards = _shard(args.shard) if args.runner == ARRAY else (0, 1)
    if args.runner != ARRAY and args.shard:
        raise InputError("--shard is for --runner array")
    return HowToRun(
        shard=shard,
        shards=shards,
        processes=args.processes or _processes(few=args.models and args.runner != RAY),
        ray=_ray(args),
        fresh=args.fresh,
        retry_failed=args.retry_failed,
        timeout=args.video_timeout or HowToRun.timeout,
        again=_again(name, args.typed) if name else "",
    )


def _again(name: str, words: list[str]) -> str:
    """What to type to try again what failed, without credentials of URLs."""
    kept = [word for word in words if word not in ("--fresh", "--retry-failed")]
    # In front: what stands behind --opts would be taken for keys.
    return as_typed(name, "--retry-failed", *map(public_name, kept))


def _ray(args: argparse.Namespace) -> RayHow | None:
    if args.runner != RAY:
        for option in ("address", "gpus"):
            if getattr(args, option) is not None:
                raise InputError(f"--{option} is for --runner ray")
        return None
    address = args.address or os.environ.get("RAY_ADDRESS", "")
    address = "" if address == "local" else address  # as Ray reads it
    if args.gpus is not None and not (0 <= args.gpus <= 1 or (args.gpus.is_integer() and args.gpus > 0)):
        raise InputError(f"--gpus is {args.gpus:g}: it must be a part of 1, or a whole number")
    if address and args.processes:
        raise InputError(
            f"--processes is of a cluster that is started, and the one at {address} has its own: leave it out"
        )
    require_ray(address)
    return RayHow(address, args.gpus if args.models else 0.0)


def _shard(text: str | None) -> tuple[int, int]:
    if text is None:
        number, count = map(os.environ.get, _SLURM)
        if not (number and count):
            raise InputError(
                f"--runner array needs --shard K/N, or {_SLURM[0]} and {_SLURM[1]}, which Slurm sets"
            )
        return int(number) % int(count), int(count)  # numbers may begin anywhere and have gaps
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if found is None:
        raise InputError(f"--shard is {text!r}: type it as 3/64")
    number, count = map(int, found.groups())
    if not number < count:
        raise InputError(f"--shard is {text}: it must be from 0/{count} to {count - 1}/{count}")
    return number, count


def _processes(*, few: bool) -> int:
    """One for each core of this command; or few where there is a GPU."""
    return min(usable_cores(), _ON_GPU) if few and torch.cuda.is_available() else usable_cores()


def _others(count: int) -> str:
    return "1 process of another command is" if count == 1 else f"{count} processes of other commands are"


def run_and_tell(
    job: VideoJob,
    args: argparse.Namespace,
    videos: list[str],
    how: HowToRun,
    say: Callable[[str], None],
    finish: Callable[[], None] | None = None,
) -> int:
    """Run a job, and say how it stands; the exit status is 1 if videos have failed.

    Args:
        job: The job.
        args: Of a command line with the options of add_runner.
        videos: Paths.
        how: What this command does of the job.
        say: Receives lines for a person.
        finish: Says what has come of a job whose output is written, in place of the sentence here.
    """
    lists = [Path(name) for name in getattr(args, "list", ())]
    if not (videos or lists):
        raise InputError("there is no video: name files, folders or patterns, or a list with --list FILE")
    try:
        outcome = run_job(job, videos, lists, how, say)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted: the same command goes on after what is in {args.out}"
        ) from None
    for reason, count in outcome.reasons.most_common(_REASONS):
        print(f"{count} failed: {without_controls(reason)}", file=sys.stderr)
    sound = f"{outcome.done - outcome.failed} of {outcome.num_videos} videos"
    if outcome.is_complete and finish is not None:
        finish()
    elif outcome.is_complete:
        repaired = f", {outcome.repaired} repaired" if outcome.repaired else ""
        said = f"{sound}{repaired}, {outcome.failed} failed: {job.output.path}; of each video: {job.manifest}"
        say(f"{said}; report: {job.report}")
    else:
        say(
            f"{sound} so far, {outcome.failed} failed: {_others(outcome.others)} at work on the rest, and "
            f"the last of them writes {job.output.path}; if they end before that, type this again"
        )
    if outcome.is_complete and outcome.failed == outcome.num_videos:
        raise InputError(f"none of the {outcome.num_videos} videos could be read")
    return 1 if outcome.failed else 0
