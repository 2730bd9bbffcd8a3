"""The command line of tools/demo.py."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from slowfast_ext.compare.rows import FAILED
from slowfast_ext.demo.dataset import DatasetSettings
from slowfast_ext.demo.long_videos import LongVideosSettings, make_long_videos
from slowfast_ext.demo.run import run_demo
from slowfast_ext.demo.scenes import CLASS_NAMES
from vtn.errors import InputError


def demonstrate(argv: Sequence[str] | None = None) -> int:
    """Make a data set, train and test four models on it, compare them; or make one with segments.

    Args:
        argv: Arguments without the program's name.

    Returns:
        The exit status: 1 if a model failed; its row says why.
    """
    args = _parser().parse_args(argv)
    given = {
        name: getattr(args, name) for name in ("num_train", "num_val") if getattr(args, name) is not None
    }
    if args.data == "segments":
        if args.opts:
            raise InputError(
                f"--opts {args.opts[0]} is for a training, and --data segments only makes videos"
            )
        make_long_videos(args.out / "segments", LongVideosSettings(**given, seed=args.seed))
        print(f"DATA.PATH_TO_DATA_DIR {args.out / 'segments'} MODEL.NUM_CLASSES {len(CLASS_NAMES)}")
        return 0
    settings = DatasetSettings(**given, seed=args.seed)
    rows = run_demo(args.out, settings=settings, overrides=tuple(args.opts))
    return int(any(row.status == FAILED for row in rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Make a small data set, train and test VTN, I3D, non-local I3D and SlowFast on it, and "
        "compare them. Interrupted, the same command goes on where it stopped."
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("outputs/demo"), help="folder for everything")
    add(
        "--data",
        choices=("actions", "segments"),
        default="actions",
        help="segments: only make a data set of long videos with several actions in each, in OUT/segments, "
        "for the data set vtnsegments",
    )
    add("--num-train", type=int, help="training videos")
    add("--num-val", type=int, help="validation videos")
    add("--seed", type=int, default=DatasetSettings.seed, help="seed of the data set")
    add("--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs over the configs")
    return parser
