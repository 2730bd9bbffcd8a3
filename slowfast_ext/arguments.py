"""The arguments of vtn.VTN and the configuration keys that set them: one table, read in both directions."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from fvcore.common.config import CfgNode

from vtn.errors import InputError

KEYS = {
    "backbone": "VTN.BACKBONE",
    "num_classes": "MODEL.NUM_CLASSES",
    "num_layers": "VTN.NUM_HIDDEN_LAYERS",
    "num_heads": "VTN.NUM_ATTENTION_HEADS",
    "attention_window": "VTN.ATTENTION_WINDOW",
    "ffn_dim": "VTN.INTERMEDIATE_SIZE",
    "mlp_dim": "VTN.MLP_DIM",
    "head_init": "VTN.HEAD_INIT",
    "position_embedding": "VTN.POSITION_EMBEDDING",
    "max_position_embeddings": "VTN.MAX_POSITION_EMBEDDINGS",
    "position_overflow": "VTN.POSITION_OVERFLOW",
    "attention": "VTN.ATTENTION",
    "sequence_encoder": "VTN.SEQUENCE_ENCODER",
    "shuffle_frames": "VTN.SHUFFLE_FRAMES",
    "attention_dropout": "VTN.ATTENTION_PROBS_DROPOUT_PROB",
    "hidden_dropout": "VTN.HIDDEN_DROPOUT_PROB",
    "head_dropout": "MODEL.DROPOUT_RATE",
    "pretrained": "VTN.PRETRAINED",
    "freeze_backbone": "VTN.FREEZE_BACKBONE",
    "drop_rate": "VTN.DROP_RATE",
    "drop_path_rate": "VTN.DROP_PATH_RATE",
    "img_size": "DATA.TRAIN_CROP_SIZE",
    "frames_per_chunk": "VTN.FRAMES_PER_CHUNK",
    "merge_tokens": "VTN.MERGE_TOKENS",
    "reuse_frames": "VTN.REUSE_FRAMES",
    "localization_scales": "VTN.LOCALIZATION_SCALES",
}
# 0 or an empty name leaves these to the model, whose word for it is None.
_NONE_IF_ZERO = ("num_heads", "ffn_dim", "mlp_dim", "sequence_encoder", "frames_per_chunk")


def model_arguments(cfg: CfgNode) -> dict[str, Any]:
    """Arguments of vtn.VTN, without `pretrained`: whether weights are fetched is no part of the model."""
    arguments = {name: _value(cfg, key) for name, key in KEYS.items() if name != "pretrained"}
    windows = list(arguments["attention_window"])
    arguments["attention_window"] = windows[0] if len(windows) == 1 else windows
    return arguments | {name: arguments[name] or None for name in _NONE_IF_ZERO}


def _value(cfg: CfgNode, key: str) -> Any:
    section, name = key.split(".")
    return cfg[section][name]


@contextlib.contextmanager
def said_in_keys() -> Iterator[None]:
    """Inside this block, what vtn says of its arguments is said of the keys that set them.

    Raises:
        InputError: The one that was raised inside, with the names of its `arguments` replaced.
    """
    try:
        yield
    except InputError as error:
        if not error.arguments:
            raise
        raise InputError(in_keys(error)) from error.__cause__


def in_keys(error: InputError) -> str:
    """The message of an error of vtn, with the first mention of each argument replaced by its key."""
    sentence = str(error)
    for name in error.arguments:
        sentence = re.sub(rf"(?<![\w.]){name}(?!\w)", KEYS[name], sentence, count=1)
    return sentence
