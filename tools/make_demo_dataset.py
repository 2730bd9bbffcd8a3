"""Make the demonstration data set: python tools/make_demo_dataset.py --out outputs/demo/data --seed 0."""

import argparse
from pathlib import Path

from slowfast_ext.cli import run_safely
from slowfast_ext.demo.dataset import DatasetSettings, make_dataset


def main() -> None:
    """Parse the command line and make the data set."""
    parser = argparse.ArgumentParser(
        description="Make a small action data set of H.264 files for PySlowFast."
    )
    parser.add_argument("--out", type=Path, default=Path("outputs/demo/data"), help="folder to write into")
    parser.add_argument("--num-train", type=int, default=DatasetSettings.num_train, help="training videos")
    parser.add_argument("--num-val", type=int, default=DatasetSettings.num_val, help="validation videos")
    parser.add_argument("--seed", type=int, default=DatasetSettings.seed, help="same seed, same pixels")
    args = parser.parse_args()
    make_dataset(args.out, DatasetSettings(num_train=args.num_train, num_val=args.num_val, seed=args.seed))
    print(f"{args.out}: {args.num_train} training and {args.num_val} validation videos")


if __name__ == "__main__":
    run_safely(main)
