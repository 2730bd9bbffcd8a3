"""The configuration to predict with: that of the checkpoint, of which little is believed.

A checkpoint may come from anybody. Of its configuration only what describes the model, the pixels and the
frames is taken, as plain values of sane sizes; nothing of it names a file or a place.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from fvcore.common.config import CfgNode

from slowfast_ext.config import complete_config, get_cfg, merged_keys, read_yaml
from vtn.errors import InputError, excerpt

# Sections that describe the model, and the keys of others that say what it is shown.
_SECTIONS = ("BN", "MODEL", "MVIT", "NONLOCAL", "RESNET", "SLOWFAST", "VTN", "X3D")
_KEYS = {
    "DATA": (
        *("NUM_FRAMES", "SAMPLING_RATE", "TARGET_FPS", "MEAN", "STD", "INPUT_CHANNEL_NUM"),
        *("TRAIN_JITTER_SCALES", "TRAIN_CROP_SIZE", "TEST_CROP_SIZE"),
    ),
    "TRAIN": ("EVAL_FULL_VIDEO", "EVAL_NUM_FRAMES"),
    "TEST": ("NUM_ENSEMBLE_VIEWS", "NUM_SPATIAL_CROPS", "PRECISION"),
}
# Of those sections: places on the machine that trained, perhaps long ones.
_LEFT_OUT = {"RESNET.INFLATE_FROM", "VTN.FEATURES"}
_LONGEST_TEXT, _LONGEST_STRING, _MOST_VALUES, _DEEPEST = 2**18, 200, 1000, 4
_LARGEST = 2**20
# Sides of pictures, and what is built or done one by one.
_SMALLER = {
    **dict.fromkeys(("DATA.TRAIN_JITTER_SCALES", "DATA.TRAIN_CROP_SIZE", "DATA.TEST_CROP_SIZE"), 4096),
    **dict.fromkeys(("VTN.NUM_HIDDEN_LAYERS", "MVIT.DEPTH", "TEST.NUM_ENSEMBLE_VIEWS"), 1000),
    "VTN.LOCALIZATION_SCALES": 16,
}
_ONE_PROCESS = (
    *"TRAIN.ENABLE False TEST.ENABLE True VTN.CPU_PROCESSES 1".split(),
    *"VTN.PRETRAINED False VTN.COMPILE False MODEL.ACT_CHECKPOINT False RESNET.INFLATE_FROM".split(),
    *("", "TRAIN.CHECKPOINT_FILE_PATH", "", "TEST.CHECKPOINT_FILE_PATH", ""),
)
# Clips and crops of a test of many views where the configuration has those of a full video (paper sec. 4.1).
_CLIPS, _CROPS = "10", "3"


def prediction_config(
    content: Mapping[str, Any],
    checkpoint: str | Path,
    overrides: Sequence[str] = (),
    *,
    config: str | Path | None = None,
    views: str | None = None,
) -> CfgNode:
    """The complete configuration to predict with, in one process.

    Args:
        content: What `read_checkpoint` returned.
        checkpoint: The file, for the error.
        overrides: Keys and values in turn; they win.
        config: A YAML file in place of the checkpoint's configuration.
        views: "full" or "multi" in place of what the configuration says.

    Raises:
        InputError: If there is no configuration, or it cannot be used.
    """
    if views not in (None, "full", "multi"):
        raise InputError(f"views is {views!r}: it must be 'full' or 'multi'")
    if config is None:
        keys, source = _believed(content, checkpoint), f"checkpoint {checkpoint}"
    else:
        keys, source = read_yaml(config), str(config)
    cfg, _ = merged_keys(keys, overrides, source)
    fixed = _views(cfg, overrides, views) + _machine(cfg)
    return complete_config(keys, [*overrides, *fixed], source=source)


def _machine(cfg: CfgNode) -> list[str]:
    """One process, on a GPU if there is one and the configuration does not say 0; a folder that is there."""
    gpus = str(min(cfg.NUM_GPUS, 1))
    batch = ["TEST.BATCH_SIZE", "8", "OUTPUT_DIR", tempfile.gettempdir()]
    how = ["TEST.DATASET", "vtnkinetics"]
    if cfg.VTN.LOCALIZATION_SCALES:
        how = ["TEST.DATASET", "vtnsegments", "ENGINE", "own"]
    return [*_ONE_PROCESS, *how, *batch, "NUM_GPUS", gpus]


def _views(cfg: CfgNode, overrides: Sequence[str], views: str | None) -> list[str]:
    """Keys that choose full video or several views, but for those that were typed."""
    was_full = cfg.TRAIN.EVAL_FULL_VIDEO
    full = was_full if views is None else views == "full"
    wanted = {"TRAIN.EVAL_FULL_VIDEO": str(full)}
    if full:
        wanted["TEST.NUM_ENSEMBLE_VIEWS"] = "1"
    if full and not was_full:
        wanted["TEST.NUM_SPATIAL_CROPS"] = "1"
    if was_full and not full:
        wanted |= {"TEST.NUM_ENSEMBLE_VIEWS": _CLIPS, "TEST.NUM_SPATIAL_CROPS": _CROPS}
    typed = set(overrides[::2]) - ({"TRAIN.EVAL_FULL_VIDEO"} if views else set())  # --views wins over that
    return [word for key, value in wanted.items() if key not in typed for word in (key, value)]


def _believed(content: Mapping[str, Any], checkpoint: str | Path) -> dict[str, Any]:
    """Those keys of a checkpoint's configuration that are taken, of this PySlowFast, with plain values."""
    text = content.get("cfg") if "model_state" in content else None
    if not text:
        raise InputError(
            f"checkpoint {checkpoint} holds no configuration: name that of its run with --cfg FILE"
        )
    try:
        if not isinstance(text, str) or len(text) > _LONGEST_TEXT:
            raise ValueError(f"it is no text of at most {_LONGEST_TEXT} characters")
        tree = yaml.safe_load(text)
        if not isinstance(tree, dict):
            raise ValueError("it holds no keys")
        return _plain_keys(tree)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = excerpt(" ".join(str(error).split()))
        raise InputError(
            f"checkpoint {checkpoint} has a configuration that cannot be used ({reason}): name another with "
            "--cfg FILE"
        ) from None


def _plain_keys(tree: Mapping[Any, Any]) -> dict[str, Any]:
    known = get_cfg()
    return {
        section: _plain_section(tree[section], known[section], section, _KEYS.get(section))
        for section in (*_SECTIONS, *_KEYS)
        if section in known and isinstance(tree.get(section), dict)
    }


def _plain_section(
    keys: Mapping[Any, Any], known: CfgNode, section: str, only: Sequence[str] | None = None
) -> dict[str, Any]:
    """Those keys of a section that this PySlowFast knows, all or some, with sections in it."""
    taken = {}
    for name, default in known.items():
        key = f"{section}.{name}"
        if name not in keys or key in _LEFT_OUT or (only is not None and name not in only):
            continue
        if isinstance(default, CfgNode) and isinstance(keys[name], dict):
            taken[name] = _plain_section(keys[name], default, key)
        else:
            taken[name] = _plain(keys[name], key)
    return taken


def _plain(value: Any, key: str) -> Any:
    """A value if it is a plain one of a sane size.

    Raises:
        ValueError: If it is not.
    """
    if isinstance(value, str) and len(value) > _LONGEST_STRING:
        raise ValueError(f"{key} is a text of {len(value)} characters")
    value = CfgNode._decode_cfg_value(value)  # as it will be, or a number could come as a text
    for count, leaf in enumerate(_leaves(value, key, _DEEPEST)):
        if count >= _MOST_VALUES:
            raise ValueError(f"{key} has more than {_MOST_VALUES} values")
        if isinstance(leaf, str) and len(leaf) > _LONGEST_STRING:
            raise ValueError(f"{key} is a text of {len(leaf)} characters")
        if isinstance(leaf, (int, float)) and not abs(leaf) <= _SMALLER.get(key, _LARGEST):
            raise ValueError(f"{key} is no number up to {_SMALLER.get(key, _LARGEST)}")
    return value


def _leaves(value: Any, key: str, depth: int) -> Iterator[Any]:
    if isinstance(value, list) and depth:
        for part in value:
            yield from _leaves(part, key, depth - 1)
    elif value is None or isinstance(value, (bool, int, float, str)):
        yield value
    else:
        raise ValueError(f"{key} is no plain value")
