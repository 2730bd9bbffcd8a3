"""The command line of tools/demo.py."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from slowfast_ext.compare.rows import FAILED
from slowfast_ext.demo.dataset import DatasetSettings
from slowfast_ext.demo.run import run_demo

_ROOT = Path(__file__).resolve().parents[2]


def demonstrate(argv: Sequence[str] | None = None) -> int:
    """Make a data set, train and test four models on it, compare them.

    Args:
        argv: Arguments without the program's name.

    Returns:
        The exit status: 1 if a model failed; its row says why.
    """
    args = _parser().parse_args(argv)
    settings = DatasetSettings(num_train=args.num_train, num_val=args.num_val, seed=args.seed)
    rows = run_demo(_ROOT, args.out, settings=settings, overrides=tuple(args.opts))
    return int(any(row.status == FAILED for row in rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Make a small data set, train and test VTN, I3D, non-local I3D and SlowFast on it, and "
        "compare them. Interrupted, the same command goes on where it stopped."
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("outputs/demo"), help="folder for everything")
    add("--num-train", type=int, default=DatasetSettings.num_train, help="training videos")
    add("--num-val", type=int, default=DatasetSettings.num_val, help="validation videos")
    add("--seed", type=int, default=DatasetSettings.seed, help="seed of the data set")
    add("--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs over the configs")
    return parser
