"""Reading weights: our checkpoints, PySlowFast's, and the authors' released .pyth files.

Loading never runs pickled code.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .errors import InputError

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
_PREFIX = "temporal_encoder."
# Column numbers 0 .. 287 that some releases of their library store; not a weight.
_POSITION_IDS = "temporal_encoder.embeddings.position_ids"


def from_authors_names(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename weights of the authors' release (bomri/SlowFast) to ours; names that are not theirs stay."""
    return {_renamed(name, _NAMES): value for name, value in state_dict.items() if name != _POSITION_IDS}


def to_authors_names(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename our weights to those of the authors' release; names that are not ours stay."""
    return {_renamed(name, _OURS_TO_THEIRS): value for name, value in state_dict.items()}


def _renamed(name: str, names: Mapping[str, str]) -> str:
    """temporal_encoder.<part>.<weight or bias>, with the part looked up and its layer number kept."""
    part, _, tensor = name.removeprefix(_PREFIX).rpartition(".")
    pattern = re.sub(r"\b\d+\b", "{}", part)
    if not name.startswith(_PREFIX) or pattern not in names:
        return name
    return f"{_PREFIX}{names[pattern].format(*re.findall(r'[0-9]+', part))}.{tensor}"


def load_checkpoint(model: nn.Module, path: str | os.PathLike) -> None:
    """Load weights into a model, all of them or none.

    Takes a plain state dict, PySlowFast's {"model_state": ...}, either also as saved from a
    DistributedDataParallel model ("module." before every name), with our names or the authors'.

    Args:
        model: A VTN of the same size; changed in place.
        path: The file.

    Raises:
        InputError: If the file is missing, damaged, asks for code to be run, or is of another model.
    """
    load_weights(model, weights_of(read_checkpoint(path), path), path)


def read_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """Read all that a checkpoint file holds, without running code from it.

    Raises:
        InputError: If the file is missing, damaged or asks for code to be run.
    """
    if not Path(path).is_file():
        raise InputError(f"There is no checkpoint file {path}.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that are no checkpoint raise KeyError, EOFError, whatever they hit
        forbidden = re.search(r"GLOBAL ([\w.]+)", str(error))
        if forbidden is not None:
            raise InputError(
                f"Checkpoint {path} is not loaded, because it holds more than tensors and plain values "
                f"({forbidden[1].rstrip('.')}), and unpickling that can run code."
            ) from error
        raise InputError(
            f"Checkpoint {path} cannot be read: it is damaged, cut short, or not from torch.save."
        ) from error
    return content if isinstance(content, dict) else {}


def weights_of(checkpoint: Mapping[str, Any], path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """The model's weights in what `read_checkpoint` returned, under our names.

    Raises:
        InputError: If there are none; names `path`.
    """
    state = checkpoint.get("model_state", checkpoint)
    if (
        not isinstance(state, dict)
        or not state
        or not all(isinstance(v, torch.Tensor) for v in state.values())
    ):
        raise InputError(
            f"Checkpoint {path} holds no model weights (names with tensors, or these in model_state)."
        )
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return from_authors_names(state)


def load_weights(model: nn.Module, state: Mapping[str, torch.Tensor], path: str | os.PathLike) -> None:
    """Put weights into any model, all of them or none.

    Raises:
        InputError: If a name or a shape differs; names `path` and what differs.
    """
    _check_fits(state, model.state_dict(), path)
    model.load_state_dict(state)


def _check_fits(
    found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], path: str | os.PathLike
) -> None:
    """Raise an InputError that says what differs, if anything does."""
    missing = [name for name in wanted if name not in found]
    unexpected = [name for name in found if name not in wanted]
    if missing or unexpected:
        raise InputError(
            f"Checkpoint {path} is of another model: it lacks {_some(missing)} and has {_some(unexpected)} "
            "that this one does not."
        )
    shapes = [
        f"{name} is {tuple(found[name].shape)} there and {tuple(wanted[name].shape)} here"
        for name in wanted
        if found[name].shape != wanted[name].shape
    ]
    if shapes:
        raise InputError(f"Checkpoint {path} is of another size: {_some(shapes)}.")


def _some(items: list[str], limit: int = 3) -> str:
    """How many, and the first few."""
    shown = ", ".join(items[:limit]) + (", ..." if len(items) > limit else "")
    return f"{len(items)} weights" + (f" ({shown})" if items else "")
