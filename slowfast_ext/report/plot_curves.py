"""The command line of tools/plot_curves.py."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from slowfast_ext.report.curves import name_runs, plot_curves, read_curves


def draw_runs(argv: Sequence[str] | None = None) -> None:
    """Draw the learning curves of one or more runs into one picture.

    Args:
        argv: Arguments without the program's name.

    Raises:
        InputError: If a run has no log, a log no epochs, or, where they are asked for, no times.
    """
    args = _parser().parse_args(argv)
    first = args.runs[0] if args.runs[0].is_dir() else args.runs[0].parent
    out = args.out or first / "learning_curves.png"
    curves = [read_curves(run) for run in args.runs]
    by = "seconds" if args.by == "time" else "epoch"
    plot_curves(dict(zip(name_runs(args.runs), curves, strict=True)), out, by=by)
    print(f"learning curves: {out}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Draw the learning curves of one or more runs.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="OUTPUT_DIR of a run, or its log")
    parser.add_argument(
        "--by",
        choices=("epoch", "time"),
        default="epoch",
        help="what the curves run over: epochs, or wall time since the training began; default: epoch",
    )
    parser.add_argument("--out", type=Path, help="picture; default: RUN/learning_curves.png")
    return parser
