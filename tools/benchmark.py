"""Compare with the paper: python tools/benchmark.py paper [--out outputs/paper]."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import NoReturn

from slowfast_ext.cli import run_safely
from slowfast_ext.report.paper import make_tables
from vtn.errors import InputError


class _Parser(argparse.ArgumentParser):
    """One sentence for a wrong command line, as for any other bad input."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; {self.prog} --help tells more.")


def main() -> None:
    """Parse the command line and run the benchmark that it names."""
    parser = _Parser(description="Numbers of the paper beside ours.")
    commands = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    paper = commands.add_parser(
        "paper",
        help="tables 3 and 4: parameters and GFLOPs of all models, without data, weights or a GPU",
        description="Count parameters and GFLOPs of the models in the paper's tables 3 and 4.",
    )
    paper.add_argument("--out", type=Path, default=Path("outputs/paper"), help="folder for the tables")
    args = parser.parse_args()
    root = Path(__file__).resolve().parents[1]
    make_tables(root, args.out, command=shlex.join(["python", "tools/benchmark.py", *sys.argv[1:]]))


if __name__ == "__main__":
    run_safely(main)
