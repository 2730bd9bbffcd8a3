"""When actions happen: a trained localization head beside what a classifier says without segment labels.

python benchmarks/localization.py LOCALIZER CLASSIFIER --data DIR [--features DIR]

Both are checkpoints. The videos are those of DIR/test.csv, their true segments those of DIR/segments.json.
The classifier is a VTN without a localization head. With --features both must have the same backbone.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from common import check_out, write_record

from slowfast_ext.cli import run_safely
from slowfast_ext.data.annotations import Segment
from slowfast_ext.data.segments import read_segments
from slowfast_ext.data.stored_videos import use_stored_features
from slowfast_ext.data.video_list import read_video_list
from slowfast_ext.engine.localizing import in_seconds, sentence_of
from slowfast_ext.predict import Predictor
from slowfast_ext.predict.videos import StoredVideosToPredict, VideosToPredict
from slowfast_ext.progress import with_progress
from vtn.average_precision import average_precision
from vtn.localization import Segments, segments_of
from vtn.model import VTN
from vtn.weak_localization import attention_segments, evidence_segments, window_segments

# Lengths of windows, in parts of the video: 1.5 to 6 s of 30.
_WINDOWS = (0.05, 0.075, 0.1, 0.15, 0.2)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("localizer", help="checkpoint with a localization head")
    add("classifier", help="checkpoint without one")
    add("--data", type=Path, required=True, help="folder with test.csv, classes.txt and segments.json")
    add("--features", help="stored features of the test's videos")
    add("--out", type=Path, default=Path("benchmarks/results/localization.json"))
    args = parser.parse_args(argv)
    check_out(args.out)
    localizer = Predictor(args.localizer, features=args.features)
    frames = ["TRAIN.EVAL_NUM_FRAMES", str(localizer.cfg.TRAIN.EVAL_NUM_FRAMES)]
    classifier = Predictor(args.classifier, overrides=frames, features=args.features)
    num_classes = localizer.cfg.MODEL.NUM_CLASSES
    paths, _ = read_video_list(args.data / "test.csv", num_classes=num_classes)
    truth = dict(
        zip(paths, map(_true, read_segments(args.data, paths, num_classes=num_classes)), strict=True)
    )
    kinds: dict[str, tuple[Predictor, Callable[[VTN, torch.Tensor, torch.Tensor], Segments]]] = {
        "localization head, trained on segments": (localizer, _localized),
        "attention of CLS, layer 1": (classifier, attention_segments),
        "attention of CLS, last layer": (classifier, lambda *x: attention_segments(*x, layer=-1)),
        "evidence: occlusion of two frames": (classifier, evidence_segments),
        "windows of five lengths": (classifier, _windows),
    }
    rows = []
    for name, (predictor, find) in kinds.items():
        found = dict(with_progress(_all_videos(predictor, paths, find), len(paths), name, print))
        precision = average_precision(found, truth, num_classes)
        print(f"{name}: {sentence_of(precision)}", flush=True)
        rows.append(
            {
                "what": name,
                "against": "true segments",
                "ours": 100 * precision.mean,
                "theirs": None,
                "unit": "mAP, percent, mean over temporal IoU 0.3 to 0.7",
                "ratio": None,
                "better": "higher",
                "target": None,
                "at": dict(zip(map(str, precision.thresholds), precision.means, strict=True)),
                "videos": len(found),
            }
        )
    write_record(args.out, rows, argv, "torch", "timm")


def _true(segments: Sequence[Segment]) -> Segments:
    spans = torch.tensor([[one.begin, one.end] for one in segments], dtype=torch.float64)
    return Segments(spans, torch.tensor([one.label for one in segments]), torch.ones(len(segments)))


@torch.no_grad()
def _all_videos(predictor: Predictor, paths: Sequence[str], find: Callable) -> Iterator[tuple[str, Segments]]:
    """Each video with its segments, in seconds."""
    model, cfg = predictor.model, predictor.cfg
    dataset = (StoredVideosToPredict if cfg.VTN.FEATURES else VideosToPredict)(cfg, "test", paths)
    use_stored_features(model, [dataset])
    for number, path in enumerate(paths):
        (shown, frame_indices), *_, meta = dataset[number]
        features = shown if isinstance(shown, torch.Tensor) else model.features_of(shown)[0]
        num_frames, _, fps = meta["facts"].tolist()
        yield path, in_seconds(find(model, features, frame_indices), len(features), num_frames, fps)


def _localized(model: VTN, features: torch.Tensor, frame_indices: torch.Tensor) -> Segments:
    (found,) = segments_of(model.localize(features[None], frame_indices[None]), model.points(len(features)))
    return found


def _windows(model: VTN, features: torch.Tensor, frame_indices: torch.Tensor) -> Segments:
    lengths = [max(1, round(part * len(features))) for part in _WINDOWS]
    return window_segments(model, features, frame_indices, lengths=lengths)


if __name__ == "__main__":
    run_safely(main)
