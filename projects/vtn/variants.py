"""The paper's models by name."""

import difflib
import os
from collections.abc import Mapping
from typing import Any

import torch

from .checkpoint import load_checkpoint, match_weights, read_checkpoint, weights_of
from .errors import InputError
from .model import VTN
from .recipe import read_recipe

# The paper's models (Tables 1 and 3). Widths are those that give its parameter counts: 114 / 96 / 10 / 168 /
# 187 M; the paper states 12 heads, which do not divide a ResNet's 2048, where 16 is the nearest that does.
VARIANTS = {
    "vtn_vit_b": {"backbone": "vit_base_patch16_224.orig_in21k_ft_in1k"},
    "vtn_vit_b_1layer": {"backbone": "vit_base_patch16_224.orig_in21k_ft_in1k", "num_layers": 1},
    "vtn_deit_b": {"backbone": "deit_base_patch16_224.fb_in1k"},
    "vtn_deit_bd": {"backbone": "deit_base_distilled_patch16_224.fb_in1k"},
    "vtn_deit_ti": {"backbone": "deit_tiny_patch16_224.fb_in1k", "ffn_dim": 3072},
    "vtn_r50": {"backbone": "resnet50.tv_in1k", "num_heads": 16, "ffn_dim": 4096},
    "vtn_r101": {"backbone": "resnet101.tv_in1k", "num_heads": 16, "ffn_dim": 4096},
}


def create_model(
    name: str | None = None,
    num_classes: int | None = None,
    *,
    pretrained: bool = False,
    checkpoint: str | os.PathLike | None = None,
    **overrides,
) -> VTN:
    """Make one of the paper's models, or the model of a checkpoint as it was trained.

    Args:
        name: A key of VARIANTS, such as "vtn_vit_b"; not with a checkpoint.
        num_classes: K, 400 unless given; not with a checkpoint.
        pretrained: Load the backbone's ImageNet weights; the temporal encoder and the head start at random.
        checkpoint: A file that records what its model was trained with, as this project's runs write it. The
            model, all its weights, `normalization`, `class_names` and `recipe` come from it. Nothing is
            downloaded, and no code in the file is run.
        **overrides: Any argument of VTN, in place of the variant's or the checkpoint's.

    Raises:
        InputError: For an unknown name (the sentence lists the known ones), or a file that cannot be used.
    """
    if checkpoint is not None:
        given = {"a name": name, "num_classes": num_classes, "pretrained": pretrained or None}
        for what in (what for what, value in given.items() if value is not None):
            raise InputError(f"create_model takes checkpoint or {what}, not both: {what} is in the file.")
        return _from_checkpoint(checkpoint, overrides)
    if name not in VARIANTS:
        close = difflib.get_close_matches(str(name), VARIANTS, n=1)
        hint = f"; did you mean {close[0]}?" if close else "; vtn.VTN(name, ...) takes any timm network."
        raise InputError(f"There is no model named {name!r} among {', '.join(VARIANTS)}{hint}")
    classes = 400 if num_classes is None else num_classes
    return VTN(num_classes=classes, pretrained=pretrained, **{**VARIANTS[name], **overrides})


def _from_checkpoint(path: str | os.PathLike, overrides: Mapping[str, Any]) -> VTN:
    content = read_checkpoint(path)
    recipe = read_recipe(content, path)
    if recipe is None:
        raise InputError(
            f"Checkpoint {path} does not record what its model was trained with (older files, PySlowFast's "
            "and the authors' do not): make the model with vtn.create_model(name, ...) or vtn.VTN(...) as it "
            "was for the training, then vtn.load_checkpoint(model, path)."
        )
    arguments = {**recipe.model, **overrides}
    # First without memory: what the file says about its model may be wrong, and huge.
    try:
        with torch.device("meta"):
            wanted = VTN(**arguments).state_dict()
    except Exception as error:  # sizes that do not go together fail in as many ways as there are networks
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"Checkpoint {path} describes a model that cannot be built ({reason}).") from error
    advice = "what it says about its model, or an argument given here, does not match its weights"
    match_weights(weights_of(content, path), wanted, path, advice=advice)
    model = VTN(**arguments)
    load_checkpoint(model, path)
    return model
