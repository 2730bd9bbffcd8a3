"""The command line of tools/prepare_dataset.py."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from slowfast_ext.jobs.options import LOCAL, add_runner, how_to_run
from slowfast_ext.prepare.find import VideoIndex
from slowfast_ext.prepare.folders import plan_folders
from slowfast_ext.prepare.kinetics import plan_kinetics
from slowfast_ext.prepare.moments import plan_moments
from slowfast_ext.prepare.plan import Plan
from slowfast_ext.prepare.process import Work
from slowfast_ext.prepare.run import Settings, prepare
from slowfast_ext.prepare.segments import plan_segments
from slowfast_ext.prepare.split_files import plan_split_files
from slowfast_ext.progress import speaker

_EPILOG = (
    "Writes train.csv, val.csv, test.csv, classes.txt, failures.csv, class_counts.csv, report.md and "
    "report.png. An interrupted run continues when the same command is typed again."
)


def prepare_dataset(argv: Sequence[str] | None = None) -> None:
    """Prepare a data set as the command line asks.

    Args:
        argv: Arguments without the program's name.

    Raises:
        InputError: For bad input, before videos are read.
    """
    args = build_parser().parse_args(argv)
    settings = Settings(args.out, Work(args.verify, args.short_side, args.crf), args.separator)
    how = how_to_run(args)
    plan, originals = _plan(args)
    prepare(plan, originals, settings, f"{args.title}: {args.videos}", args, how, say=speaker())


def _plan(args: argparse.Namespace) -> tuple[Plan, Path]:
    """The plan, and where the videos are; the index of all files is not kept."""
    index = VideoIndex(args.videos, without=args.out)
    return args.plan(args, index), index.folder


def build_parser() -> argparse.ArgumentParser:
    """The parser, with a sub-command for each kind of data set."""
    parser = argparse.ArgumentParser(
        description="Make the lists that training reads from a data set as it is published; every video is "
        "read, and copied to a smaller size if asked for.",
        epilog=_EPILOG,
    )
    kinds = parser.add_subparsers(title="data sets", required=True, metavar="KIND")
    _add_annotated_kinds(kinds)
    _add_folder(kinds)
    _add_segments(kinds)
    return parser


def _add_annotated_kinds(kinds: argparse._SubParsersAction) -> None:
    kinetics = _add_kind(
        kinds,
        "kinetics",
        "Kinetics-400, -600, -700: annotation CSVs and ID_START_END.mp4 or ID.mp4",
        "Kinetics",
        lambda args, index: plan_kinetics(args.annotations, index, args.classes),
    )
    kinetics.add_argument(
        "--annotations",
        type=Path,
        nargs="+",
        required=True,
        metavar="CSV",
        help="label,youtube_id,time_start,time_end,split; one file or one for each split",
    )
    mit = _add_kind(
        kinds,
        "mit",
        "Moments in Time, versions 1 and 2",
        "Moments in Time",
        lambda args, index: plan_moments(args.annotations, index, args.classes),
    )
    mit.add_argument(
        "--annotations",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="with trainingSet.csv, validationSet.csv and moments_categories.txt",
    )
    split = _add_kind(
        kinds,
        "split",
        "UCF101 (trainlist01.txt ...) or HMDB51 (CLASS_test_split1.txt)",
        "Split files",
        lambda args, index: plan_split_files(args.annotations, args.number, index, args.classes),
    )
    split.add_argument(
        "--annotations", type=Path, required=True, metavar="FOLDER", help="with the split files"
    )
    split.add_argument("--number", type=int, default=1, help="which split (default %(default)s)")


def _add_folder(kinds: argparse._SubParsersAction) -> None:
    folder = _add_kind(
        kinds,
        "folder",
        "a folder for each class, in train/ val/ test/ or not",
        "Folders of classes",
        lambda args, index: plan_folders(
            index, val_fraction=args.val_fraction, test_fraction=args.test_fraction, classes=args.classes
        ),
    )
    text = "part of each class for %s where there are no train/ val/ test/ folders (default %%(default)s)"
    folder.add_argument("--val-fraction", type=float, default=0.1, help=text % "val")
    folder.add_argument("--test-fraction", type=float, default=0.0, help=text % "test")


def _add_segments(kinds: argparse._SubParsersAction) -> None:
    segments = _add_kind(
        kinds,
        "segments",
        "long videos with segments: ActivityNet, THUMOS14; also writes segments.json, for vtnsegments",
        "Segments",
        lambda args, index: plan_segments(
            args.annotations, index, args.classes, leave_out_bad=args.leave_out_bad
        ),
    )
    segments.add_argument(
        "--annotations",
        type=Path,
        required=True,
        metavar="JSON",
        help="as ActivityNet publishes it; videos are called v_ID.mp4 or ID.mp4",
    )
    segments.add_argument(
        "--leave-out-bad",
        action="store_true",
        help="leave out annotations that cannot be used, and name them in the report (default: stop)",
    )


def _add_kind(
    kinds: argparse._SubParsersAction, name: str, text: str, title: str, plan: Callable
) -> argparse.ArgumentParser:
    """A sub-command with the options that all have."""
    parser = kinds.add_parser(name, help=text, description=text, epilog=_EPILOG)
    parser.set_defaults(plan=plan, title=title)
    add = parser.add_argument
    add("--videos", type=Path, required=True, metavar="FOLDER", help="where the videos are, at any depth")
    add("--out", type=Path, required=True, metavar="FOLDER", help="where to write; for DATA.PATH_TO_DATA_DIR")
    add("--classes", type=Path, metavar="FILE", help="class ids: a name a line, `name,id` a line, or JSON")
    add(
        "--short-side",
        type=int,
        default=0,
        metavar="PIXELS",
        help="copy videos into OUT/videos with this short side (256 or 320), H.264, a keyframe each second; "
        "smaller ones keep their size (default: no copies)",
    )
    add(
        "--crf", type=int, default=20, help="quality of copies, 0 to 51, less is better (default %(default)s)"
    )
    add(
        "--verify",
        choices=("full", "quick"),
        default="full",
        help="decode every frame, or read packets and decode one frame (default %(default)s); "
        "copying always decodes every frame",
    )
    add("--separator", default=" ", help="between path and label (default: a space; the last one counts)")
    add_runner(parser, models=False)
    parser.set_defaults(runner=LOCAL)
    add("--jobs", dest="processes", type=int, metavar="N", help="the same as --processes")
    add("--timeout", dest="video_timeout", type=float, metavar="SECONDS", help="the same as --video-timeout")
    return parser
