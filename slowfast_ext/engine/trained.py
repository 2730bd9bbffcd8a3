"""A trained model from a checkpoint, ready to look at videos."""

import os
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode
from torch import nn

from slowfast_ext.distributed import settle, unwrap
from slowfast_ext.engine.start import Source, advice
from slowfast_ext.host.checkpoint import CLASS_NAMES, newest_checkpoint
from slowfast_ext.models import build_on_meta, make_model, without_published_weights
from vtn.checkpoint import match_weights, read_checkpoint, weights_of
from vtn.errors import InputError
from vtn.recipe import Recipe, read_recipe

_LONGEST_NAME = 1000


def checkpoint_in(checkpoint: str | Path) -> str | Path:
    """A checkpoint, which may be meant by the folder of its run."""
    if not os.path.isdir(checkpoint):
        return checkpoint
    newest = newest_checkpoint(os.fspath(checkpoint))
    if newest is None:
        raise InputError(f"the folder {checkpoint} holds no checkpoint of a run: name a file")
    return newest


def load_trained(cfg: CfgNode, checkpoint: str | Path) -> tuple[nn.Module, Sequence[str] | None]:
    """Build the model of a configuration of one process and load all its weights.

    Args:
        cfg: A complete configuration.
        checkpoint: A file of this project, of PySlowFast or of the authors' fork.

    Returns:
        The model, in evaluation mode on the device of `cfg`, and the names of its classes if they are known.

    Raises:
        InputError: If the checkpoint is missing, cannot be read or is of another model.
    """
    content = read_checkpoint(checkpoint)
    recipe = read_recipe(content, checkpoint)
    if cfg.MODEL.MODEL_NAME == "VTN" and recipe is not None:
        _require_same_attention(cfg, recipe, checkpoint)
    settle(cfg)
    advised = advice(for_test=True, continues=False)
    if cfg.MODEL.MODEL_NAME == "VTN":
        # Before there is memory for it: the sizes may be those of a stranger's file.
        wanted = build_on_meta(cfg).state_dict()
        match_weights(weights_of(content, checkpoint, averaged=True), wanted, checkpoint, advice=advised)
    model = make_model(without_published_weights(cfg)).eval()
    names = unwrap(model).class_names or (recipe and recipe.class_names)
    Source(str(checkpoint), advised).load(model)
    return model, names or _class_names_in(content, cfg.MODEL.NUM_CLASSES, checkpoint)


def _class_names_in(content: Mapping[str, Any], num_classes: int, path: str | Path) -> list[str] | None:
    """The names that a model other than VTN has in its checkpoint, checked."""
    names = content.get(CLASS_NAMES) if "model_state" in content else None
    if names is None:
        return None
    usable = isinstance(names, list) and all(
        isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME and not has_controls(name) for name in names
    )
    if not usable or len(names) != num_classes:
        raise InputError(
            f"Checkpoint {path} has an entry {CLASS_NAMES!r} that cannot be used: it must be a list of "
            f"{num_classes} names."
        )
    return names


def has_controls(text: str) -> bool:
    """Whether a text has characters that steer a terminal."""
    return any(unicodedata.category(character) == "Cc" for character in text)


def _require_same_attention(cfg: CfgNode, recipe: Recipe, checkpoint: str | Path) -> None:
    """Learned and uniform attention have the same weights, so a file fits both."""
    kind = recipe.model.get("attention", cfg.VTN.ATTENTION)
    if kind != cfg.VTN.ATTENTION:
        raise InputError(
            f"checkpoint {checkpoint} was trained with VTN.ATTENTION {kind}, and the configuration says "
            f"{cfg.VTN.ATTENTION}: add `VTN.ATTENTION {kind}` or take the configuration of its run"
        )
