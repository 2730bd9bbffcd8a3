"""The command line of tools/plot_evidence.py."""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slowfast_ext.processes import interrupts_wait
from slowfast_ext.progress import speaker, with_progress
from slowfast_ext.report.words import check_number, number_or, split_at_keys, without_controls
from slowfast_ext.typed import as_typed
from vtn.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from slowfast_ext.data.dataset import Vtnkinetics
    from slowfast_ext.report.looks import Look, Looker
    from slowfast_ext.report.removal import Removal
    from slowfast_ext.video.probing import VideoInfo

_DESCRIPTION = (
    "Measure over a list of videos which frames really carry a VTN's answers, by deletion and insertion "
    "curves for attention, occlusion and chance, and how far its scores can be believed. Writes "
    "evidence_SPLIT.png and evidence_SPLIT.json."
)
_ANNOTATIONS = "annotations.json"  # of the demonstration: where in each video the action is


def draw_evidence(argv: Sequence[str] | None = None) -> int:
    """Measure and draw the curves of a run over a list of videos.

    Args:
        argv: Arguments without the program's name.

    Returns:
        The exit status: 1 if some of the videos could not be read; they were named and left out.

    Raises:
        InputError: If an argument, the run or its list cannot be used, or no video could be read.
    """
    args = _parse(argv)
    folder, config, checkpoint = _find_run(args)
    out = args.out or folder
    with interrupts_wait():  # not above: --help needs no PySlowFast
        from slowfast_ext.report.looks import load_looker
        from slowfast_ext.report.removal_picture import plot_removal
        from vtn.streaming import check_in_parts

        looker = load_looker(config, checkpoint, args.overrides)
    check_in_parts(looker.model, "evidence")
    check_number("--layer", args.layer, len(looker.model.temporal_encoder.layers), "all", looker.name)
    dataset = looker.videos(args.split)
    _require_folder(out)
    try:
        found = _measure(looker, dataset, args)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "interrupted: nothing was written, and the same command begins anew"
        ) from None
    found = _facts(args, looker, checkpoint) | found
    picture, numbers = (out / f"evidence_{args.split}{suffix}" for suffix in (".png", ".json"))
    _write(numbers, found)
    plot_removal(found, picture, title=_title(found))
    for line in _told(found):
        print(line)
    print(f"{found['num_videos']} videos: {numbers} and {picture}")
    return 1 if found["failed"] else 0


def _measure(looker: "Looker", dataset: "Vtnkinetics", args: argparse.Namespace) -> dict[str, Any]:
    """What is measured over the videos, in plain values."""
    import numpy as np
    import torch

    from slowfast_ext.host.calibration import calibration, error_if_calibrated, reliability, scale_by_halves
    from slowfast_ext.report.removal import RANDOM_ORDERS, RESAMPLINGS, summarize_removals

    total = len(dataset.paths) if args.videos is None else min(args.videos, len(dataset.paths))
    chosen = [index * len(dataset.paths) // total for index in range(total)]
    removals, scores, labels, failed = [], [], [], []
    say = speaker()
    results = _each(looker, dataset, chosen, args)
    for item, result in with_progress(results, total, "measuring", say):
        if isinstance(result, str):
            failed.append({"path": dataset.paths[item], "reason": result})
            print(f"left out: {without_controls(result)}", file=sys.stderr)
            continue
        removal, row = result
        removals.append(removal)
        scores.append(row)
        labels.append(dataset.labels[item])
    if not removals:
        raise InputError(f"none of the {total} videos could be read, so there is nothing to measure")
    scores, labels = torch.from_numpy(np.stack(scores)), torch.tensor(labels)
    calibrated = calibration(scores, labels)
    calibrated["ece_if_calibrated"] = round(error_if_calibrated(scores), 6)
    calibrated["bins"] = _bins(reliability(scores, labels))
    if len(scores) > 1:
        calibrated["bins_scaled"] = _bins(reliability(scale_by_halves(scores, labels), labels))
    return {
        "num_videos": len(removals),
        "failed": failed,
        "top1_acc": round(100 * float((scores.argmax(dim=1) == labels).double().mean()), 2),
        "random_orders": RANDOM_ORDERS,
        "resamplings": RESAMPLINGS,
        **summarize_removals(removals),
        "calibration": calibrated,
    }


def _each(
    looker: "Looker", dataset: "Vtnkinetics", chosen: Sequence[int], args: argparse.Namespace
) -> Iterator[tuple[int, "tuple[Removal, np.ndarray] | str"]]:
    """Videos by their number in the list, with what was measured and their scores, or why they failed."""
    from slowfast_ext.report.removal import measure_removal
    from slowfast_ext.video import VideoError, VideoReader

    layers = range(len(looker.model.temporal_encoder.layers)) if args.layer == "all" else [args.layer - 1]
    actions = _actions(Path(looker.cfg.DATA.PATH_TO_DATA_DIR))
    for item in chosen:
        path = dataset.paths[item]
        try:
            look = looker.look(dataset, item)
            info = VideoReader(path).info
        except VideoError as error:
            yield item, str(error)
            continue
        label = dataset.labels[item] if args.follow == "true" else int(look.scores.argmax())
        removal = measure_removal(
            looker.model,
            look,
            label,
            times=_times(looker, look, info),
            layers=layers,
            by=args.by,
            number=item,
            action_frames=actions.get(os.path.abspath(path)),
        )
        yield item, (removal, look.scores)


def _times(looker: "Looker", look: "Look", info: "VideoInfo") -> "torch.Tensor":
    """When the frames are shown that a look has; of a model that finds segments they are told as times."""
    import torch

    indices = torch.from_numpy(look.frame_indices)
    return indices / info.fps if looker.cfg.VTN.LOCALIZATION_SCALES else info.seconds_of(indices)


def _actions(data: Path) -> dict[str, list[int]]:
    """Of videos by their path, the first frame of the true action and the first after it; of the demo's."""
    try:
        videos = json.loads((data / _ANNOTATIONS).read_text("utf-8"))["videos"]
        return {os.path.abspath(data / name): video["action_frames"] for name, video in videos.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # most data sets have no such file, or mean something else by it


def _bins(found: Any) -> dict[str, list[float]]:
    """Those in which there are videos."""
    full = found.count > 0
    return {name: [round(x, 6) for x in getattr(found, name)[full].tolist()] for name in found._fields}


def _facts(args: argparse.Namespace, looker: "Looker", checkpoint: str) -> dict[str, Any]:
    from slowfast_ext.files import feed
    from slowfast_ext.report.machine import describe_machine

    digest = hashlib.sha256()
    feed(digest, checkpoint)
    return {
        "command": as_typed("plot_evidence", *args.typed),
        "machine": describe_machine("torch", "timm"),
        "model": looker.name,
        "checkpoint": str(checkpoint),
        "checkpoint_sha256": digest.hexdigest(),
        "split": args.split,
        "frames_per_video": looker.cfg.TRAIN.EVAL_NUM_FRAMES,
        "attention": looker.cfg.VTN.ATTENTION,
        "by": args.by,
        "followed": args.follow,
    }


def _title(found: dict[str, Any]) -> str:
    from slowfast_ext.report.figures import printable

    videos = f"{found['num_videos']} videos of {found['split']}.csv"
    return f"{printable(found['model'], 'model')}, {videos}, by {found['by']}; bands: 95 % intervals"


def _told(found: dict[str, Any]) -> Iterator[str]:
    """The numbers in words, a line for each order, and one for the scores."""
    for name, order in found["orders"].items():
        parts = []
        for kind in ("deletion", "insertion"):
            part = f"{kind} {_with_interval(order[f'{kind}_area'], '.3f')}"
            if f"{kind}_area_minus_random" in order:
                part += f", against random {_with_interval(order[f'{kind}_area_minus_random'], '+.3f')}"
            parts.append(part)
        yield f"{name}: area under {'; '.join(parts)}"
    if found["attention"] == "uniform":
        yield "attention is uniform: its order says nothing"
    if "inside_action" in found:
        shares = (
            f"{name} {share['mean']:.3f}"
            for name, share in found["inside_action"].items()
            if share["mean"] is not None
        )
        yield f"inside the true action: {', '.join(shares)}"
    calibrated = found["calibration"]
    scaled = (
        f"; {calibrated['ece_scaled']:.3f} with temperature scaling" if "ece_scaled" in calibrated else ""
    )
    yield (
        f"expected calibration error {calibrated['ece']:.3f}, where {calibrated['ece_if_calibrated']:.3f} is "
        f"what chance alone gives{scaled}"
    )


def _with_interval(number: dict[str, float | None], form: str) -> str:
    ends = "" if number["low"] is None else f" [{number['low']:{form}}, {number['high']:{form}}]"
    return f"{number['mean']:{form}}{ends}"


def _find_run(args: argparse.Namespace) -> tuple[Path, str, str]:
    """The folder of a run, its configuration and its checkpoint, from the folder or the checkpoint."""
    from slowfast_ext.engine.trained import checkpoint_in

    run = Path(args.run)
    if not run.exists():
        raise InputError(f"{run}: no such file or folder: name a checkpoint or the folder of a run")
    checkpoint = str(checkpoint_in(run))
    folder = run
    if not run.is_dir():
        folder = run.parent.parent if run.parent.name == "checkpoints" else run.parent
    config = args.cfg or folder / "config.yaml"
    if not Path(config).is_file():
        raise InputError(f"{config}: no such file: name the configuration of {run} with --cfg FILE")
    return folder, str(config), checkpoint


def _require_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write into {out}: {error.strerror}.") from error
    if not os.access(out, os.W_OK):
        raise InputError(f"cannot write into {out}: it is not writable.")


def _write(path: Path, found: dict[str, Any]) -> None:
    from slowfast_ext.files import write_text

    write_text(path, json.dumps(found, indent=1) + "\n")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Options as given; `run`; `overrides`: the words from the first KEY on, and those after --opts."""
    args = _parser().parse_intermixed_args(argv)
    args.typed = sys.argv[1:] if argv is None else list(argv)
    files, overrides = split_at_keys(args.words)
    if len(files) != 1:
        raise InputError(f"there are {len(files)} runs: name one checkpoint, or the folder of one run")
    (args.run,), args.overrides = files, [*overrides, *args.opts]
    if args.videos is not None and args.videos < 1:
        raise InputError(f"--videos is {args.videos}: it must be at least 1")
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=_DESCRIPTION, allow_abbrev=False)
    add = parser.add_argument
    add("words", nargs="*", metavar="RUN", help="folder of a run or checkpoint; KEY VALUE pairs may follow")
    add("--split", choices=("test", "val"), default="test", help="list of videos; default: test")
    add("--videos", type=int, metavar="N", help="so many of them, spread evenly over the list; default: all")
    add(
        "--layer",
        type=number_or("all"),
        default="all",
        help="temporal layer from 1; default: all, each alone",
    )
    add(
        "--by",
        choices=("second", "frame"),
        default="second",
        help="what attention and chance put in order; default: second",
    )
    add(
        "--follow",
        choices=("predicted", "true"),
        default="predicted",
        help="class whose score is followed; default: predicted",
    )
    add("--out", type=Path, metavar="DIR", help="default: the folder of the run")
    add("--cfg", metavar="FILE", help="configuration; default: config.yaml in the folder of the run")
    add("--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs over the configuration")
    return parser
