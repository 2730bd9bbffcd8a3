"""The command line of tools/extract_features.py."""

import argparse
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slowfast_ext.data.feature_files import VideoFeatures, write_features
from slowfast_ext.data.feature_settings import FeatureSettings
from slowfast_ext.data.feature_store import Record, absolute, file_of, identity, key_of, video_fingerprint
from slowfast_ext.features.folder import FeatureFolder
from slowfast_ext.features.many import extract_many
from slowfast_ext.jobs.options import add_runner, how_to_run
from slowfast_ext.predict.inputs import add_videos, find_videos
from slowfast_ext.processes import interrupts_wait, usable_cores
from slowfast_ext.progress import speaker, with_progress
from slowfast_ext.report.words import split_at_keys, without_controls
from slowfast_ext.video import VideoError
from vtn.errors import InputError

if TYPE_CHECKING:
    from slowfast_ext.features.extract import FeatureExtractor

_DESCRIPTION = (
    "Store the features that a VTN's backbone gives of frames, so that runs with VTN.FEATURES need neither "
    "decode videos nor run the backbone. An interrupted command continues when it is typed again."
)
_CHECKPOINTS = (".pyth", ".pth", ".pt", ".safetensors")
_MOST_WORKERS = 4


def extract_features(argv: Sequence[str] | None = None) -> int:
    """Store the features of videos, as the command line asks.

    Args:
        argv: Arguments without the program's name.

    Returns:
        The exit status: 1 if some of the videos could not be read; they are named, and the others done.

    Raises:
        InputError: If an argument, the checkpoint or the folder cannot be used, or no video could be read.
    """
    args = _parse(argv)
    if how := how_to_run(args, "extract_features"):
        videos = find_videos(args.videos) if args.videos else []
        return extract_many(functools.partial(_extractor, args), args, videos, how, speaker())
    videos = find_videos(args.videos, args.list)
    folder = FeatureFolder(args.out)
    try:
        extractor = _extractor(args)
        say = speaker()
        todo, failed = _done_before(videos, folder, extractor.settings, args.retry_failed, say)
        workers = min(_MOST_WORKERS, usable_cores(), len(todo)) if args.workers is None else args.workers
        before = {path: identity(path) for path in todo}
        results = extractor.extract(todo, num_workers=workers)
        for path, result in with_progress(results, len(todo), "extracting", say):
            error = _store(path, before[path], result, folder, extractor.settings)
            if error:
                failed.append((path, error))
            else:
                say(_told(path, result))
    finally:
        folder.close()
    for path, reason in failed:
        named = reason if path in reason or reason.startswith("…") else f"{path}: {reason}"
        print(f"not read: {without_controls(named)}", file=sys.stderr)
    if len(failed) == len(videos):
        raise InputError(f"none of the {len(videos)} videos could be read, so there are no features")
    say(f"features of {len(videos) - len(failed)} of {len(videos)} videos: {args.out}")
    return 1 if failed else 0


def _extractor(args: argparse.Namespace) -> "FeatureExtractor":
    with interrupts_wait():  # not above: --help needs no PySlowFast
        from slowfast_ext.features.extract import FeatureExtractor

        return FeatureExtractor(
            args.checkpoint, config=args.cfg, overrides=args.overrides, all_frames=args.all_frames
        )


def _told(path: str, found: VideoFeatures) -> str:
    missing = f": {found.missing}" if found.missing else ""
    return without_controls(f"{path} ({len(found.features)} features, {found.num_frames} frames){missing}")


def _done_before(
    videos: Sequence[str],
    folder: FeatureFolder,
    settings: FeatureSettings,
    retry_failed: bool,
    say: Callable[[str], None],
) -> tuple[list[str], list[tuple[str, str]]]:
    """The videos without features that are there and sound, and those that failed before."""
    todo, failed, damaged = [], [], 0
    for path in videos:
        record = folder.store.find(path, [settings])
        if isinstance(record, str) or (record.error and retry_failed):
            todo.append(path)
        elif record.error:
            failed.append((path, record.error))
        else:
            try:
                folder.store.read(record)
            except VideoError:
                damaged += 1
                todo.append(path)
                continue
            _note_name(path, record, folder)
    if len(todo) < len(videos):
        say(f"{len(videos) - len(todo)} of {len(videos)} videos were done before")
    if damaged:
        say(f"the features of {damaged} videos are gone or damaged and are made anew")
    return todo, failed


def _note_name(path: str, record: Record, folder: FeatureFolder) -> None:
    """Write down under which name and time of change a video is known too, so that its bytes suffice once."""
    size, changed = identity(path)
    if (record.path, record.mtime_ns) != (absolute(path), changed):
        folder.add(record._replace(path=absolute(path), bytes=size, mtime_ns=changed))


def _store(
    path: str,
    before: tuple[int, int],
    result: VideoFeatures | VideoError,
    folder: FeatureFolder,
    settings: FeatureSettings,
) -> str:
    """Write what became of a video; returns why there are no features, or an empty text."""
    size, changed = before
    record = Record(absolute(path), video_fingerprint(path), size, changed, settings.to_text())
    if identity(path) != before:
        return f"{path}: it was changed while it was read."
    if isinstance(result, VideoError):
        folder.add(record._replace(error=str(result)))
        return str(result)
    key = key_of(record.video, size, record.settings)
    written = write_features(folder.store.folder / file_of(key), result, key)
    folder.add(
        record._replace(
            file=file_of(key),
            file_bytes=written,
            features=len(result.features),
            width=result.features.shape[1],
            num_frames=result.num_frames,
            missing=result.missing,
        )
    )
    return ""


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Options as given; `checkpoint` or None; `videos`; `overrides`."""
    args = _parser().parse_intermixed_args(argv)
    args.typed = sys.argv[1:] if argv is None else list(argv)
    files, overrides = split_at_keys(args.words)
    args.checkpoint = None
    if files and (args.cfg is None or files[0].endswith(_CHECKPOINTS)):
        args.checkpoint = files.pop(0)
    if args.checkpoint is None and args.cfg is None:
        raise InputError("there is no backbone: a checkpoint comes first, then videos; or name --cfg FILE")
    args.videos, args.overrides = files, [*overrides, *args.opts]
    if args.workers is not None and args.workers < 0:
        raise InputError(f"--workers is {args.workers}: it must be at least 0")
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=_DESCRIPTION, allow_abbrev=False)
    add = parser.add_argument
    add_videos(parser, "a checkpoint, unless --cfg is given")
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the features; is continued")
    add_runner(parser)
    add(
        "--all-frames",
        action="store_true",
        help="of every frame, which clips need, as in training; default: those of a full video",
    )
    add(
        "--cfg",
        metavar="FILE",
        help="configuration in place of the checkpoint's; without a checkpoint (.pyth, .pth, .pt, "
        ".safetensors) the backbone has published weights",
    )
    add("--workers", type=int, help="processes that read videos; default: up to 4")
    add("--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs over the configuration")
    return parser
