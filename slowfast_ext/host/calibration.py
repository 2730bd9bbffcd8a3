"""How far scores can be believed: calibration error, log likelihood and temperature scaling.

Guo et al., On Calibration of Modern Neural Networks (arXiv:1706.04599). What is scaled is the logarithm of a
video's score: of one view that is the logits up to a constant, which softmax ignores, so the result is the
paper's. Of several views it is the logarithm of their mean score.

Legend: N videos, K classes, M bins. Scores are (N, K), not negative, and sum to 1; labels are (N,) class ids.
"""

import math
from typing import Any, NamedTuple

import torch

NUM_BINS = 15  # of Guo et al., Sec. 5
# Where a temperature is looked for. If all answers are right, none is best: the lower, the better.
_LOWEST, _HIGHEST = 0.1, 10.0
_HALVINGS = 30  # of that range; after them it is known to 1e-8
# A score that float32 rounded to 0 has a logarithm all the same.
_SMALLEST = torch.finfo(torch.float32).tiny
# How far from 1 a sum of scores may be that were computed in half precision.
_ROUNDING = 0.01


class Reliability(NamedTuple):
    """Videos by the score of the class that was predicted, in M bins of equal width.

    Attributes:
        count: (M,) int64, videos in each; the m-th bin, from 1, is ((m - 1) / M, m / M].
        confidence: (M,) float64, mean score of the predicted class; 0 in an empty bin.
        accuracy: (M,) float64, share of right answers; likewise.
    """

    count: torch.Tensor
    confidence: torch.Tensor
    accuracy: torch.Tensor

    @property
    def error(self) -> float:
        """The expected calibration error, in [0, 1]: |accuracy - confidence|, averaged over the videos."""
        gaps = (self.accuracy - self.confidence).abs()
        return float((self.count * gaps).sum() / self.count.sum())


def reliability(scores: torch.Tensor, labels: torch.Tensor, num_bins: int = NUM_BINS) -> Reliability:
    """Put videos into bins by the score of their predicted class."""
    best, predicted = scores.double().max(dim=1)
    bins = _bins(best, num_bins)
    count = bins.bincount(minlength=num_bins)
    confidence, right = (
        bins.bincount(values.double(), num_bins) / count.clamp(min=1)
        for values in (best, predicted == labels)
    )
    return Reliability(count, confidence, right)


def error_if_calibrated(scores: torch.Tensor, *, draws: int = 200, seed: int = 0) -> float:
    """The mean expected calibration error of answers that are right exactly as often as their scores say.

    It is not 0: in a bin with few videos the share of right answers is a matter of luck.
    """
    best = scores.double().max(dim=1).values
    generator = torch.Generator().manual_seed(seed)
    gaps = (torch.rand(draws, len(best), generator=generator) < best).double() - best
    sums = gaps.new_zeros(draws, NUM_BINS).index_add_(1, _bins(best, NUM_BINS), gaps)
    return float(sums.abs().sum(dim=1).mean() / len(best))


def negative_log_likelihood(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean over the videos, in nats; a score of 0 counts as 1e-38."""
    return -float(_logarithm(scores).gather(1, labels[:, None]).mean())


def scale(scores: torch.Tensor, temperature: float) -> torch.Tensor:
    """Scores (N, K) float64 at another temperature: above 1 less sure, below 1 surer, the order the same."""
    return (_logarithm(scores) / temperature).softmax(dim=1)


def fit_temperature(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """The temperature, from 0.1 to 10, with the lowest negative log likelihood; 1 where all are equal.

    The likelihood is convex in 1 / temperature, so the zero of its slope is found by halving a range.
    """
    logits = _logarithm(scores)
    wanted = logits.gather(1, labels[:, None])[:, 0]
    low, high = _LOWEST, _HIGHEST
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        expected = ((logits / middle).softmax(dim=1) * logits).sum(dim=1)
        slope = float((expected - wanted).mean())  # of the negative log likelihood, in 1 / temperature
        if abs(slope) < 1e-12:
            break
        low, high = (middle, high) if slope > 0 else (low, middle)
    return middle


def scale_by_halves(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Scale each half of the videos at the temperature that was fitted on the other half: (N, K) float64.

    Videos of each class go to the halves in turn, in the order of the list, so nothing is drawn at random.
    """
    second = labels.argsort(stable=True).argsort() % 2 == 1
    scaled = torch.empty(scores.shape, dtype=torch.float64)
    for half in (second, ~second):
        scaled[half] = scale(scores[half], fit_temperature(scores[~half], labels[~half]))
    return scaled


def _are_probabilities(scores: torch.Tensor) -> bool:
    """Whether each row is a distribution over the classes: those of sigmoids, or a maximum, are none."""
    return bool((scores >= 0).all()) and bool(((scores.sum(dim=1) - 1).abs() < _ROUNDING).all())


def calibration(scores: torch.Tensor, labels: torch.Tensor) -> dict[str, Any]:
    """Entries of test_results.json, see docs/how_sure.md; none where the scores are no probabilities.

    No temperature is judged on videos that it was fitted on. One video alone has none.
    """
    if not _are_probabilities(scores):
        return {}
    found = _numbers(scores, labels)
    if len(scores) > 1:
        scaled = _numbers(scale_by_halves(scores, labels), labels)
        found |= {f"{name}_scaled": value for name, value in scaled.items()}
        found["temperature"] = round(fit_temperature(scores, labels), 6)
        found["temperature_fitted_on"] = "all scored videos; for the scaled numbers, the other half of them"
    return found


def sentence_of_calibration(found: dict[str, Any]) -> str:
    """What `calibration` found, for the log."""
    text = f"Calibration: expected calibration error {100 * found['ece']:.2f} %"
    if "temperature" in found:
        text += (
            f"; {100 * found['ece_scaled']:.2f} % with temperature scaling, fitted on the other half of the "
            f"videos; temperature of all {found['temperature']:.3f}"
        )
    return text


def _bins(best: torch.Tensor, num_bins: int) -> torch.Tensor:
    return (best * num_bins).ceil().long().clamp(1, num_bins) - 1


def _numbers(scores: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    nll = negative_log_likelihood(scores, labels)
    return {"ece": round(reliability(scores, labels).error, 6), "nll": round(nll, 6)}


def _logarithm(scores: torch.Tensor) -> torch.Tensor:
    return scores.double().clamp(min=_SMALLEST).log()
