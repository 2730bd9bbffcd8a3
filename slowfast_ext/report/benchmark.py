"""The command line of tools/benchmark.py."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from slowfast_ext.report.paper import make_tables
from vtn.errors import InputError

_ROOT = Path(__file__).resolve().parents[2]


class _Parser(argparse.ArgumentParser):
    """One sentence for a wrong command line, as for any other bad input."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; {self.prog} --help tells more.")


def compare_with_paper(argv: Sequence[str] | None = None) -> None:
    """Write the paper's tables beside our counts.

    Args:
        argv: Arguments without the program's name.

    Raises:
        InputError: For a wrong command line, or a folder that cannot be written.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = _Parser(description="Numbers of the paper beside ours.")
    commands = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    paper = commands.add_parser(
        "paper",
        help="tables 3 and 4: parameters and GFLOPs of all models, without data, weights or a GPU",
        description="Count parameters and GFLOPs of the models in the paper's tables 3 and 4.",
    )
    paper.add_argument("--out", type=Path, default=Path("outputs/paper"), help="folder for the tables")
    args = parser.parse_args(argv)
    make_tables(_ROOT, args.out, command=shlex.join(["python", "tools/benchmark.py", *argv]))
