"""Configurations that PySlowFast main cannot run, or that VTN's data sets and loops would not honour."""

import traceback
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from fvcore.common.config import CfgNode
from slowfast.config import defaults
from slowfast.models import losses
from slowfast.models.build import MODEL_REGISTRY
from slowfast.utils import lr_policy

from slowfast_ext.host import get_installation
from slowfast_ext.host.loader import is_ours
from vtn.errors import InputError

# Keys that change nothing unless they have the value given here; any other value asks for something that
# the part named in the message does not do.
_NOT_FOR_VTN = {
    "SOLVER.LAYER_DECAY": 1.0,
    "TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN": (),
    "TRAIN.CHECKPOINT_IN_INIT": False,
    "MODEL.FROZEN_BN": False,
}
_NOT_IN_OUR_DATASETS = {
    "AUG.ENABLE": False,
    "AUG.NUM_SAMPLE": 1,
    "DATA.MULTI_LABEL": False,
    "DATA.USE_OFFSET_SAMPLING": False,
    "DATA.TRAIN_CROP_NUM_TEMPORAL": 1,
    "DATA.TRAIN_CROP_NUM_SPATIAL": 1,
    "DATA.TRAIN_JITTER_SCALES_RELATIVE": [],
    "DATA.TRAIN_JITTER_ASPECT_RELATIVE": [],
    "DATA.TRAIN_JITTER_MOTION_SHIFT": False,
    "DATA.TRAIN_JITTER_FPS": 0.0,
    "DATA.INV_UNIFORM_SAMPLE": False,
    "DATA.REVERSE_INPUT_CHANNEL": False,
    "DATA.COLOR_RND_GRAYSCALE": 0.0,
    "DATA.TIME_DIFF_PROB": 0.0,
    "DATA.SSL_COLOR_JITTER": False,
    "DATA.LOADER_CHUNK_SIZE": 0,
    "DATA.DUMMY_LOAD": False,
    "MULTIGRID.LONG_CYCLE": False,
    "MULTIGRID.SHORT_CYCLE": False,
    "DETECTION.ENABLE": False,
    "MASK.ENABLE": False,
    "TASK": "",
}
_ONLY_IN_MAINS_LOOPS = {
    "MIXUP.ENABLE": False,
    "TRAIN.MIXED_PRECISION": False,
    "MODEL.FROZEN_BN": False,
    "MULTIGRID.LONG_CYCLE": False,
    "MULTIGRID.SHORT_CYCLE": False,
    "MASK.ENABLE": False,
    "DETECTION.ENABLE": False,
    "DATA.MULTI_LABEL": False,
    "DATA.LOADER_CHUNK_SIZE": 0,
    "TENSORBOARD.ENABLE": False,
    "AUG.NUM_SAMPLE": 1,
    "TASK": "",
}
_NOT_BY_THIS_COMMAND = {
    "DEMO.ENABLE": False,
    "TENSORBOARD.MODEL_VIS.ENABLE": False,
    "TENSORBOARD.WRONG_PRED_VIS.ENABLE": False,
}


def thawed(cfg: CfgNode) -> CfgNode:
    """A copy that main may write into, as its loops and its MViT do."""
    cfg = cfg.clone()
    cfg.defrost()
    return cfg


def finalize_cfg(cfg: CfgNode) -> None:
    """Check what main's own checks and registries know, and let main infer what it infers, in place.

    Raises:
        InputError: Names the key.
    """
    for key, known in (
        ("MODEL.MODEL_NAME", [name for name, _ in MODEL_REGISTRY]),
        ("MODEL.LOSS_FUNC", list(losses._LOSSES)),
        ("SOLVER.LR_POLICY", _suffixes(lr_policy, "lr_func_")),
        ("SOLVER.OPTIMIZING_METHOD", ["sgd", "adam", "adamw", "mt_adamw"]),
    ):
        if _get(cfg, key) not in known:
            raise InputError(f"{key} is {_get(cfg, key)!r}: PySlowFast main has {', '.join(known)}")
    if cfg.MODEL.MODEL_NAME == "VTN":
        _require_plain(cfg, _NOT_FOR_VTN, "for VTN")
    sections = {"train": cfg.TRAIN, "test": cfg.TEST}
    if any(section.ENABLE and is_ours(cfg, split) for split, section in sections.items()):
        _require_plain(
            cfg, _NOT_IN_OUR_DATASETS, "with the data sets vtnkinetics and vtnmit (main's own have more)"
        )
        if cfg.MIXUP.ENABLE and cfg.MODEL.ARCH in cfg.MODEL.MULTI_PATHWAY_ARCH:
            raise InputError(
                "MIXUP.ENABLE is True: main mixes only the first pathway, and MODEL.ARCH "
                f"{cfg.MODEL.ARCH} has two"
            )
    if get_installation().tools is None:
        _require_plain(cfg, _ONLY_IN_MAINS_LOOPS, "where PySlowFast main is installed without its tools/")
    _require_plain(cfg, _NOT_BY_THIS_COMMAND, "in this command; main's own tools/run_net.py does it")
    try:
        defaults.assert_and_infer_cfg(cfg)
    except AssertionError as error:
        what = traceback.extract_tb(error.__traceback__)[-1].line.removeprefix("assert ")
        raise InputError(f"PySlowFast main requires of the configuration that {what}") from None


def _get(cfg: CfgNode, key: str) -> Any:
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


def _require_plain(cfg: CfgNode, plain: Mapping[str, Any], where: str) -> None:
    others = {key: value for key, value in plain.items() if not _same(_get(cfg, key), value)}
    if others:
        found = ", ".join(f"{key} is {_get(cfg, key)!r}" for key in others)
        must = ", ".join(f"{key} {value!r}" for key, value in others.items())
        raise InputError(f"{found}: {where} only this works: {must}")


def _same(one: Any, other: Any) -> bool:
    return (list(one) if isinstance(one, tuple) else one) == (
        list(other) if isinstance(other, tuple) else other
    )


def _suffixes(module: ModuleType, prefix: str) -> list[str]:
    return [name.removeprefix(prefix) for name in dir(module) if name.startswith(prefix)]
