"""What a checkpoint of VTN tells of itself, in vtn's own words, from the configuration of its run."""

import functools
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode

from slowfast_ext.host import get_host
from vtn import Recipe
from vtn.errors import InputError

CLASSES = "classes.txt"


def model_arguments(cfg: CfgNode) -> dict[str, Any]:
    """Arguments of vtn.VTN, without `pretrained`: whether weights are fetched is no part of the model."""
    node = cfg.VTN
    windows = list(node.ATTENTION_WINDOW)
    return {
        "backbone": node.BACKBONE,
        "num_classes": cfg.MODEL.NUM_CLASSES,
        "num_layers": node.NUM_HIDDEN_LAYERS,
        "num_heads": node.NUM_ATTENTION_HEADS,
        "attention_window": windows[0] if len(windows) == 1 else windows,
        "ffn_dim": node.INTERMEDIATE_SIZE or None,
        "mlp_dim": node.MLP_DIM or None,
        "position_embedding": node.POSITION_EMBEDDING,
        "max_position_embeddings": node.MAX_POSITION_EMBEDDINGS,
        "attention": node.ATTENTION,
        "sequence_encoder": node.SEQUENCE_ENCODER or None,
        "shuffle_frames": node.SHUFFLE_FRAMES,
        "attention_dropout": node.ATTENTION_PROBS_DROPOUT_PROB,
        "hidden_dropout": node.HIDDEN_DROPOUT_PROB,
        "head_dropout": cfg.MODEL.DROPOUT_RATE,
        "freeze_backbone": node.FREEZE_BACKBONE,
        "drop_rate": node.DROP_RATE,
        "drop_path_rate": node.DROP_PATH_RATE,
        "img_size": cfg.DATA.TRAIN_CROP_SIZE,
        "frames_per_chunk": node.FRAMES_PER_CHUNK or None,
    }


def recipe_of(cfg: CfgNode) -> Recipe:
    """All that a model of this run's checkpoint needs to be used without the configuration."""
    data = cfg.DATA
    return Recipe(
        model=model_arguments(cfg),
        mean=tuple(data.MEAN),
        std=tuple(data.STD),
        num_frames=data.NUM_FRAMES,
        sampling_rate=data.SAMPLING_RATE,
        target_fps=data.TARGET_FPS,
        full_video_frames=cfg.TRAIN.EVAL_NUM_FRAMES,
        short_side=data.TRAIN_JITTER_SCALES[0],
        crop_size=data.TEST_CROP_SIZE,
        class_names=_read_class_names(data.PATH_TO_DATA_DIR, cfg.MODEL.NUM_CLASSES),
        authors_protocol=cfg.VTN.AUTHORS_PROTOCOL,
    )


@functools.cache  # a process builds its model several times, and the file is to be complained of once
def _read_class_names(folder: str, num_classes: int) -> tuple[str, ...] | None:
    """The names in `folder`/classes.txt, one a line from class 0; None, and a warning, if they are no use."""
    path = Path(folder) / CLASSES
    if not folder or not path.is_file():
        return None
    try:
        names = tuple(" ".join(line.split()) for line in path.read_text("utf-8-sig").split("\n"))
        names = names[:-1] if names[-1] == "" else names
        if len(names) != num_classes:
            raise InputError(f"it has {len(names)} lines, but MODEL.NUM_CLASSES is {num_classes}")
        if not all(names):
            raise InputError(f"line {names.index('') + 1} is empty")
    except (OSError, UnicodeDecodeError, InputError) as error:
        get_host().get_logger(__name__).warning(
            "%s: %s; it must have a name a line, so checkpoints of this run hold no names of classes",
            path,
            error,
        )
        return None
    return names
