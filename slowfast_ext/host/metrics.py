"""Counting of right answers, for both PySlowFasts."""

from collections.abc import Mapping
from typing import Any

import torch


def topks_correct(preds: torch.Tensor, labels: torch.Tensor, ks: tuple[int, ...]) -> list[torch.Tensor]:
    """Count the videos whose label is among the k best scores.

    Args:
        preds: Scores or logits, (N, K).
        labels: Class ids, (N,).
        ks: Values of k; one that exceeds K counts every video.

    Returns:
        For every k, a 0-d float tensor.
    """
    if preds.size(0) != labels.size(0):
        raise ValueError(f"{preds.size(0)} predictions for {labels.size(0)} labels")
    best = preds.topk(min(max(ks), preds.size(1)), dim=1).indices
    hits = best.eq(labels.view(-1, 1))
    return [hits[:, :k].any(dim=1).float().sum() for k in ks]


def ks_that_tell(num_classes: int) -> tuple[int, ...]:
    """The k of top-k that say something: among five classes or fewer every answer is in the top 5."""
    return (1, 5) if num_classes > 5 else (1,)


def without_needless_top5(stats: Mapping[str, Any], num_classes: int) -> dict[str, Any]:
    """Statistics of a log line, without its top-5 entries where those say nothing."""
    if 5 in ks_that_tell(num_classes):
        return dict(stats)
    return {name: value for name, value in stats.items() if "top5" not in name}


def accuracy_bounds(correct: float, scored: int, failed: int) -> tuple[float, float]:
    """Accuracy in percent if the failed videos were all wrong, and if they were all right.

    Args:
        correct: Videos that were classified rightly.
        scored: Videos that were classified.
        failed: Videos that could not be.
    """
    total = scored + failed
    return 100.0 * correct / total, 100.0 * (correct + failed) / total


def sentence_of_score(what: str, correct: float, scored: int, failed: int) -> str:
    """Top-1 accuracy, over how many videos, and its bounds if the failed were all wrong or all right."""
    text = f"{what}: top-1 accuracy {100 * correct / scored:.2f} % over {scored} of {scored + failed} videos"
    if not failed:
        return text
    low, high = accuracy_bounds(correct, scored, failed)
    return f"{text}; {low:.2f} % if the {failed} that failed were all wrong, {high:.2f} % if all were right"
