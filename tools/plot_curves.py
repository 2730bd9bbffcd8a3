"""Draw learning curves from logs: python tools/plot_curves.py runs/vtn runs/i3d --out curves.png."""

import argparse
from pathlib import Path

from slowfast_ext.cli import run_safely
from slowfast_ext.report.curves import name_runs, plot_curves, read_curves


def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(description="Draw the learning curves of one or more runs.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="OUTPUT_DIR of a run, or its log")
    parser.add_argument(
        "--out", type=Path, default=Path("curves.png"), help="picture to write (.png, .pdf, .svg)"
    )
    args = parser.parse_args()
    curves = [read_curves(run) for run in args.runs]
    plot_curves(dict(zip(name_runs(args.runs), curves, strict=True)), args.out)
    print(f"learning curves of {len(curves)} runs: {args.out}")


if __name__ == "__main__":
    run_safely(main)
