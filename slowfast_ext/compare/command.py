"""The command line of `tools/benchmark.py compare`."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from slowfast_ext.compare.contenders import read_contenders
from slowfast_ext.compare.output import write_all, write_rows
from slowfast_ext.compare.rows import FAILED, ResultRow
from slowfast_ext.compare.run import Comparison, alone_in, count_costs, run_all
from slowfast_ext.host.command_line import is_config_file, split_words
from slowfast_ext.protocols import OF_THE_PAPER, PROTOCOLS
from slowfast_ext.report.page import Section
from vtn.errors import InputError

TIMED_VIDEOS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `compare` takes; KEY VALUE pairs may follow any of it."""
    add = parser.add_argument
    add("--cfg", nargs="+", required=True, metavar="FILE", help="configurations; each is named by its file")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for everything")
    add("--train", action="store_true", help="train those that have no checkpoint")
    add(
        *("--checkpoint", "--checkpoints"),
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=FILE",
        help="weights to test",
    )
    add(
        "--protocols",
        nargs="+",
        default=OF_THE_PAPER,
        metavar="PROTOCOL",
        help=f"of {', '.join(PROTOCOLS)}; default: {' '.join(OF_THE_PAPER)}",
    )
    add(
        "--timed-videos",
        type=int,
        default=TIMED_VIDEOS,
        metavar="N",
        help="videos of the test list that are timed one by one; 0 times none",
    )


def compare(args: argparse.Namespace, rest: Sequence[str], *, command: str) -> int:
    """Do what was typed.

    Args:
        args: Of `add_arguments`.
        rest: KEY VALUE pairs that the parser left over.
        command: What was typed, for the files.

    Returns:
        The exit status: 1 if a row failed.

    Raises:
        InputError: If something is wrong that can be known before work starts.
    """
    paths, opts = split_words(args.cfg, is_config_file)
    protocols, more = split_words(args.protocols, lambda word: word in PROTOCOLS)
    checkpoints, still_more = split_words(args.checkpoint, lambda word: "=" in word)
    rows = compare_models(
        paths,
        [*opts, *more, *still_more, *rest],
        out=args.out,
        command=command,
        train=args.train,
        checkpoints=checkpoints,
        protocols=protocols,
        timed_videos=args.timed_videos,
    )
    return int(any(row.status == FAILED for row in rows))


def compare_models(
    paths: Sequence[str | Path],
    overrides: Sequence[str],
    *,
    out: Path,
    command: str,
    train: bool = False,
    checkpoints: Sequence[str] = (),
    protocols: Sequence[str] = OF_THE_PAPER,
    timed_videos: int = TIMED_VIDEOS,
    look_closer: Callable[[Comparison, Sequence[ResultRow]], Sequence[Section]] = lambda *_: (),
    say: Callable[[str], None] | None = None,
) -> list[ResultRow]:
    """Train, test and measure models side by side, and write tables, pictures and a page.

    Args:
        paths: Configurations.
        overrides: Keys and values in turn, over all of them.
        out: Folder for everything. What an earlier call finished there is not done again.
        command: What was typed, for the files.
        train: Train those that have no checkpoint.
        checkpoints: NAME=FILE, for names of `paths`.
        protocols: Names of PROTOCOLS.
        timed_videos: Videos of the test list that are timed one by one, at most; 0 times none.
        look_closer: Called when all is done; returns more to show on the page.
        say: Receives lines; by default they are printed.

    Raises:
        InputError: If something is wrong that can be known before work starts.
    """
    for protocol in protocols:
        if protocol not in PROTOCOLS:
            raise InputError(f"--protocols {protocol}: it must be one of {', '.join(PROTOCOLS)}")
    if timed_videos < 0:
        raise InputError(f"--timed-videos is {timed_videos}: it must be 0 or more")
    out = out.resolve()
    contenders = read_contenders(paths, overrides, out=out, train=train, checkpoints=checkpoints)
    comparison = Comparison(contenders, tuple(dict.fromkeys(protocols)), out, timed_videos)
    with alone_in(out):
        rows = _work(comparison, command, say)
        write_all(comparison, rows, command, look_closer(comparison, rows), say=say or _print)
    return rows


def _work(comparison: Comparison, command: str, say: Callable[[str], None] | None) -> list[ResultRow]:
    """Do everything; the rows so far are in the files whenever it is stopped."""
    tell = say or _print
    for contender in comparison.contenders:
        if contender.switched_off:
            tell(
                f"{contender.name}: our data sets do not do {', '.join(contender.switched_off)}: switched off"
            )
    rows = count_costs(comparison, tell)
    try:
        run_all(comparison, rows, say=say, step_ended=lambda: write_rows(comparison, rows, command))
    except KeyboardInterrupt:
        files = write_rows(comparison, rows, command)
        tell(f"\nThe rows so far are in {files[-1]}.")
        raise
    return rows


def _print(text: str) -> None:
    print(text, flush=True)
