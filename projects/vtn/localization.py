"""Temporal action localization: when actions begin and end, from the states of all frames.

VTN (arXiv:2102.00719) names the task and leaves it open. This is ActionFormer's recipe (arXiv:2202.07925) on
VTN's encoder: each point in time says which classes happen there, and how far it is to their beginning and
end; few convolutions shared by several scales, focal loss, distance IoU, soft-NMS.

Time is counted in tokens: frame i of the T frames that the model is given is at i, whatever lies between two
of them in the video.

Shape legend: B videos, T frames, D width of a frame's state, K classes, S segments of a video, P points: all
places at which a scale looks, one scale after the other.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from .checks import check_positive_int

_PRIOR = 0.01  # score of every class at every point before training, arXiv:1708.02002 Sec. 3.3
_KERNEL = 3
# A scale answers for segments whose further end is this many of its steps away, and up to twice as many.
_REACH = 4
# A point answers for a segment if it is this near to its middle, in steps of its scale.
_CENTRE = 1.5
_ALPHA, _GAMMA = 0.25, 2.0  # of the focal loss
_SIGMA = 0.5  # of soft-NMS, arXiv:1704.04503
_LEAST_SCORE, _MOST_CANDIDATES = 0.001, 2000


class Localized(NamedTuple):
    """What a model with a localization head says of videos.

    Attributes:
        logits: (B, K), of the whole video.
        point_logits: (B, P, K), of each class at each point; each class by itself, for a sigmoid.
        offsets: (B, P, 2), tokens from the point back to the beginning and on to the end, above 0.
    """

    logits: torch.Tensor
    point_logits: torch.Tensor
    offsets: torch.Tensor


class TemporalLocalizationHead(nn.Module):
    """States of frames (B, T, D) -> class logits and offsets at the points of all scales.

    Args:
        embed_dim: D.
        num_classes: K.
        num_scales: Scale 0 looks at every frame, each further one at every second point of the one before.
    """

    def __init__(self, embed_dim: int, num_classes: int, num_scales: int) -> None:
        super().__init__()
        check_positive_int("localization_scales", num_scales)
        self.num_scales = num_scales
        self.coarser = nn.ModuleList(_ConvNorm(embed_dim, stride=2) for _ in range(num_scales - 1))
        self.class_tower = nn.Sequential(_ConvNorm(embed_dim), _ConvNorm(embed_dim))
        self.offset_tower = nn.Sequential(_ConvNorm(embed_dim), _ConvNorm(embed_dim))
        self.classes = nn.Conv1d(embed_dim, num_classes, _KERNEL, padding=_KERNEL // 2)
        self.offsets = nn.Conv1d(embed_dim, 2, _KERNEL, padding=_KERNEL // 2)
        self.scale_of_offsets = nn.Parameter(torch.ones(num_scales))
        nn.init.constant_(self.classes.bias, -math.log((1 - _PRIOR) / _PRIOR))

    def forward(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """States (B, T, D) -> class logits (B, P, K) and offsets (B, P, 2), see Localized."""
        hidden = states.transpose(1, 2)
        logits, offsets = [], []
        for scale in range(self.num_scales):
            if scale:
                hidden = self.coarser[scale - 1](hidden)
            logits.append(self.classes(self.class_tower(hidden)))
            steps = self.scale_of_offsets[scale] * self.offsets(self.offset_tower(hidden))
            offsets.append(F.softplus(steps.float()) * 2**scale)
        return torch.cat(logits, dim=2).transpose(1, 2), torch.cat(offsets, dim=2).transpose(1, 2)


class _ConvNorm(nn.Module):
    """Convolution over time, LayerNorm over the channels, ReLU: (B, D, T) -> (B, D, ceil(T / stride))."""

    def __init__(self, embed_dim: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(embed_dim, embed_dim, _KERNEL, stride, _KERNEL // 2, bias=False)
        self.norm = nn.LayerNorm(embed_dim)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return F.relu(self.norm(self.conv(hidden).transpose(1, 2)).transpose(1, 2))


class Points(NamedTuple):
    """Where the scales look.

    Attributes:
        at: (P,), tokens.
        step: (P,), tokens between two points of the same scale.
        least, most: (P,), tokens to the further end of the segments that a point answers for: [least, most].
    """

    at: torch.Tensor
    step: torch.Tensor
    least: torch.Tensor
    most: torch.Tensor


def points_of(num_frames: int, num_scales: int, device: torch.device | None = None) -> Points:
    """The points of all scales over T frames; the last scale answers for all that is longer."""
    columns = []
    for scale in range(num_scales):
        step = 2**scale
        at = torch.arange(0, num_frames, step, dtype=torch.float32, device=device)
        least = 0.0 if scale == 0 else _REACH * step / 2
        most = math.inf if scale == num_scales - 1 else float(_REACH * step)
        columns.append((at, *(torch.full_like(at, value) for value in (step, least, most))))
    return Points(*(torch.cat(column) for column in zip(*columns, strict=True)))


def targets_of(segments: torch.Tensor, points: Points, num_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What each point should say.

    A point answers for a segment in which it lies, near its middle, whose further end is in the reach of its
    scale. Of several it answers for the shortest, and for the classes of all that are as short.

    Args:
        segments: (B, S, 3) rows (begin, end, class), tokens; rows of class -1 are none.
        points: Of P points.
        num_classes: K.

    Returns:
        classes (B, P, K) of 0 and 1, and offsets (B, P, 2) in tokens, of no meaning where there is no class.

    Source: ActionFormer (arXiv:2202.07925) Sec. 3.4 with its released code's centre sampling.
    """
    begin, end, label = (segments[:, None, :, i].float() for i in range(3))  # (B, 1, S)
    at, step = points.at[None, :, None], points.step[None, :, None]
    offsets = torch.stack([at - begin, end - at], dim=-1)  # (B, P, S, 2)
    middle, near = (begin + end) / 2, _CENTRE * step
    central = (at > torch.maximum(begin, middle - near)) & (at < torch.minimum(end, middle + near))
    furthest = offsets.amax(-1)
    in_reach = (furthest >= points.least[None, :, None]) & (furthest <= points.most[None, :, None])
    length = torch.where(central & in_reach & (label >= 0), end - begin, math.inf)
    shortest, which = length.min(dim=2, keepdim=True)
    chosen = (length <= shortest + 1e-3) & length.isfinite()
    named = F.one_hot(label.long().clamp(min=0), num_classes)  # (B, 1, S, K)
    classes = (chosen[..., None] & named.bool()).any(dim=2).float()
    return classes, offsets.gather(2, which[..., None].expand(-1, -1, -1, 2))[:, :, 0]


def localization_loss(found: Localized, points: Points, segments: torch.Tensor) -> torch.Tensor:
    """How far a model's points are from the truth: focal loss of classes plus distance-IoU loss of offsets.

    Both are sums divided by the number of points that answer for a segment.

    Args:
        found: Of B videos.
        points: The model's, see `points_of`.
        segments: (B, S, 3), see `targets_of`.

    Returns:
        A number of float32.
    """
    logits = found.point_logits.float()
    classes, offsets = targets_of(segments.to(logits.device), points, logits.shape[2])
    answers = classes.any(dim=2)
    count = answers.sum().clamp(min=1)
    focal = _focal_loss(logits, classes).sum() / count
    # Of all points, and those that do not answer left out: to pick the others, a GPU would have to wait.
    distance = _distance_iou_loss(found.offsets.float(), offsets)
    return focal + torch.where(answers, distance, 0.0).sum() / count


def _focal_loss(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Of each logit by itself, arXiv:1708.02002."""
    loss = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    score = logits.sigmoid()
    miss = torch.where(wanted > 0, 1 - score, score)
    return torch.where(wanted > 0, _ALPHA, 1 - _ALPHA) * miss**_GAMMA * loss


def _distance_iou_loss(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Of offsets (..., 2) around the same point: 1 - IoU + (distance of middles / length of the hull)^2."""
    both = torch.minimum(found, wanted).sum(-1)
    either = found.sum(-1) + wanted.sum(-1) - both
    hull = torch.maximum(found, wanted).sum(-1).clamp(min=1e-8)
    apart = ((found[..., 1] - found[..., 0]) - (wanted[..., 1] - wanted[..., 0])) / 2
    return 1 - both / either.clamp(min=1e-8) + (apart / hull) ** 2


class Segments(NamedTuple):
    """What happens in a video, by falling score.

    Attributes:
        spans: (n, 2) begin and end, in the unit of what they were made from.
        labels: (n,) int64.
        scores: (n,) in [0, 1].
    """

    spans: torch.Tensor
    labels: torch.Tensor
    scores: torch.Tensor


def soft_nms(
    segments: Segments, *, sigma: float = _SIGMA, least_score: float = _LEAST_SCORE, most: int = 200
) -> Segments:
    """Lower the scores of segments that overlap a better one of their class; arXiv:1704.04503, Gaussian.

    Args:
        segments: In any order.
        sigma: Of exp(-IoU^2 / sigma), above 0; the smaller, the more is lost.
        least_score: What falls below is left out.
        most: Segments that are kept.
    """
    spans, labels, scores = segments.spans, segments.labels, segments.scores.clone()
    kept, values = [], []
    while len(kept) < most and len(scores):
        best = int(scores.argmax())
        score = float(scores[best])
        if score < least_score:
            break
        kept.append(best)
        values.append(score)
        lowered = (-(temporal_iou(spans[best : best + 1], spans)[0] ** 2) / sigma).exp()
        scores = torch.where(labels == labels[best], scores * lowered, scores)
        scores[best] = -1.0
    return Segments(spans[kept], labels[kept], scores.new_tensor(values))


def temporal_iou(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Intersection over union of spans (n, 2) and (m, 2): (n, m) in [0, 1], 0 where both are empty."""
    begin = torch.maximum(one[:, None, 0], other[None, :, 0])
    end = torch.minimum(one[:, None, 1], other[None, :, 1])
    both = (end - begin).clamp(min=0)
    either = (one[:, 1] - one[:, 0])[:, None] + (other[:, 1] - other[:, 0])[None] - both
    return both / either.clamp(min=torch.finfo(either.dtype).tiny)


def candidates_of(found: Localized, points: Points) -> list[Segments]:
    """What each video's points say, each point by itself: many nearly equal segments, for `merge_segments`.

    Args:
        found: Of B videos.
        points: The model's, see `points_of`.

    Returns:
        For each video its candidates by falling score, in tokens.
    """
    last = points.at.max()
    answers = []
    for logits, offsets in zip(found.point_logits.float(), found.offsets.float(), strict=True):
        scores, places = logits.sigmoid().flatten().sort(descending=True, stable=True)
        places = places[:_MOST_CANDIDATES][scores[:_MOST_CANDIDATES] >= _LEAST_SCORE]
        at, labels = places // logits.shape[1], places % logits.shape[1]
        begin, end = points.at[at] - offsets[at, 0], points.at[at] + offsets[at, 1]
        # The first and the last frame take up half a token beyond their middle.
        spans = torch.stack([begin, end], dim=1).clamp(torch.full_like(last, -0.5), last + 0.5)
        answers.append(Segments(spans, labels, scores[: len(places)]))
    return answers


def segments_of(found: Localized, points: Points, *, most: int = 200) -> list[Segments]:
    """What each video's points say together: at most so many segments, in tokens, by falling score."""
    return [soft_nms(candidates, most=most) for candidates in candidates_of(found, points)]


def merge_segments(several: Sequence[Segments], *, most: int = 200) -> Segments:
    """Candidates of one look at a video, or of several such as windows, as segments, by soft-NMS.

    Args:
        several: In one unit of time.
        most: Segments that are kept.
    """
    return soft_nms(Segments(*map(torch.cat, zip(*several, strict=True))), most=most)
