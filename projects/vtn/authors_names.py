"""Names of the weights: those of the authors' release (bomri/SlowFast), and ours."""

import re
from collections.abc import Mapping

import torch

# The authors' names of the temporal encoder's parts, and ours. `{}` is the number of a layer. Everything
# outside the temporal encoder has the same name in both.
_NAMES = {
    "embeddings.position_embeddings": "positions.table",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "norm",
    "encoder.layer.{}.attention.self.query": "layers.{}.attention.query",
    "encoder.layer.{}.attention.self.key": "layers.{}.attention.key",
    "encoder.layer.{}.attention.self.value": "layers.{}.attention.value",
    "encoder.layer.{}.attention.self.query_global": "layers.{}.attention.query_global",
    "encoder.layer.{}.attention.self.key_global": "layers.{}.attention.key_global",
    "encoder.layer.{}.attention.self.value_global": "layers.{}.attention.value_global",
    "encoder.layer.{}.attention.output.dense": "layers.{}.attention.output",
    "encoder.layer.{}.attention.output.LayerNorm": "layers.{}.attention_norm",
    "encoder.layer.{}.intermediate.dense": "layers.{}.ffn_in",
    "encoder.layer.{}.output.dense": "layers.{}.ffn_out",
    "encoder.layer.{}.output.LayerNorm": "layers.{}.ffn_norm",
}
_OURS_TO_THEIRS = {ours: theirs for theirs, ours in _NAMES.items()}
PREFIX = "temporal_encoder."
# Column numbers 0 .. 287 that some releases of their library store; not a weight.
_POSITION_IDS = f"{PREFIX}embeddings.position_ids"


def from_authors_names(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename weights of the authors' release (bomri/SlowFast) to ours; names that are not theirs stay."""
    return {_renamed(name, _NAMES): value for name, value in state_dict.items() if name != _POSITION_IDS}


def to_authors_names(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename our weights to those of the authors' release; names that are not ours stay."""
    return {_renamed(name, _OURS_TO_THEIRS): value for name, value in state_dict.items()}


def _renamed(name: str, names: Mapping[str, str]) -> str:
    """temporal_encoder.<part>.<weight or bias>, with the part looked up and its layer number kept."""
    part, _, tensor = name.removeprefix(PREFIX).rpartition(".")
    pattern = re.sub(r"\b\d+\b", "{}", part)
    if not name.startswith(PREFIX) or pattern not in names:
        return name
    return f"{PREFIX}{names[pattern].format(*re.findall(r'[0-9]+', part))}.{tensor}"
