"""Mean average precision of temporal action localization, as ActivityNet's evaluation defines it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from .localization import Segments, temporal_iou


class AveragePrecision(NamedTuple):
    """How well segments were found.

    Attributes:
        values: (n, K) float64 in [0, 1], of each threshold and class; NaN for a class without true segments.
        thresholds: (n,), least temporal IoU at which a segment counts as found.
    """

    values: torch.Tensor
    thresholds: tuple[float, ...]

    @property
    def means(self) -> list[float]:
        """mAP at each threshold: the mean over the classes that have true segments."""
        return self.values.nanmean(dim=1).tolist()

    @property
    def mean(self) -> float:
        """The mean of those."""
        return sum(self.means) / len(self.means)


def average_precision(
    found: Mapping[str, Segments],
    truth: Mapping[str, Segments],
    num_classes: int,
    thresholds: Sequence[float] = (0.3, 0.4, 0.5, 0.6, 0.7),
) -> AveragePrecision:
    """Compare the segments found in videos with the true ones.

    By falling score, over all videos, a segment of a class is right if its IoU with a true one of that class,
    which no better segment has taken, is at least the threshold. Precision is interpolated: at each recall it
    is the best one at that recall or above.

    Args:
        found: By video, in the same unit of time as the truth.
        truth: By video; scores are not looked at. What is found in a video that is not here counts as wrong.
        num_classes: K.
        thresholds: Of temporal IoU, above 0.

    Source: ActivityNet's evaluation of detection (eval_detection.py of its toolkit).
    """
    values = torch.full((len(thresholds), num_classes), float("nan"), dtype=torch.float64)
    for label in range(num_classes):
        true = {video: spans for video in truth if len(spans := _of_class(truth[video], label).spans)}
        if true:
            values[:, label] = _of_one_class(found, true, label, thresholds)
    return AveragePrecision(values, tuple(thresholds))


def _of_class(segments: Segments, label: int) -> Segments:
    return Segments(*(column[segments.labels == label] for column in segments))


def _of_one_class(
    found: Mapping[str, Segments],
    true: Mapping[str, torch.Tensor],
    label: int,
    thresholds: Sequence[float],
) -> torch.Tensor:
    """Average precision at each threshold, (n,)."""
    claims = [(video, _of_class(segments, label)) for video, segments in found.items()]
    scores = torch.cat([segments.scores for _, segments in claims] or [torch.empty(0)])
    right = torch.zeros(len(thresholds), len(scores), dtype=torch.bool)
    begin = 0
    for video, segments in claims:
        end = begin + len(segments.scores)
        if video in true:
            overlaps = temporal_iou(segments.spans.double(), true[video].double())
            for row, threshold in zip(right, thresholds, strict=True):
                row[begin:end] = _taken(overlaps, segments.scores, threshold)
        begin = end
    right = right[:, scores.argsort(descending=True, stable=True)].double()
    hits = right.cumsum(1)
    precision = hits / torch.arange(1, len(scores) + 1)
    best_from_here = precision.flip(1).cummax(1).values.flip(1) if len(scores) else precision
    return (best_from_here * right).sum(1) / sum(map(len, true.values()))


def _taken(overlaps: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Of segments (n,) of one video, whether each gets a true one of m, (n,); by falling score."""
    right, free = torch.zeros(len(scores), dtype=torch.bool), torch.ones(overlaps.shape[1], dtype=torch.bool)
    for number in scores.argsort(descending=True, stable=True).tolist():
        fitting = torch.where(free, overlaps[number], -1.0)
        best = int(fitting.argmax())
        if fitting[best] >= threshold:
            right[number], free[best] = True, False
    return right
