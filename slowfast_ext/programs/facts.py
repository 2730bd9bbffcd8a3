"""What a program needs to be told to be used: pixels, frames, classes. It is in each file, as JSON."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import timm
import torch
from fvcore.common.config import CfgNode

from slowfast_ext.models import VTN

# The name of the entry in the metadata of an ONNX file, and of the extra file in one of torch.export.
ENTRY = "vtn.json"
_FORMAT = 1  # goes up when an entry gets another meaning


def program_facts(
    model: VTN, cfg: CfgNode, class_names: Sequence[str] | None, fingerprint: str, **software: str
) -> str:
    """JSON: how pixels and frames are prepared, the names of the classes, whose weights these are.

    Args:
        model: The model.
        cfg: The configuration that it is used with.
        class_names: By class, None where they are not known.
        fingerprint: Of weights and configuration.
        **software: Versions of what has written the file, beside Python, PyTorch and timm.
    """
    full = cfg.TRAIN.EVAL_FULL_VIDEO
    versions = {"python": sys.version.split()[0], "torch": str(torch.__version__), "timm": timm.__version__}
    facts = {
        "format": _FORMAT,
        "fingerprint": fingerprint,
        "class_names": None if class_names is None else list(class_names),
        "num_classes": model.num_classes,
        "embed_dim": model.embed_dim,
        "pixels": _pixels(model, cfg),
        "frames": {
            "rule": _rule(full, cfg.VTN.AUTHORS_PROTOCOL),
            "num_frames": cfg.TRAIN.EVAL_NUM_FRAMES if full else cfg.DATA.NUM_FRAMES,
            "sampling_rate": cfg.DATA.SAMPLING_RATE,
            "target_fps": cfg.DATA.TARGET_FPS,
            "clips": 1 if full else cfg.TEST.NUM_ENSEMBLE_VIEWS,
            "crops": cfg.TEST.NUM_SPATIAL_CROPS,
            "frame_indices": f"numbers of the frames in the {_counted_in(cfg)}, from 0",
        },
        "versions": versions | software,
    }
    return json.dumps(facts, ensure_ascii=False, allow_nan=False, indent=1)


def _counted_in(cfg: CfgNode) -> str:
    return "clip" if cfg.VTN.AUTHORS_PROTOCOL and not cfg.TRAIN.EVAL_FULL_VIDEO else "video"


def _pixels(model: VTN, cfg: CfgNode) -> dict[str, Any]:
    mean, std = model.normalization
    return {
        "colours": "RGB",
        "short_side": cfg.DATA.TRAIN_JITTER_SCALES[0],
        "crop_size": cfg.DATA.TEST_CROP_SIZE,
        "scale": "the shorter side to short_side, the longer one in proportion and rounded down; bilinear, "
        "without antialiasing, centres of pixels at halves",
        "crop": "the middle square of crop_size, its margins above and to the left rounded up",
        "mean": list(mean),
        "std": list(std),
        "normalise": "(pixels / 255 - mean) / std",
    }


def _rule(full_video: bool, authors: bool) -> str:
    """How frames of a video are chosen: in words, those of slowfast_ext/video/sampling.py."""
    if not full_video:
        name = "authors_clip_frame_indices" if authors else "clip_frame_indices"
        return f"{name}: clips of num_frames * sampling_rate / target_fps s"
    if authors:
        return "authors_full_video_frame_indices: the first num_frames / target_fps s"
    return "full_video_frame_indices: frame i of num_frames is floor(i * (V - 1) / (num_frames - 1)) of V"
