"""Refuse augmentation of training clips that cannot be done, with a sentence that names key and value."""

from collections.abc import Iterable

from fvcore.common.config import CfgNode

from slowfast_ext.config_limits import uses_our_dataset, uses_own_loops
from slowfast_ext.distributed import world_size
from slowfast_ext.video.augment import ERASING_MODES, INTERPOLATIONS, ClipAugmentation
from vtn.errors import InputError

# Losses that take labels which are distributions over the classes.
_SOFT_LOSSES = ("soft_cross_entropy", "bce_logit")


def check_augmentation(cfg: CfgNode) -> None:
    """Refuse values of AUG and MIXUP that training could not use; main checks what only its data sets read.

    Raises:
        InputError: Names the key and the value.
    """
    if not cfg.TRAIN.ENABLE:
        return
    if uses_our_dataset(cfg, "train"):
        count = cfg.AUG.NUM_SAMPLE
        _require("AUG.NUM_SAMPLE", count, count >= 1, "at least 1")
        if cfg.AUG.ENABLE:
            _check_clips(cfg)
    if cfg.MIXUP.ENABLE:
        _check_mixup(cfg)


def _check_clips(cfg: CfgNode) -> None:
    aug = cfg.AUG
    _require_probabilities(cfg, ["AUG.RE_PROB"])
    for key, value, known in (
        ("AUG.RE_MODE", aug.RE_MODE, ERASING_MODES),
        ("AUG.INTERPOLATION", aug.INTERPOLATION, INTERPOLATIONS),
    ):
        _require(key, value, value in known, f"one of {', '.join(known)}")
    _require("AUG.RE_COUNT", aug.RE_COUNT, aug.RE_COUNT >= 1, "at least 1")
    _require("AUG.COLOR_JITTER", aug.COLOR_JITTER, aug.COLOR_JITTER >= 0, "0 or more")
    if aug.RE_SPLIT and aug.NUM_SAMPLE == 1:
        raise InputError(
            "AUG.RE_SPLIT is True: it leaves the first of the AUG.NUM_SAMPLE clips of a video whole, and "
            "AUG.NUM_SAMPLE is 1"
        )
    try:
        ClipAugmentation(aug.AA_TYPE, aug.INTERPOLATION, aug.COLOR_JITTER, cfg.DATA.TRAIN_CROP_SIZE)
    except InputError as error:
        raise InputError(f"AUG.AA_TYPE is {aug.AA_TYPE!r}: {error}") from None


def _check_mixup(cfg: CfgNode) -> None:
    mixup, loss = cfg.MIXUP, cfg.MODEL.LOSS_FUNC
    _require_probabilities(cfg, ["MIXUP.PROB", "MIXUP.SWITCH_PROB"])
    smoothing = mixup.LABEL_SMOOTH_VALUE
    _require("MIXUP.LABEL_SMOOTH_VALUE", smoothing, 0 <= smoothing < 1, "0 or more and less than 1")
    for key in ("ALPHA", "CUTMIX_ALPHA"):
        _require(f"MIXUP.{key}", mixup[key], mixup[key] >= 0, "0 or more")
    must = f"one of {', '.join(_SOFT_LOSSES)} where MIXUP.ENABLE is True, which makes labels distributions"
    _require("MODEL.LOSS_FUNC", loss, loss in _SOFT_LOSSES, must)
    _require("MODEL.NUM_CLASSES", cfg.MODEL.NUM_CLASSES, cfg.MODEL.NUM_CLASSES > 1, "2 or more to mix them")
    if mixup.PROB == 0:
        return  # labels are smoothed, and no clips are mixed
    if not (mixup.ALPHA or mixup.CUTMIX_ALPHA):
        raise InputError(
            "MIXUP.ALPHA and MIXUP.CUTMIX_ALPHA are both 0: nothing is mixed; to smooth labels alone, type "
            "MIXUP.PROB 0"
        )
    _check_pairs(cfg)


def _check_pairs(cfg: CfgNode) -> None:
    """Refuse a batch in which a clip has no other to be mixed with."""
    parts = cfg.TRAIN.ACCUMULATE_STEPS
    clips = cfg.TRAIN.BATCH_SIZE // world_size(cfg) * cfg.AUG.NUM_SAMPLE // max(1, parts)
    if clips % 2 if uses_own_loops(cfg) else clips < 2:
        at_once = f" in each of TRAIN.ACCUMULATE_STEPS {parts} parts" if parts > 1 else ""
        raise InputError(
            f"TRAIN.BATCH_SIZE is {cfg.TRAIN.BATCH_SIZE}: with AUG.NUM_SAMPLE {cfg.AUG.NUM_SAMPLE} a process "
            f"has {clips} clips of a batch{at_once}, and MIXUP.ENABLE needs an even number, because it mixes "
            "pairs"
        )


def _require_probabilities(cfg: CfgNode, keys: Iterable[str]) -> None:
    for key in keys:
        section, name = key.split(".")
        _require(key, cfg[section][name], 0 <= cfg[section][name] <= 1, "a probability, from 0 to 1")


def _require(key: str, value: object, holds: bool, must: str) -> None:
    if not holds:
        raise InputError(f"{key} is {value!r}: it must be {must}")
