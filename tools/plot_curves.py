"""Draw learning curves from logs: python tools/plot_curves.py outputs/vtn outputs/i3d --out curves.png."""

import argparse
from pathlib import Path

from slowfast_ext.cli import run_safely
from slowfast_ext.report.curves import name_runs, plot_curves, read_curves


def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(description="Draw the learning curves of one or more runs.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="OUTPUT_DIR of a run, or its log")
    parser.add_argument("--out", type=Path, help="picture; default: RUN/learning_curves.png")
    args = parser.parse_args()
    first = args.runs[0] if args.runs[0].is_dir() else args.runs[0].parent
    out = args.out or first / "learning_curves.png"
    curves = [read_curves(run) for run in args.runs]
    plot_curves(dict(zip(name_runs(args.runs), curves, strict=True)), out)
    print(f"learning curves: {out}")


if __name__ == "__main__":
    run_safely(main)
