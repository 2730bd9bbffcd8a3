"""What training and testing do besides classifying, where the model finds actions in time.

An item of the data set vtnsegments brings its true segments as the third of its inputs, see there.

Legend: N videos of a batch, S segments of a video, K classes, T frames.
"""

import json
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import nn

from slowfast_ext.distributed import gather_objects
from slowfast_ext.engine.batch import Batch
from slowfast_ext.files import write_text
from slowfast_ext.video.sampling import moments_of_places
from vtn import VTN
from vtn.average_precision import AveragePrecision, average_precision
from vtn.localization import Localized, Segments, candidates_of, localization_loss, merge_segments

RESULTS = "segments.json"
_DIGITS = 4


def logits_of(output: torch.Tensor | Localized) -> torch.Tensor:
    """Logits, or in evaluation scores, of the videos as wholes, (N, K)."""
    return output.logits if isinstance(output, Localized) else output


def segments_to_find(model: nn.Module, cfg: CfgNode) -> "FoundSegments | None":
    """For a pass over videos; None if the model, which is not wrapped, does not find any."""
    return FoundSegments(model, cfg) if getattr(model, "localization_head", None) is not None else None


def shares_of_classes(segments: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Of segments (N, S, 3) the part of the annotated time that each class takes: (N, K), rows sum to 1."""
    lengths = (segments[..., 1] - segments[..., 0]).clamp(min=0) * (segments[..., 2] >= 0)
    times = segments.new_zeros(len(segments), num_classes)
    times.scatter_add_(1, segments[..., 2].long().clamp(min=0), lengths)
    return times / times.sum(dim=1, keepdim=True).clamp(min=torch.finfo(times.dtype).tiny)


def loss_of_segments(output: Localized, batch: Batch, model: VTN, loss_function: Any) -> torch.Tensor:
    """Of a training step: where actions are, plus of the video as a whole which part each class takes.

    Args:
        output: What the model says of the batch.
        batch: With the segments among its inputs.
        model: Not wrapped.
        loss_function: (logits (N, K), distributions (N, K)) -> mean loss.
    """
    _, frame_indices, segments = batch.inputs
    points = model.points(frame_indices.shape[1])
    shares = shares_of_classes(segments, output.logits.shape[1])
    return localization_loss(output, points, segments) + loss_function(output.logits.float(), shares)


class FoundSegments:
    """Segments of the videos of a pass, found and true, in seconds.

    Args:
        model: Not wrapped, with a localization head.
        cfg: Key MODEL.NUM_CLASSES.
    """

    def __init__(self, model: VTN, cfg: CfgNode) -> None:
        self._model, self._num_classes = model, cfg.MODEL.NUM_CLASSES
        self.found: dict[int, Segments] = {}
        self.true: dict[int, Segments] = {}

    def add(self, output: Localized, loaded: Any) -> None:
        """Take in a batch and what the model says of it.

        Args:
            output: Of the model.
            loaded: The batch as its loader gave it: inputs, labels, items, and meta with `video`.
        """
        inputs, _, items, *_, meta = loaded
        num_frames = inputs[1].shape[1]
        found = candidates_of(output, self._model.points(num_frames))
        for item, answer, rows, (length, fps) in zip(
            items.tolist(), found, inputs[2], meta["video"].tolist(), strict=True
        ):
            rows = rows[rows[:, 2] >= 0]
            truth = Segments(rows[:, :2], rows[:, 2].long(), torch.ones(len(rows)))
            self.found[item] = merge_segments([in_seconds(answer, num_frames, length, fps)])
            self.true[item] = in_seconds(truth, num_frames, length, fps)

    def precision(self) -> AveragePrecision:
        """Of the segments of all processes, which all have afterwards; they must call it together."""
        for found, true in gather_objects((self.found, self.true)):
            self.found |= found
            self.true |= true
        return average_precision(self.found, self.true, self._num_classes)

    def write(self, folder: str | Path, paths: list[str], class_names: Any) -> Path:
        """Write what was found as ActivityNet's challenge takes it; returns the file."""
        results = {
            paths[item]: [
                {
                    "label": _name(label, class_names),
                    "score": round(score, 6),
                    "segment": [round(moment, _DIGITS) for moment in span],
                }
                for span, label, score in zip(*(column.tolist() for column in segments), strict=True)
            ]
            for item, segments in sorted(self.found.items())
        }
        path = Path(folder) / RESULTS
        document = {"version": "VTN", "results": results, "external_data": {}}
        write_text(path, json.dumps(document, ensure_ascii=False, indent=1) + "\n")
        return path


def in_seconds(segments: Segments, num_frames: int, length: float, fps: float) -> Segments:
    """Segments in tokens of T = num_frames that show a whole video, as seconds of it, on the CPU.

    Args:
        segments: As the model gives them.
        num_frames: T.
        length: Frames of the video.
        fps: Of the video.
    """
    spans, labels, scores = (column.detach().cpu() for column in segments)
    moments = moments_of_places(spans.double(), int(length), num_frames)
    return Segments(moments / fps, labels, scores.double())


def entries_of(precision: AveragePrecision) -> dict[str, float]:
    """For the log and test_results.json, percent: `mAP`, and `mAP_at_0.3` and so on for each threshold."""
    each = zip(precision.thresholds, precision.means, strict=True)
    return {"mAP": round(100 * precision.mean, 2)} | {
        f"mAP_at_{threshold:g}": round(100 * value, 2) for threshold, value in each
    }


def sentence_of(precision: AveragePrecision) -> str:
    """The same in words."""
    mean, *each = entries_of(precision).values()
    values = ", ".join(f"{value:.1f}" for value in each)
    first, *_, last = precision.thresholds
    return f"mAP {mean:.1f} ({values} at a temporal IoU of {first:g} to {last:g})"


def _name(label: int, class_names: Any) -> str:
    return class_names[label] if class_names else f"class {label}"
