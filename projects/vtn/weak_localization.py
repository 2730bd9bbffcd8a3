"""When actions happen, from a model that was trained with the labels of whole videos alone.

Two steps, which no segment has taught. First a line over time says which stretches may be actions: the
attention of CLS, or the evidence for a class, each cut at several heights. Windows of several lengths ask
nothing of the model. Then the frames of each stretch, alone, are classified. These are the yardsticks for
a trained localization head, see `vtn.localization`.

Shape legend: T frames, D width of a frame feature, K classes, S stretches.
"""

from collections.abc import Sequence

import torch

from .evidence import classify_subsets, occlusion
from .localization import Segments, merge_segments
from .model import VTN

# Parts of the highest value of a line, at which it is cut.
HEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_LEAST_SCORE = 0.01


def attention_segments(
    model: VTN,
    frame_features: torch.Tensor,
    frame_indices: torch.Tensor | None = None,
    *,
    layer: int = 0,
    heights: Sequence[float] = HEIGHTS,
) -> Segments:
    """Segments where CLS looks.

    Args:
        model: In evaluation.
        frame_features: (T, D) from `VTN.frame_features`.
        frame_indices: (T,) integers >= 0; 0 .. T - 1 for None.
        layer: Whose attention counts, the mean over its heads; 0 is that of the paper's figure 3.
        heights: Parts of the highest attention.

    Returns:
        In tokens: a stretch from frame i to frame j is (i - 0.5, j + 0.5).
    """
    indices = None if frame_indices is None else frame_indices[None]
    with torch.no_grad():
        _, weights = model.classify(frame_features[None], indices, return_attention=True)
    stretches = _stretches(weights[0, layer].mean(dim=0), heights)
    return merge_segments([_classified(model, frame_features, frame_indices, stretches)])


def evidence_segments(
    model: VTN,
    frame_features: torch.Tensor,
    frame_indices: torch.Tensor | None = None,
    *,
    frames_per_group: int = 2,
    heights: Sequence[float] = HEIGHTS,
) -> Segments:
    """Segments without which the logit of a class falls: occlusion of a few frames at a time.

    Args:
        model, frame_features, frame_indices, heights: As for `attention_segments`.
        frames_per_group: Neighbouring frames that are left out together.
    """
    count = len(frame_features)
    groups = torch.arange(count, device=frame_features.device) // frames_per_group
    found = occlusion(model, frame_features, frame_indices, groups)
    falls = found.logits - found.without  # (G, K)
    several = []
    for label in range(falls.shape[1]):
        stretches = _stretches(falls[groups, label], heights)
        several.append(_classified(model, frame_features, frame_indices, stretches, only=label))
    return merge_segments(several)


def window_segments(
    model: VTN,
    frame_features: torch.Tensor,
    frame_indices: torch.Tensor | None = None,
    *,
    lengths: Sequence[int],
) -> Segments:
    """Segments among windows that follow one another by half their length.

    Args:
        model, frame_features, frame_indices: As for `attention_segments`.
        lengths: Of the windows, in frames.
    """
    count = len(frame_features)
    stretches = {
        (begin, min(begin + length, count))
        for length in lengths
        for begin in range(0, max(count - length, 0) + 1, max(length // 2, 1))
    }
    return merge_segments([_classified(model, frame_features, frame_indices, sorted(stretches))])


def _stretches(line: torch.Tensor, heights: Sequence[float]) -> list[tuple[int, int]]:
    """First frame, and the one after the last, of all stretches where a line (T,) is at least so high."""
    highest = line.max()
    if highest <= 0:
        return []
    found = set()
    for height in heights:
        high = (line >= height * highest).int().cpu()
        steps = torch.diff(high, prepend=high.new_zeros(1), append=high.new_zeros(1))
        found |= set(
            zip((steps == 1).nonzero()[:, 0].tolist(), (steps == -1).nonzero()[:, 0].tolist(), strict=True)
        )
    return sorted(found)


def _classified(
    model: VTN,
    frame_features: torch.Tensor,
    frame_indices: torch.Tensor | None,
    stretches: Sequence[tuple[int, int]],
    only: int | None = None,
) -> Segments:
    """Stretches with each class, or the only one, and its score from their frames alone; before soft-NMS."""
    count, device = len(frame_features), frame_features.device
    ends = torch.tensor(stretches, dtype=torch.long, device=device).view(-1, 2)
    frames = torch.arange(count, device=device)
    keep = (frames >= ends[:, :1]) & (frames < ends[:, 1:])
    scores = classify_subsets(model, frame_features, frame_indices, keep).softmax(dim=1)
    labels = torch.arange(scores.shape[1], device=device)
    if only is not None:
        scores, labels = scores[:, only : only + 1], labels[only : only + 1]
    rows, columns = (scores >= _LEAST_SCORE).nonzero(as_tuple=True)
    return Segments(ends[rows].float() - 0.5, labels[columns], scores[rows, columns])
