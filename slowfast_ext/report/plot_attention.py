"""The command line of tools/plot_attention.py."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from slowfast_ext.report.words import check_number, number_or, videos_and_keys
from vtn.errors import InputError

_DESCRIPTION = (
    "Draw what a VTN looks at in videos: frames of each video over the attention of the CLS token, as in "
    "figure 3 of the paper. With several runs, such as one with learned and one with uniform attention, each "
    "video is drawn once for each."
)


def draw_attention(argv: Sequence[str] | None = None) -> int:
    """Draw the attention of one or more runs in one or more videos into one picture.

    Args:
        argv: Arguments without the program's name.

    Returns:
        The exit status: 1 if some of the videos could not be read; they were named, and the others drawn.

    Raises:
        InputError: If an argument, a configuration or a checkpoint cannot be used, or no video could be read.
    """
    args = _parse(argv)

    # Not above: --help needs no PySlowFast.
    from slowfast_ext.report.attention import plot_strips
    from slowfast_ext.report.looks import load_looker

    lookers = [
        load_looker(config, checkpoint, args.overrides)
        for config, checkpoint in zip(args.cfg, args.checkpoint or [None] * len(args.cfg), strict=True)
    ]
    for looker in lookers:
        layers, heads = len(looker.model.temporal_encoder.layers), looker.model.sizes["num_heads"]
        check_number("--layer", args.layer, layers, "all", looker.name)
        check_number("--head", args.head, heads, "mean", looker.name)
    strips, failed = [], 0
    for video in args.videos:
        found = _strips_of(video, lookers, args)
        failed += not found
        strips += found
    if not strips:
        raise InputError(f"none of the {len(args.videos)} videos could be read, so there is nothing to draw")
    out = args.out or Path(lookers[0].cfg.OUTPUT_DIR) / "attention.png"
    plot_strips(strips, out)
    print(f"attention in {len(args.videos) - failed} of {len(args.videos)} videos: {out}")
    return 1 if failed else 0


def _strips_of(video: str, lookers: Sequence, args: argparse.Namespace) -> list:
    """The strips of one video, of each model and layer; none if it cannot be read, and a line says why."""
    from slowfast_ext.data.dataset import Vtnkinetics
    from slowfast_ext.video import VideoError

    strips, head = [], None if args.head == "mean" else args.head - 1
    try:
        for looker in lookers:
            look = looker.look(Vtnkinetics(looker.cfg, "test", [video]), 0)
            layers = range(len(look.attention)) if args.layer == "all" else [args.layer - 1]
            for layer in layers:
                caption = f"{looker.verdict(look)}; {looker.cfg.VTN.ATTENTION} attention, layer {layer + 1}, "
                caption += "mean of heads" if head is None else f"head {args.head}"
                strips.append(look.strip(look.weights(layer, head), caption, shown=args.frames))
    except VideoError as error:
        print(f"not drawn: {error}", file=sys.stderr)
        return []
    return strips


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Options as given; `videos`; `overrides`: the words from the first KEY on, and those after --opts."""
    args = _parser().parse_intermixed_args(argv)
    args.videos, overrides = videos_and_keys(args.words)
    args.overrides = [*overrides, *args.opts]
    if args.checkpoint and len(args.checkpoint) != len(args.cfg):
        raise InputError(
            f"there are {len(args.checkpoint)} --checkpoint and {len(args.cfg)} --cfg: give one for each, or "
            "none to take the newest of each OUTPUT_DIR"
        )
    if args.frames < 1:
        raise InputError(f"--frames is {args.frames}: it must be at least 1")
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=_DESCRIPTION)
    add = parser.add_argument
    add("words", nargs="*", metavar="VIDEO", help="files; KEY VALUE pairs over the config may follow")
    add("--cfg", action="append", required=True, metavar="FILE", help="config of a run; may be repeated")
    add("--checkpoint", action="append", metavar="FILE", help="its checkpoint; default: newest of OUTPUT_DIR")
    add("--layer", type=number_or("all"), default=1, help="temporal layer from 1, or all; default: 1")
    add("--head", type=number_or("mean"), default="mean", help="head from 1, or mean of all; default: mean")
    add("--frames", type=int, default=16, help="frames shown of each video; default: 16")
    add("--out", type=Path, help="picture; default: OUTPUT_DIR/attention.png")
    add("--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs over the config")
    return parser
