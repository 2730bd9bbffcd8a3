"""Keys that some part of a run would not honour: such a run stops at its start, and is told what to do.

The keys are PySlowFast main's. One that this PySlowFast does not have cannot be asked for.
"""

import importlib.util
from collections.abc import Mapping
from typing import Any

from fvcore.common.config import CfgNode

from slowfast_ext.host import get_host
from slowfast_ext.typed import as_typed
from vtn.errors import InputError

ENGINES = ("host", "own")
# Keys that change nothing unless they have the value given here; any other value asks for something that
# the part named in the message does not do.
_NOT_FOR_VTN = {
    "TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN": (),
    "TRAIN.CHECKPOINT_IN_INIT": False,
    "MODEL.FROZEN_BN": False,
}
# Of PySlowFast 1.0's models none has these; VTN has, and some of main's.
_OF_MAINS_MODELS = {"SOLVER.LAYER_DECAY": 1.0, "MODEL.ACT_CHECKPOINT": False}
_NOT_IN_OUR_DATASETS = {
    "AUG.GEN_MASK_LOADER": False,
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
# Of these, the ones that say what the model is for or how its input looks: without them it is another model.
_NEVER_SWITCHED_OFF = (
    "DATA.MULTI_LABEL",
    "DATA.REVERSE_INPUT_CHANNEL",
    "DETECTION.ENABLE",
    "MASK.ENABLE",
    "TASK",
)
_ONLY_IN_MAINS_LOOPS = {
    "TRAIN.MIXED_PRECISION": False,
    "MODEL.FROZEN_BN": False,
    "MULTIGRID.LONG_CYCLE": False,
    "MULTIGRID.SHORT_CYCLE": False,
    "MASK.ENABLE": False,
    "DETECTION.ENABLE": False,
    "DATA.MULTI_LABEL": False,
    "DATA.LOADER_CHUNK_SIZE": 0,
    "TENSORBOARD.CONFUSION_MATRIX.ENABLE": False,
    "TENSORBOARD.HISTOGRAM.ENABLE": False,
    "TEST.NUM_TEMPORAL_CLIPS": [],
    "TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN": (),
    "TRAIN.CHECKPOINT_IN_INIT": False,
    "DATA.ENSEMBLE_METHOD": "sum",
    "TASK": "",
}
# What data sets other than ours do not do: on the wheel, and on main in our loops.
_NOT_IN_OTHER_DATASETS = {"wheel": {"AUG.ENABLE": False, "AUG.NUM_SAMPLE": 1}, "git": {"AUG.NUM_SAMPLE": 1}}
_ONLY_IN_OUR_LOOPS = {
    "TRAIN.PRECISION": "float32",
    "TEST.PRECISION": "float32",
    "TRAIN.ACCUMULATE_STEPS": 1,
    "TRAIN.CHECKPOINT_MINUTES": 10.0,
    "TRAIN.CHECKPOINTS_KEPT": 0,
    "TRAIN.EMA_DECAY": 0.0,
    "TRAIN.NONFINITE": "stop",
    "SOLVER.FUSED": False,
    "VTN.COMPILE": False,
    "VTN.FEATURES": "",
    "VTN.LOCALIZATION_SCALES": 0,
    "TENSORBOARD.WANDB": False,
}
# With VTN.LOCALIZATION_SCALES: one look at each whole video, and labels as segments say.
_NOT_WITH_LOCALIZATION = {
    "MODEL.MODEL_NAME": "VTN",
    "MODEL.LOSS_FUNC": "cross_entropy",
    "MIXUP.ENABLE": False,
    "VTN.SHUFFLE_FRAMES": False,
    "TEST.NUM_SPATIAL_CROPS": 1,
}
# With VTN.FEATURES: what changes pixels, shows other parts of them, or needs the backbone.
_NOT_WITH_FEATURES_IN_TRAINING = {
    "AUG.ENABLE": False,
    "AUG.NUM_SAMPLE": 1,
    "MIXUP.PROB": 0.0,
    "BN.USE_PRECISE_STATS": False,
    "VTN.FREEZE_BACKBONE": True,
}
_NOT_WITH_FEATURES_IN_TESTS = {"TEST.NUM_SPATIAL_CROPS": 1}
_NOT_WITH_FEATURES = {"MODEL.MODEL_NAME": "VTN", "VTN.REUSE_FRAMES": 0.0}
_NOT_BY_THIS_COMMAND = {
    "DEMO.ENABLE": False,
    "TENSORBOARD.MODEL_VIS.ENABLE": False,
    "TENSORBOARD.WRONG_PRED_VIS.ENABLE": False,
}


def uses_own_loops(cfg: CfgNode) -> bool:
    """Whether a run trains and tests with our loops: by ENGINE, or because this PySlowFast ships none."""
    return cfg.ENGINE == "own" or not get_host().has_loops()


def uses_our_dataset(cfg: CfgNode, split: str) -> bool:
    """Whether the data set of a split is one of VTN's, which need their own loader."""
    section = cfg.TEST if split == "test" else cfg.TRAIN
    name, registry = section.DATASET.capitalize(), get_host().DATASET_REGISTRY
    return name in registry and getattr(registry.get(name), "reads_for_vtn", False)


def check_limits(cfg: CfgNode) -> None:
    """Refuse keys that the model, the data sets or the loops of this run do not honour.

    Raises:
        InputError: Names the keys, what does not honour them, and what does.
    """
    if cfg.ENGINE not in ENGINES:
        raise InputError(f"ENGINE is {cfg.ENGINE!r}: it must be {' or '.join(ENGINES)}")
    if cfg.MODEL.MODEL_NAME == "VTN":
        _require_plain(cfg, _NOT_FOR_VTN, "for VTN")
    sections = {"train": cfg.TRAIN, "test": cfg.TEST}
    if any(section.ENABLE and uses_our_dataset(cfg, split) for split, section in sections.items()):
        _check_our_datasets(cfg)
    if cfg.TRAIN.ENABLE:
        _check_augmented_training(cfg)
    if cfg.VTN.FEATURES:
        _check_features(cfg)
    if cfg.VTN.LOCALIZATION_SCALES:
        _check_localization(cfg)
    if uses_own_loops(cfg):
        _require_plain(cfg, _ONLY_IN_MAINS_LOOPS, _where_own_loops_run(cfg))
        _check_curves(cfg)
    else:
        check_mains_loops(cfg)
    if get_host().NAME == "wheel" and cfg.MODEL.MODEL_NAME != "VTN":
        _require_plain(cfg, _OF_MAINS_MODELS, f"for {cfg.MODEL.MODEL_NAME} of PySlowFast 1.0")
    _require_plain(cfg, _NOT_BY_THIS_COMMAND, "in this command; main's own tools/run_net.py does it")


def _check_features(cfg: CfgNode) -> None:
    """Refuse what stored features cannot do; whether they fit the videos and the weights is seen later."""
    _require_plain(cfg, _NOT_WITH_FEATURES, "with VTN.FEATURES")
    if cfg.TRAIN.ENABLE:
        plain = dict(_NOT_WITH_FEATURES_IN_TRAINING)
        if not cfg.MIXUP.ENABLE:
            del plain["MIXUP.PROB"]
        _require_plain(cfg, plain, "in a training with VTN.FEATURES")
    if cfg.TEST.ENABLE:
        _require_plain(cfg, _NOT_WITH_FEATURES_IN_TESTS, "in a test with VTN.FEATURES")


def _check_localization(cfg: CfgNode) -> None:
    """Refuse what a model that finds segments cannot be trained or tested with."""
    _require_plain(cfg, _NOT_WITH_LOCALIZATION, "with VTN.LOCALIZATION_SCALES")
    wanted = {f"{name}.DATASET": "vtnsegments" for name in ("TRAIN", "TEST") if cfg[name].ENABLE}
    _require_plain(cfg, wanted, "with VTN.LOCALIZATION_SCALES")


def _check_curves(cfg: CfgNode) -> None:
    """Refuse curves whose package is not installed."""
    for key, package in (("ENABLE", "tensorboard"), ("WANDB", "wandb")):
        if cfg.TENSORBOARD[key] and importlib.util.find_spec(package) is None:
            raise InputError(
                f"TENSORBOARD.{key} is True, but the package {package} is not installed: type "
                f"`pip install {package}`, or add TENSORBOARD.{key} False"
            )
    if cfg.TENSORBOARD.WANDB and not cfg.TENSORBOARD.ENABLE:
        raise InputError(
            "TENSORBOARD.WANDB is True, but it sends the curves of TensorBoard: add TENSORBOARD.ENABLE True"
        )


def check_mains_loops(cfg: CfgNode) -> None:
    """Refuse keys that PySlowFast main's own loops do not honour.

    Raises:
        InputError: Names the keys and what does honour them.
    """
    ours = _ONLY_IN_OUR_LOOPS | ({"SOLVER.LAYER_DECAY": 1.0} if cfg.MODEL.MODEL_NAME == "VTN" else {})
    where = f"in PySlowFast main's own loops (ENGINE own with `{as_typed('run_net')}` does more)"
    _require_plain(cfg, ours, where)


def refinements_to_switch_off(cfg: CfgNode) -> dict[str, Any]:
    """What `cfg` asks for in training that our data sets, or the loops of this run, do not do.

    Args:
        cfg: A configuration that need not be complete or checked.

    Returns:
        Keys, with the values that switch them off. A key without which the model would be another one, such
        as DETECTION.ENABLE, is not among them: `check_limits` refuses it.
    """
    off = {key: plain for key, plain in _NOT_IN_OUR_DATASETS.items() if key not in _NEVER_SWITCHED_OFF}
    if _mixes_one_pathway_of_two(cfg, ours=True):
        off["MIXUP.ENABLE"] = False
        if cfg.MODEL.LOSS_FUNC == "soft_cross_entropy":  # for the mixed labels
            off["MODEL.LOSS_FUNC"] = "cross_entropy"
    return _not_plain(cfg, off)


def value_of(cfg: CfgNode, key: str) -> Any:
    """The value of a key such as "DATA.MEAN"; None where this PySlowFast does not have it."""
    for part in key.split("."):
        if part not in cfg:
            return None
        cfg = cfg[part]
    return cfg


def _mixes_one_pathway_of_two(cfg: CfgNode, *, ours: bool) -> bool:
    """Whether mixup would mix the first of several pathways only.

    Our loops mix the clips of `ours`, our data sets, before their pathways are made. Main's loops with main's
    data sets are as they were published.
    """
    has_pathways = cfg.MODEL.ARCH in cfg.MODEL.MULTI_PATHWAY_ARCH
    return cfg.MIXUP.ENABLE and has_pathways and ours != uses_own_loops(cfg)


def _check_our_datasets(cfg: CfgNode) -> None:
    _require_plain(
        cfg, _NOT_IN_OUR_DATASETS, "with the data sets vtnkinetics and vtnmit (main's own have more)"
    )


def _check_augmented_training(cfg: CfgNode) -> None:
    """Refuse augmentation that the data set, together with the loop, does not do."""
    ours = uses_our_dataset(cfg, "train")
    if not ours and uses_own_loops(cfg):
        where = f"with TRAIN.DATASET {cfg.TRAIN.DATASET} in our loops (vtnkinetics and vtnmit do more)"
        _require_plain(cfg, _NOT_IN_OTHER_DATASETS[get_host().NAME], where)
    if _mixes_one_pathway_of_two(cfg, ours=ours):
        raise InputError(
            "MIXUP.ENABLE is True: only the first pathway would be mixed, and MODEL.ARCH "
            f"{cfg.MODEL.ARCH} has two; ENGINE own with TRAIN.DATASET vtnkinetics mixes both"
        )


def _where_own_loops_run(cfg: CfgNode) -> str:
    """Which loops do not honour a key, and which do."""
    if get_host().has_loops():
        return f"with ENGINE {cfg.ENGINE} (ENGINE host, PySlowFast main's own loops, does more)"
    if get_host().NAME == "git":
        return "where PySlowFast main is installed without its tools/ (a checkout in SLOWFAST_HOME has them)"
    return "with PySlowFast 1.0 (PySlowFast main does more: see docs/pyslowfast_main.md)"


def _require_plain(cfg: CfgNode, plain: Mapping[str, Any], where: str) -> None:
    """Refuse keys of `plain` that have another value than the one there."""
    others = _not_plain(cfg, plain)
    if others:
        found = ", ".join(f"{key} is {value_of(cfg, key)!r}" for key in others)
        must = ", ".join(f"{key} {value!r}" for key, value in others.items())
        raise InputError(f"{found}: {where} only this works: {must}")


def _not_plain(cfg: CfgNode, plain: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `plain` that this PySlowFast knows and `cfg` has another value of."""
    known = {key: value for key, value in plain.items() if value_of(cfg, key) is not None}
    return {key: value for key, value in known.items() if not _same(value_of(cfg, key), value)}


def _same(one: Any, other: Any) -> bool:
    return (list(one) if isinstance(one, tuple) else one) == (
        list(other) if isinstance(other, tuple) else other
    )
