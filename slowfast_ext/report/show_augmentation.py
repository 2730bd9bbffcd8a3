"""The command line of tools/show_augmentation.py."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from slowfast_ext.report.words import videos_and_keys
from vtn.errors import InputError

_DESCRIPTION = (
    "Draw what a configuration's training does to a clip: frames as they were decoded, a row for each thing "
    "that the configuration switches on by AUG and MIXUP, and one for all of them together. Another RNG_SEED "
    "draws other random numbers."
)


def show_augmentation(argv: Sequence[str] | None = None) -> None:
    """Draw the augmentation of a clip of the first video into one picture.

    Args:
        argv: Arguments without the program's name.

    Raises:
        InputError: If the configuration or a video cannot be used, or the picture cannot be written.
    """
    args = _parser().parse_intermixed_args(argv)
    videos, overrides = videos_and_keys(args.words)
    if args.frames < 1:
        raise InputError(f"--frames is {args.frames}: it must be at least 1")

    # Not above: --help needs no PySlowFast.
    from slowfast_ext.config import load_config
    from slowfast_ext.report.augmented import augmented_rows, plot_augmented

    cfg = load_config(args.cfg, [*overrides, *args.opts])
    rows = list(augmented_rows(cfg, videos))
    plot_augmented(rows, args.out, shown=args.frames)
    print(f"augmentation in {len(rows)} rows: {args.out}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=_DESCRIPTION)
    add = parser.add_argument
    add("words", nargs="*", metavar="VIDEO", help="files; KEY VALUE pairs over the config may follow")
    add("--cfg", required=True, metavar="FILE", help="config of a training")
    add("--out", type=Path, default=Path("augmentation.png"), help="picture; default: augmentation.png")
    add("--frames", type=int, default=8, help="frames shown of the clip; default: 8")
    add("--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs over the config")
    return parser
