"""See it all work, without data or GPU: python tools/demo.py (what `make demo` runs after the install)."""

import argparse
import sys
from pathlib import Path

from slowfast_ext.cli import run_safely
from slowfast_ext.demo.dataset import DatasetSettings
from slowfast_ext.demo.run import run_demo
from slowfast_ext.demo.steps import StepError


def main() -> None:
    """Parse the command line and run the demonstration."""
    parser = argparse.ArgumentParser(
        description="Make a small data set, train and test VTN, I3D and SlowFast on it, compare them. "
        "Interrupted, the same command goes on where it stopped."
    )
    parser.add_argument("--out", type=Path, default=Path("outputs/demo"), help="folder for everything")
    parser.add_argument("--num-train", type=int, default=DatasetSettings.num_train, help="training videos")
    parser.add_argument("--num-val", type=int, default=DatasetSettings.num_val, help="validation videos")
    parser.add_argument("--seed", type=int, default=DatasetSettings.seed, help="seed of the data set")
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs over the configs"
    )
    args = parser.parse_args()
    root = Path(__file__).resolve().parents[1]
    settings = DatasetSettings(num_train=args.num_train, num_val=args.num_val, seed=args.seed)
    try:
        run_demo(root, args.out, settings=settings, overrides=tuple(args.opts))
    except StepError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    run_safely(main)
