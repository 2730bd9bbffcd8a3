"""How two models differ, as far as their weights show it, in words.

Shape legend: D width, K classes.
"""

from collections.abc import Mapping

import torch

from .authors_names import PREFIX

# Sizes of a model: in words, the weight that shows it, and the axis of that weight.
_SIZES = (
    ("width", "cls_token", 2),
    ("feed-forward width", f"{PREFIX}layers.0.ffn_in.weight", 0),
    ("rows of the position table", f"{PREFIX}positions.table.weight", 0),
    ("head width", "mlp_head.1.weight", 0),
    ("classes", "mlp_head.4.weight", 0),
    ("classes", "head.projection.weight", 0),  # PySlowFast's own models
)
_DEPTH = "temporal layers"


def ways_to_differ(found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> list[str]:
    """How two models of the same kind differ; empty if they are of different kinds."""

    def part(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Size]:
        return {name: value.shape for name, value in state.items() if name.startswith(prefix)}

    there, here = _sizes(found), _sizes(wanted)
    ways = [
        f"{what} ({there[what]} there, {size} here)"
        for what, size in here.items()
        if what in there and there[what] != size
    ]
    theirs, ours = part(found, "backbone."), part(wanted, "backbone.")
    if theirs and ours and theirs != ours:
        ways.append("backbone")
    theirs, ours = part(found, f"{PREFIX}positions."), part(wanted, f"{PREFIX}positions.")
    if theirs and ours and theirs.keys() != ours.keys():
        ways.append("kind of positions")
    theirs, ours = part(found, PREFIX), part(wanted, PREFIX)
    both_are_ours = _DEPTH in there and _DEPTH in here
    if theirs and ours and theirs.keys() != ours.keys() and not both_are_ours:
        ways.append("temporal encoder")
    return ways


def _sizes(state: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """Depth, D, K and so on of the model that these weights belong to, as far as they show it."""
    layers = {name.split(".")[2] for name in state if name.startswith(f"{PREFIX}layers.")}
    sizes = {_DEPTH: len(layers)} if layers else {}
    for words, name, axis in _SIZES:
        if name in state and axis < state[name].ndim:
            sizes[words] = state[name].shape[axis]
    return sizes
