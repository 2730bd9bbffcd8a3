"""Counting of right answers, for both PySlowFasts."""

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
