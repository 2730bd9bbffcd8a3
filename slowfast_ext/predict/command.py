"""The command line of tools/predict.py."""

import argparse
import functools
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slowfast_ext.jobs.options import add_runner, how_to_run
from slowfast_ext.predict.answers import LEAST_SCORE, TOP, Prediction, ScoredSegment, WindowScores
from slowfast_ext.predict.inputs import add_videos, find_videos
from slowfast_ext.predict.many import predict_many, what_is_asked
from slowfast_ext.predict.output import PredictionFile, require_page, require_writable
from slowfast_ext.processes import interrupts_wait
from slowfast_ext.progress import say_line, speaker, with_progress
from slowfast_ext.report.words import split_at_keys, without_controls
from slowfast_ext.typed import as_typed
from vtn.errors import InputError

if TYPE_CHECKING:
    from slowfast_ext.predict.predictor import Predictor

_DESCRIPTION = (
    "Say what happens in videos, with a model that was trained here, by PySlowFast or by the authors of VTN. "
    "The checkpoint says how its model was made and what it expects."
)
_EVERY = 2.0
_UNITS = {"": 1.0, "s": 1.0, "ms": 0.001, "min": 60.0}


def predict(argv: Sequence[str] | None = None) -> int:
    """Predict the classes of videos, or of one while it comes, as the command line asks.

    Args:
        argv: Arguments without the program's name.

    Returns:
        The exit status: 1 if some of the videos could not be read; they are named, and the others done.

    Raises:
        InputError: If an argument or the checkpoint cannot be used, or no video could be read.
    """
    args = _parse(argv)
    if args.live is not None:
        return _watch(args)
    if how := how_to_run(args, "predict"):
        videos = find_videos(args.videos) if args.videos else []
        return predict_many(functools.partial(_predictor, args), args, videos, how, speaker())
    videos = find_videos(args.videos, args.list)
    if args.out:
        require_writable(args.out, len(videos))
    if args.page:
        require_page(args.page, len(videos))

    predictor = _predictor(args)
    beside = _predictor(args, args.page_beside) if args.page_beside else None
    windows, show, seen = what_is_asked(args, predictor)
    file = PredictionFile(args.out, predictor.fingerprint(**seen), **show) if args.out else None
    try:
        say = speaker()
        failed, left = _done_before(videos, file, say)
        if args.page:
            # A page is made anew, but what is in the file is not written twice.
            results = _explained(predictor, beside, videos[0], args, show["least_score"], say)
            failed = _predict(results, file if left else None, say, **show)
        else:
            results = predictor.predict_files(left, num_workers=args.workers, **windows)
            results = with_progress(results, len(left), "predicting", say)
            failed += _predict(results, file, say, **show)
    except KeyboardInterrupt:
        goes_on = args.out is not None and args.out.suffix == ".jsonl"
        raise KeyboardInterrupt(
            f"interrupted: the same command goes on after what is in {args.out}"
            if goes_on
            else "interrupted: the same command begins anew; with --out FILE.jsonl it would go on"
        ) from None
    finally:
        if file is not None:
            file.close()
    for path, reason in failed:
        print(f"not read: {_named(path, reason)}", file=sys.stderr)
    if len(failed) == len(videos):
        raise InputError(f"none of the {len(videos)} videos could be read, so nothing was predicted")
    say(
        f"predicted {len(videos) - len(failed)} of {len(videos)} videos"
        + (f": {args.out}" if args.out else "")
    )
    return 1 if failed else 0


def _predictor(args: argparse.Namespace, checkpoint: str | None = None) -> "Predictor":
    """That of the command, or of another checkpoint with its own configuration."""
    with interrupts_wait():  # not above: --help needs no PySlowFast
        from slowfast_ext.predict.predictor import Predictor

        return Predictor(
            args.checkpoint if checkpoint is None else checkpoint,
            config=args.cfg if checkpoint is None else None,
            overrides=args.overrides,
            classes=args.classes,
            views=args.views,
            frames_per_chunk=args.frames_per_chunk,
            features=args.features,
            batch_size=args.batch_size,
        )


def _explained(
    predictor: "Predictor",
    beside: "Predictor | None",
    video: str,
    args: argparse.Namespace,
    least_score: float,
    say: Callable[[str], None],
) -> Iterator[Prediction]:
    """Write the page of a video, and yield what was predicted."""
    from slowfast_ext.video import VideoError  # loaded by now

    try:
        found = predictor.explain(video, least_score=least_score)
        other = None if beside is None else beside.explain(video)
    except VideoError as error:
        yield Prediction(video, predictor.class_names, error=str(error))
        return
    if not found.prediction.error:
        found.write(args.page, beside=other, command=as_typed("predict", *args.typed))
        say(f"page: {args.page} ({args.page.stat().st_size / 1e6:.1f} MB)")
    yield found.prediction


def _watch(args: argparse.Namespace) -> int:
    """Look at a video while it comes, and say what is seen; the exit status is 130 after Ctrl-C."""
    predictor = _predictor(args)
    every = _EVERY if args.every is None else args.every
    how = {"kind": args.format, "rate": args.rate, "every": every, "window": args.window}
    with interrupts_wait():
        from slowfast_ext.predict.live import LiveAnswers

    answers = LiveAnswers(predictor, args.live, **how)
    if answers.num_layers > 1:
        say_line(
            f"this model has {answers.num_layers} temporal layers: while a video runs its answers are an "
            "approximation, see docs/long_videos.md"
        )
    status = 0
    try:
        for part in answers:
            best = _best(predictor, args.live, part, args.top or 1)
            say_line(f"{_times(part)}  " + "  ".join(f"{score:.4f}  {name}" for score, name in best))
    except KeyboardInterrupt:
        status = 130
        print("\ninterrupted: this is the answer so far", file=sys.stderr)
    last = answers.latest()
    if last is None:
        print("no frame was looked at", file=sys.stderr)
        return status or 1
    read = f"{answers.num_looked} of {answers.num_frames} frames, {answers.seconds:.1f} s"
    since = f"; the answer is since {last.begin:.1f} s" if last.begin else ""
    say_line(
        f"{without_controls(answers.name)} ({read}{since})"
        + (f": {answers.missing}" if answers.missing else "")
    )
    for score, name in _best(predictor, args.live, last, args.top or TOP):
        say_line(f"  {score:.4f}  {name}")
    return status


def _best(predictor: "Predictor", name: str, part: WindowScores, top: int) -> list[tuple[float, str]]:
    """Scores and names of the best classes."""
    if not all(map(math.isfinite, part.scores)):
        raise InputError(f"the scores of {name} are not finite numbers.")
    answer = Prediction(name, predictor.class_names, part.scores)
    return [(score, without_controls(name)) for name, score in answer.top(top)]


def _times(part: WindowScores | ScoredSegment) -> str:
    return f"  {part.begin:8.2f} to {part.end:8.2f} s"


def _done_before(
    videos: Sequence[str], file: PredictionFile | None, say: Callable[[str], None]
) -> tuple[list[tuple[str, str]], list[str]]:
    """Of the videos in the file those that failed, and the videos that are not in it."""
    done = {} if file is None else file.done
    left = [path for path in videos if path not in done]
    if len(left) < len(videos):
        say(f"{len(videos) - len(left)} of {len(videos)} videos were done before")
    return [(path, done[path]) for path in videos if done.get(path)], left


def _predict(
    results: Iterable[Prediction], file: PredictionFile | None, say: Callable[[str], None], **show: float
) -> list[tuple[str, str]]:
    """Show and write every result; those without scores, and why."""
    failed = []
    for prediction in results:
        if file is not None:
            file.add(prediction)
        if prediction.error:
            failed.append((prediction.path, prediction.error))
        else:
            say(_told(prediction, **show))
    return failed


def _told(prediction: Prediction, top: int, least_score: float) -> str:
    """A video's lines on the screen."""
    read = f"{prediction.frames_read} of {prediction.num_frames} frames, {prediction.seconds:.1f} s"
    views = f", {prediction.views} views" if prediction.views > 1 else ""
    lines = [f"{without_controls(prediction.path)} ({read}{views})"]
    if prediction.missing:
        lines[0] += f": {prediction.missing}"
    for part in prediction.windows:
        best = int(part.scores.argmax())
        lines.append(f"{_times(part)}  {part.scores[best]:.3f}  {prediction.name(best)}")
    for segment in prediction.best_segments(least_score):
        lines.append(f"{_times(segment)}  {segment.score:.3f}  {prediction.name(segment.label)}")
    if prediction.segments is not None and len(lines) == 1:
        best = max((segment.score for segment in prediction.segments), default=0.0)
        told = f"  no segment has a score of {least_score:g} or more; the best one has {best:.3g}"
        lines.append(f"{told} (--least-score)")
    if not prediction.windows and prediction.segments is None:
        lines += [f"  {score:.3f}  {name}" for name, score in prediction.top(top)]
    return "\n".join(lines)


def _named(path: str, reason: str) -> str:
    return without_controls(reason if path in reason or reason.startswith("…") else f"{path}: {reason}")


def _seconds(text: str) -> float:
    """2, 2s, 500ms or 1min, in seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(s|ms|min|)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 10s, 500ms or 1min")
    return float(found[1]) * _UNITS[found[2]]


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Options as given; `checkpoint`, `videos`; `overrides`: words from the first KEY on, and of --opts."""
    args = _parser().parse_intermixed_args(argv)
    args.typed = sys.argv[1:] if argv is None else list(argv)
    files, overrides = split_at_keys(args.words)
    if not files:
        raise InputError("there is no checkpoint: its file comes first, then videos")
    args.checkpoint, *args.videos = files
    for checkpoint in filter(None, (args.checkpoint, args.page_beside)):
        if not os.path.exists(checkpoint):
            raise InputError(f"checkpoint {checkpoint}: no such file or folder")
    args.overrides = [*overrides, *args.opts]
    if args.live is None and (args.rate is not None or args.format is not None):
        raise InputError("--rate and --format are for --live")
    if args.live is not None and args.runner:
        raise InputError("--live looks at one source, and --runner at very many videos: leave one out")
    if args.page and args.runner:
        raise InputError("--page explains one video, and --runner is for very many: leave one out")
    if args.parquet and args.runner is None:
        raise InputError("--parquet is for very many videos: add --runner local or --runner array")
    if args.retry_failed and args.runner is None:
        raise InputError("--retry-failed is for very many videos: add --runner local or --runner array")
    if args.live is not None and (args.videos or args.list or args.out or args.features):
        raise InputError(
            "--live looks at one source: it takes no other videos, no --list, no --out and no --features"
        )
    if args.least_score is not None and not 0 < args.least_score <= 1:
        raise InputError(f"--least-score is {args.least_score:g}: it must be above 0 and at most 1")
    if args.page_beside and not args.page:
        raise InputError("--page-beside is for --page: name the file of the page too")
    others = args.live, args.window, args.every, args.features
    if args.page and any(value is not None for value in others):
        raise InputError(
            "--page explains one look at a whole video: it takes no --live, --window, --every and --features"
        )
    for option, number, least in (("--top", args.top, 1), ("--workers", args.workers, 0)):
        if number is not None and number < least:
            raise InputError(f"{option} is {number}: it must be at least {least}")
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=_DESCRIPTION, allow_abbrev=False)
    add = parser.add_argument
    add_videos(parser, "a checkpoint or the folder of a run")
    add(
        "--out", type=Path, metavar="FILE", help="predictions: .jsonl (all of them; is continued), .csv, .vtt"
    )
    add(
        "--page",
        type=Path,
        metavar="FILE",
        help="an .html page of one video: what the model looked at, and why",
    )
    add(
        "--page-beside", metavar="CHECKPOINT", help="another model, for the same page; KEY VALUE are for both"
    )
    add_runner(parser)
    add("--parquet", action="store_true", help="of --runner: predictions.parquet in place of .jsonl")
    add("--top", type=int, help="classes named for each video; default: 5")
    add(
        "--least-score",
        type=float,
        metavar="SCORE",
        help=f"of segments that are named, from a model that finds them; default: {LEAST_SCORE}",
    )
    add(
        "--views",
        choices=("full", "multi"),
        help="the whole video once, or clips and crops; default: as tested",
    )
    add("--window", type=_seconds, metavar="TIME", help="look at parts of this length: 10s, 500ms, 1min")
    add(
        "--every",
        type=_seconds,
        metavar="TIME",
        help="from one part to the next; default: --window; with --live from one answer to the next: 2s",
    )
    add(
        "--live",
        metavar="SOURCE",
        help="answer while a video comes: a file, a pipe, - for standard input, a URL, a device; forgets "
        "all after each --window",
    )
    add(
        "--rate",
        type=float,
        metavar="FPS",
        help="frames of --live looked at in a second; default: as trained",
    )
    add("--format", metavar="NAME", help="FFmpeg's name of the format of --live; v4l2 for a camera")
    add("--classes", type=Path, metavar="FILE", help="names of the classes, one on each line")
    add("--batch-size", type=int, default=8, help="views that are computed at once; default: 8")
    add("--workers", type=int, help="processes that read videos; default: up to 4, 0 with --window or chunks")
    add("--frames-per-chunk", type=int, metavar="N", help="frames a VTN is given at once, to save memory")
    add("--features", metavar="DIR", help="features of extract_features in place of decoded frames")
    add("--cfg", metavar="FILE", help="configuration in place of the checkpoint's")
    add("--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs over the configuration")
    return parser
