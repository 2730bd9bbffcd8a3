"""Which frames really carry a model's answers: deletion and insertion curves over many videos.

Frames are taken away, or put in, in the order of attention of the CLS token, of occlusion, and of chance; see
vtn/evidence.py.

Shape legend: T frames of a video, P points of a curve, N videos, B resamplings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from slowfast_ext.report.attention import attention_inside
from slowfast_ext.report.looks import Look
from vtn.evidence import group_by_time, occlusion, per_frame, removal_curves
from vtn.model import VTN

OCCLUSION, RANDOM = "occlusion", "random"
POINTS = 21
RANDOM_ORDERS = 5
RESAMPLINGS = 2000
_PERCENTILES = (2.5, 97.5)
_SEED = 0
Unit = Literal["second", "frame"]


@dataclass(frozen=True)
class Removal:
    """What became of the score of one class in one video.

    Attributes:
        label: The class.
        curves: Of each order, deletion and insertion, (2, P). That of RANDOM is the mean of its orders.
        random_areas: (RANDOM_ORDERS, 2), under deletion and insertion.
        inside: Share of time, of the attention of each layer and of the evidence inside the true action;
            empty where that is not known. That of evidence is NaN where no second speaks for the class.
    """

    label: int
    curves: Mapping[str, np.ndarray]
    random_areas: np.ndarray
    inside: Mapping[str, float]


def name_of_layer(layer: int) -> str:
    """The order by attention in a layer, counted from 0."""
    return f"attention, layer {layer + 1}"


@torch.inference_mode()
def measure_removal(
    model: VTN,
    look: Look,
    label: int,
    *,
    times: torch.Tensor,
    layers: Sequence[int],
    by: Unit,
    number: int,
    action_frames: Sequence[int] | None = None,
) -> Removal:
    """Take frames of one video away, and put them in, in several orders.

    Args:
        model: In evaluation.
        look: The video as it saw it.
        label: Class whose score is followed.
        times: (T,), when each frame is shown, seconds.
        layers: Of which attention gives an order, from 0; mean over heads.
        by: With "second" the frames of a second go together, and attention counts by its mean in the second.
            With "frame" attention and chance order single frames; occlusion is by second all the same, since
            without one frame of many a score hardly changes.
        number: Of the video in its list; random orders follow from it.
        action_frames: First frame of the true action, and the first after it, where they are known.
    """
    device = look.features.device
    indices = torch.as_tensor(look.frame_indices, device=device)
    seconds = group_by_time(times.to(device), 1)
    _, seconds = seconds.unique(return_inverse=True)  # those in which there are frames
    evidence = occlusion(model, look.features, indices, seconds).evidence[:, label]
    units = seconds if by == "second" else torch.arange(len(seconds), device=device)

    importances = {}
    for layer in layers:
        weights = torch.as_tensor(look.weights(layer), device=device).double()
        sums = units.bincount(weights)
        importances[name_of_layer(layer)] = per_frame(sums, units)
    importances[OCCLUSION] = per_frame(evidence, seconds)
    generator = torch.Generator().manual_seed(_SEED + number)
    drawn = [torch.randperm(int(units.max()) + 1, generator=generator) for _ in range(RANDOM_ORDERS)]

    def curves(importance: torch.Tensor) -> np.ndarray:
        found = removal_curves(model, look.features, indices, importance, label, points=POINTS)
        return torch.stack([found.deletion, found.insertion]).numpy()

    random = np.stack([curves(order.to(device)[units]) for order in drawn])
    found = {name: curves(importance) for name, importance in importances.items()}
    return Removal(
        label,
        found | {RANDOM: random.mean(axis=0)},
        _areas(random),
        _shares_inside(look, layers, per_frame(evidence, seconds).cpu().numpy(), action_frames),
    )


def _shares_inside(
    look: Look, layers: Sequence[int], evidence: np.ndarray, action_frames: Sequence[int] | None
) -> dict[str, float]:
    if action_frames is None:
        return {}
    start, end = action_frames
    inside = (look.frame_indices >= start) & (look.frame_indices < end)
    shares = {"time": float(inside.mean())}
    shares |= {name_of_layer(layer): attention_inside(look.weights(layer), inside) for layer in layers}
    speaks_for = evidence.clip(min=0)
    shares[OCCLUSION] = attention_inside(speaks_for, inside) if speaks_for.any() else float("nan")
    return shares


def _areas(curves: np.ndarray) -> np.ndarray:
    """Under curves (..., P) over fractions 0 to 1: (...)."""
    return (curves[..., 1:] + curves[..., :-1]).sum(axis=-1) / (2 * (POINTS - 1))


def summarize_removals(removals: Sequence[Removal]) -> dict[str, Any]:
    """Means over the videos, with 95 % intervals from resampling the videos, as plain values.

    Differences to random are those of the same resampling, so they are paired. An interval says how much the
    result depends on which videos were at hand. One video alone has none.

    Args:
        removals: Of the same orders, at least one.

    Returns:
        `fractions` (P,); `orders`: of each order `deletion` and `insertion` (P,) and their `area`, and but
        for RANDOM the `minus_random` of both, each with `mean`, `low` and `high`; `spread_of_random_orders`:
        standard deviation of both areas over the random orders; `inside_action`: mean shares, and of how many
        videos, where the true action is known.
    """
    names = list(removals[0].curves)
    curves = np.stack([[removal.curves[name] for name in names] for removal in removals])  # (N, orders, 2, P)
    table = np.concatenate([curves, _areas(curves)[..., None]], axis=-1)
    means = table.mean(axis=0)
    lows, highs = np.percentile(_resampled(table), _PERCENTILES, axis=0)
    against = table - table[:, [names.index(RANDOM)]]
    differences = against.mean(axis=0)
    low_differences, high_differences = np.percentile(_resampled(against), _PERCENTILES, axis=0)
    orders = {}
    for row, name in enumerate(names):
        order = orders[name] = {}
        for column, kind in enumerate(("deletion", "insertion")):
            where = row, column, slice(POINTS)
            order[kind] = _interval(means[where], lows[where], highs[where], len(table))
            where = row, column, POINTS
            order[f"{kind}_area"] = _interval(means[where], lows[where], highs[where], len(table))
            if name != RANDOM:
                found = (values[where] for values in (differences, low_differences, high_differences))
                order[f"{kind}_area_minus_random"] = _interval(*found, len(table))
    spread = np.mean([removal.random_areas for removal in removals], axis=0).std(axis=0, ddof=1)
    result = {
        "fractions": _plain(np.linspace(0, 1, POINTS)),
        "orders": orders,
        "spread_of_random_orders": dict(zip(("deletion", "insertion"), _plain(spread), strict=True)),
    }
    known = [removal.inside for removal in removals if removal.inside]
    if known:
        shares = {name: np.array([one[name] for one in known]) for name in known[0]}
        shares = {name: found[~np.isnan(found)] for name, found in shares.items()}
        result["inside_action"] = {
            name: {"mean": _plain(found.mean()) if len(found) else None, "num_videos": len(found)}
            for name, found in shares.items()
        }
    return result


def _resampled(table: np.ndarray) -> np.ndarray:
    """Means over as many videos, drawn with replacement, of a table (N, ...): (B, ...)."""
    rng, count = np.random.default_rng(_SEED), len(table)
    flat = table.reshape(count, -1)
    draws = (rng.multinomial(count, np.full(count, 1 / count)) for _ in range(RESAMPLINGS))
    return np.stack([times @ flat for times in draws]).reshape(-1, *table.shape[1:]) / count


def _interval(mean: np.ndarray, low: np.ndarray, high: np.ndarray, count: int) -> dict[str, Any]:
    ends = {"low": _plain(low), "high": _plain(high)} if count > 1 else {"low": None, "high": None}
    return {"mean": _plain(mean)} | ends


def _plain(values: np.ndarray) -> Any:
    return np.round(values, 5).tolist()
