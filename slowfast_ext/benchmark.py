"""The command line of tools/benchmark.py."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from slowfast_ext.compare import command as comparing
from slowfast_ext.report.paper import make_tables
from slowfast_ext.typed import as_typed
from vtn.errors import InputError


class _Parser(argparse.ArgumentParser):
    """One sentence for a wrong command line, as for any other bad input."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; {self.prog} --help tells more.")


def benchmark(argv: Sequence[str] | None = None) -> int:
    """Compare models on a data set, or the paper's tables with our counts.

    Args:
        argv: Arguments without the program's name.

    Returns:
        The exit status.

    Raises:
        InputError: For a wrong command line, and whatever else can be known before work starts.
    """
    argv = sys.argv[1:] if argv is None else argv
    typed = as_typed("benchmark", *argv)
    parser = _parser()
    args, rest = parser.parse_known_args(argv)
    flags = [word for word in rest if word.startswith("--")]
    if flags or (rest and args.benchmark == "paper"):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if args.benchmark == "compare":
        return comparing.compare(args, rest, command=typed)
    make_tables(args.out, command=typed)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(description="Models side by side on a data set, and the paper's numbers beside ours.")
    commands = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    compare = commands.add_parser(
        "compare",
        help="train, test and measure models on one data set: tables, pictures and a page",
        description="Each configuration is a row for each protocol. With --train it is trained and tested, "
        "with --checkpoint it is tested. With neither, its costs alone are counted, and measured if "
        "DATA.PATH_TO_DATA_DIR has a test.csv. Interrupted, the same command goes on.",
        epilog="KEY VALUE pairs over all configurations may follow, such as DATA.PATH_TO_DATA_DIR FOLDER.",
    )
    comparing.add_arguments(compare)
    paper = commands.add_parser(
        "paper",
        help="tables 3 and 4: parameters and GFLOPs of all models, without data, weights or a GPU",
        description="Count parameters and GFLOPs of the models in the paper's tables 3 and 4.",
    )
    paper.add_argument("--out", type=Path, default=Path("outputs/paper"), help="folder for the tables")
    return parser
