"""Configuration: the keys that VTN adds to PySlowFast, loading a YAML with overrides, and checking it.

`load_config` is the only way in for every command line. Whatever is wrong stops here, with a sentence that
names the key, before a model is built or a video is opened.
"""

import difflib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import yaml
from fvcore.common.config import CfgNode

from slowfast_ext.host import get_host
from slowfast_ext.host.launch import num_processes, world_size
from vtn.errors import InputError

# Class in the registry for the names that users and the authors' configs write.
_OWN_DATASETS = ("vtnkinetics", "vtnmit")
_DATASET_FOR_VTN = {"kinetics": "vtnkinetics"}


def add_vtn_config(cfg: CfgNode) -> None:
    """Add VTN's keys with their defaults, in place. Called again, it changes nothing.

    The keys that the authors' fork also has keep their names and meaning, so its VIT_B_VTN.yaml loads; the
    defaults are the paper's.
    """
    if "VTN" in cfg:
        return
    cfg.TRAIN.EVAL_FULL_VIDEO = False  # val and test see the whole video in one pass, not clips
    cfg.TRAIN.EVAL_NUM_FRAMES = 250  # frames of that pass, taken uniformly
    cfg.VTN = CfgNode()
    # Backbone.
    cfg.VTN.BACKBONE = "vit_base_patch16_224.orig_in21k_ft_in1k"  # any timm name
    cfg.VTN.PRETRAINED = True  # start from timm's weights for that name (needs the network once)
    cfg.VTN.FREEZE_BACKBONE = False  # features only, no gradient (paper table 2d)
    cfg.VTN.DROP_RATE = 0.0  # dropout inside the backbone
    cfg.VTN.DROP_PATH_RATE = 0.0  # stochastic depth inside the backbone
    cfg.VTN.FRAMES_PER_CHUNK = (
        0  # frames encoded at once in evaluation; 0 encodes all, less needs less memory
    )
    # Temporal encoder.
    cfg.VTN.HIDDEN_DIM = 0  # width; 0 is the backbone's, any other value must equal it
    cfg.VTN.NUM_HIDDEN_LAYERS = 3
    cfg.VTN.NUM_ATTENTION_HEADS = 12
    cfg.VTN.ATTENTION_WINDOW = [32]  # tokens, total width, even; one for all layers or one per layer
    cfg.VTN.INTERMEDIATE_SIZE = 0  # width inside the feed-forward part; 0 is four times HIDDEN_DIM
    cfg.VTN.POSITION_EMBEDDING = "learned"  # learned | fixed | none (paper table 2b)
    cfg.VTN.MAX_POSITION_EMBEDDINGS = 288  # rows of the learned table; frames use all but the last two
    cfg.VTN.ATTENTION_PROBS_DROPOUT_PROB = 0.1
    cfg.VTN.HIDDEN_DROPOUT_PROB = 0.1
    cfg.VTN.ATTENTION_MODE = "sliding_chunks"  # the authors' key; neither their code nor ours reads it
    cfg.VTN.PAD_TOKEN_ID = -1  # the authors' key; without padding it has no effect
    # Head. Its dropout is MODEL.DROPOUT_RATE.
    cfg.VTN.MLP_DIM = 0  # width of the hidden layer; 0 is HIDDEN_DIM
    # Data.
    cfg.VTN.AUTHORS_SAMPLING = False  # the released code's indices (see slowfast_ext/data/sampling.py)
    # Machine.
    cfg.VTN.CPU_PROCESSES = 1  # processes when NUM_GPUS is 0


def get_cfg() -> CfgNode:
    """All keys of the host and ours, with defaults."""
    import slowfast_ext

    slowfast_ext.register()
    return get_host().get_defaults().clone()


def load_config(
    path: str | os.PathLike, overrides: Sequence[str] = (), *, num_shards: int = 1, shard_id: int = 0
) -> CfgNode:
    """Read one YAML (with `_BASE_`), apply overrides, check everything.

    Args:
        path: The YAML file.
        overrides: Keys and values in turn, e.g. ["NUM_GPUS", "0"].
        num_shards: Machines.
        shard_id: This machine, from 0.

    Returns:
        A complete, frozen configuration.

    Raises:
        InputError: Names the file, the key and the value.
    """
    cfg = get_cfg()
    _merge(cfg, _read_yaml(path), source=str(path))
    _merge(cfg, _pairs_to_tree(overrides), source="the command line")
    cfg.NUM_SHARDS, cfg.SHARD_ID = num_shards, shard_id
    if cfg.MODEL.MODEL_NAME == "VTN":
        for section in (cfg.TRAIN, cfg.TEST):
            section.DATASET = _DATASET_FOR_VTN.get(section.DATASET, section.DATASET)
    get_host().finalize_cfg(cfg)
    check_config(cfg)
    cfg.freeze()
    return cfg


def _read_yaml(path: str | os.PathLike) -> dict[str, Any]:
    if not os.path.isfile(path):
        raise InputError(f"--cfg {path}: no such file")
    try:
        tree = CfgNode.load_yaml_with_base(str(path))
    except (OSError, yaml.YAMLError, AttributeError, TypeError) as error:
        raise InputError(
            f"--cfg {path}: not a readable YAML config ({' '.join(str(error).split())})"
        ) from None
    if not isinstance(tree, dict):
        raise InputError(f"--cfg {path}: holds no keys")
    return tree


def _pairs_to_tree(pairs: Sequence[str]) -> dict[str, Any]:
    if len(pairs) % 2:
        raise InputError(
            f"overrides come as KEY VALUE pairs; {pairs[-1]!r} has no partner in: {' '.join(pairs)}"
        )
    tree: dict[str, Any] = {}
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        *parents, leaf = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise InputError(f"{key}: {parent} is a value, not a section")
        node[leaf] = CfgNode._decode_cfg_value(value)
    return tree


def _leaves(cfg: CfgNode, prefix: str = "") -> Iterator[str]:
    for key, value in cfg.items():
        if isinstance(value, CfgNode):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def _merge(cfg: CfgNode, tree: dict[str, Any], *, source: str) -> None:
    """Put `tree` into `cfg`, in place."""

    def descend(node: CfgNode, branch: dict[str, Any], prefix: str) -> None:
        for key, value in branch.items():
            full = f"{prefix}{key}"
            if key not in node:
                close = difflib.get_close_matches(full, list(_leaves(cfg)), n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise InputError(f"{full} (in {source}) is not a key of this configuration{hint}")
            if isinstance(node[key], CfgNode) != isinstance(value, dict):
                kind = "a section" if isinstance(node[key], CfgNode) else "a value, not a section"
                raise InputError(f"{full} (in {source}) is {kind}")
            if isinstance(value, dict):
                descend(node[key], value, f"{full}.")
            else:
                node[key] = _coerce(CfgNode._decode_cfg_value(value), node[key], full, source)

    descend(cfg, tree, "")


def _coerce(value: Any, default: Any, key: str, source: str) -> Any:
    """Give `value` the type of `default` where nothing is lost by it."""
    if isinstance(default, float) and value is None:
        return 0.0  # main writes None for "off" where this configuration writes 0
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(default, (list, tuple)):
        if isinstance(value, (list, tuple)):
            return type(default)(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return type(default)([value])
    if isinstance(default, str) and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)  # a folder called 2021, a prefix called 0
    if type(value) is not type(default):
        raise InputError(
            f"{key} is {value!r} (in {source}): it takes a value like {default!r}, "
            f"of type {type(default).__name__}"
        )
    return value


def _require(condition: bool, key: str, value: Any, must: str) -> None:
    if not condition:
        raise InputError(f"{key} is {value!r}: it must be {must}")


def check_config(cfg: CfgNode) -> None:
    """Refuse impossible values and combinations.

    Raises:
        InputError: Names the key and the value.
    """
    _check_devices(cfg)
    _check_data(cfg)
    _check_solver(cfg)
    if cfg.MODEL.MODEL_NAME == "VTN":
        _check_vtn(cfg)
    _check_output_dir(cfg)


def _check_devices(cfg: CfgNode) -> None:
    _require(cfg.NUM_GPUS >= 0, "NUM_GPUS", cfg.NUM_GPUS, "0 (CPU) or the number of GPUs")
    if torch.cuda.device_count() < cfg.NUM_GPUS:
        found = torch.cuda.device_count()
        raise InputError(
            f"NUM_GPUS is {cfg.NUM_GPUS} but PyTorch sees {found} CUDA device{'s' * (found != 1)}: "
            f"add `NUM_GPUS {found}` to the command{' to run on the CPU' if not found else ''}"
        )
    _require(cfg.VTN.CPU_PROCESSES >= 1, "VTN.CPU_PROCESSES", cfg.VTN.CPU_PROCESSES, "at least 1")
    _require(0 <= cfg.SHARD_ID < cfg.NUM_SHARDS, "--shard_id", cfg.SHARD_ID, f"in [0, {cfg.NUM_SHARDS})")
    workers = world_size(cfg)
    for name, section in (("TRAIN", cfg.TRAIN), ("TEST", cfg.TEST)):
        size = section.BATCH_SIZE
        _require(
            size > 0 and size % workers == 0,
            f"{name}.BATCH_SIZE",
            size,
            f"a positive multiple of the {workers} processes ({num_processes(cfg)} on each machine)",
        )


def _check_data(cfg: CfgNode) -> None:
    data = cfg.DATA
    for key in ("NUM_FRAMES", "SAMPLING_RATE", "TRAIN_CROP_SIZE", "TEST_CROP_SIZE"):
        _require(data[key] >= 1, f"DATA.{key}", data[key], "at least 1")
    _require(data.TARGET_FPS > 0, "DATA.TARGET_FPS", data.TARGET_FPS, "positive")
    _require(cfg.MODEL.NUM_CLASSES >= 1, "MODEL.NUM_CLASSES", cfg.MODEL.NUM_CLASSES, "at least 1")
    _require(cfg.TRAIN.EVAL_NUM_FRAMES >= 1, "TRAIN.EVAL_NUM_FRAMES", cfg.TRAIN.EVAL_NUM_FRAMES, "at least 1")
    _require(
        cfg.TEST.NUM_ENSEMBLE_VIEWS >= 1, "TEST.NUM_ENSEMBLE_VIEWS", cfg.TEST.NUM_ENSEMBLE_VIEWS, "at least 1"
    )
    _require(
        cfg.TEST.NUM_SPATIAL_CROPS in (1, 3), "TEST.NUM_SPATIAL_CROPS", cfg.TEST.NUM_SPATIAL_CROPS, "1 or 3"
    )
    short, long = data.TRAIN_JITTER_SCALES if len(data.TRAIN_JITTER_SCALES) == 2 else (0, 0)
    _require(
        0 < short <= long, "DATA.TRAIN_JITTER_SCALES", list(data.TRAIN_JITTER_SCALES), "two rising sizes"
    )
    for key in ("TRAIN_CROP_SIZE", "TEST_CROP_SIZE"):
        _require(
            data[key] <= short, f"DATA.{key}", data[key], f"at most DATA.TRAIN_JITTER_SCALES[0], {short}"
        )
    if cfg.MODEL.MODEL_NAME in ("ResNet", "SlowFast"):
        # Otherwise the head sees more than one position and gives training more than one answer a video.
        crop = data.TRAIN_CROP_SIZE
        _require(crop % 32 == 0, "DATA.TRAIN_CROP_SIZE", crop, f"a multiple of 32 for {cfg.MODEL.MODEL_NAME}")
    _require(
        data.DECODING_BACKEND == "pyav", "DATA.DECODING_BACKEND", data.DECODING_BACKEND, "pyav on this host"
    )
    if cfg.TRAIN.EVAL_FULL_VIDEO and cfg.TEST.ENABLE:
        views = cfg.TEST.NUM_ENSEMBLE_VIEWS
        must = "1 when TRAIN.EVAL_FULL_VIDEO is True (multi-view: TRAIN.EVAL_FULL_VIDEO False)"
        _require(views == 1, "TEST.NUM_ENSEMBLE_VIEWS", views, must)
    for name, section in (("TRAIN", cfg.TRAIN), ("TEST", cfg.TEST)):
        if not section.ENABLE:
            continue
        if section.DATASET.capitalize() not in get_host().DATASET_REGISTRY:
            known = ", ".join(_OWN_DATASETS)
            raise InputError(
                f"{name}.DATASET is {section.DATASET!r}: the data sets are {known} and the host's own"
            )
        full = cfg.TRAIN.EVAL_FULL_VIDEO or cfg.MODEL.MODEL_NAME == "VTN"
        if full and section.DATASET not in _OWN_DATASETS:
            raise InputError(
                f"{name}.DATASET is {section.DATASET!r}: VTN and full-video evaluation need "
                + " or ".join(_OWN_DATASETS)
            )


def _check_solver(cfg: CfgNode) -> None:
    solver = cfg.SOLVER
    _require(solver.MAX_EPOCH >= 1, "SOLVER.MAX_EPOCH", solver.MAX_EPOCH, "at least 1")
    for key in ("EVAL_PERIOD", "CHECKPOINT_PERIOD"):
        _require(cfg.TRAIN[key] >= 1, f"TRAIN.{key}", cfg.TRAIN[key], "at least 1")
    _require(cfg.LOG_PERIOD >= 1, "LOG_PERIOD", cfg.LOG_PERIOD, "at least 1")
    known = ("sgd", "adam", "adamw")
    _require(
        solver.OPTIMIZING_METHOD in known,
        "SOLVER.OPTIMIZING_METHOD",
        solver.OPTIMIZING_METHOD,
        " or ".join(known),
    )
    if solver.LR_POLICY == "steps_with_relative_lrs":
        starts_at_zero = bool(solver.STEPS) and solver.STEPS[0] == 0
        _require(starts_at_zero, "SOLVER.STEPS", list(solver.STEPS), "a list of epochs that starts with 0")
        _require(
            len(solver.LRS) == len(solver.STEPS), "SOLVER.LRS", list(solver.LRS), "as long as SOLVER.STEPS"
        )
    for name, section in (("TRAIN", cfg.TRAIN), ("TEST", cfg.TEST)):
        kind = section.CHECKPOINT_TYPE
        _require(kind in ("pytorch", "caffe2"), f"{name}.CHECKPOINT_TYPE", kind, "pytorch or caffe2")
        path = section.CHECKPOINT_FILE_PATH
        if section.ENABLE and path and not os.path.isfile(path):
            raise InputError(f"{name}.CHECKPOINT_FILE_PATH is {path!r}: no such file")


def _check_vtn(cfg: CfgNode) -> None:
    node = cfg.VTN
    for key in ("NUM_HIDDEN_LAYERS", "NUM_ATTENTION_HEADS"):
        _require(node[key] >= 1, f"VTN.{key}", node[key], "at least 1")
    windows = list(node.ATTENTION_WINDOW)
    _require(
        len(windows) in (1, node.NUM_HIDDEN_LAYERS),
        "VTN.ATTENTION_WINDOW",
        windows,
        f"one width, or one for each of the {node.NUM_HIDDEN_LAYERS} layers of VTN.NUM_HIDDEN_LAYERS",
    )
    even = all(isinstance(width, int) and width >= 2 and width % 2 == 0 for width in windows)
    _require(
        even, "VTN.ATTENTION_WINDOW", windows, "even widths of at least 2 (half of it lies on each side)"
    )
    if node.HIDDEN_DIM:
        _require(
            node.HIDDEN_DIM % node.NUM_ATTENTION_HEADS == 0,
            "VTN.NUM_ATTENTION_HEADS",
            node.NUM_ATTENTION_HEADS,
            f"a divisor of VTN.HIDDEN_DIM, {node.HIDDEN_DIM}",
        )
    kinds = ("learned", "fixed", "none")
    kind = node.POSITION_EMBEDDING
    _require(kind in kinds, "VTN.POSITION_EMBEDDING", kind, " or ".join(kinds))
    _require(
        node.MAX_POSITION_EMBEDDINGS >= 3, "VTN.MAX_POSITION_EMBEDDINGS", node.MAX_POSITION_EMBEDDINGS, ">= 3"
    )


def _check_output_dir(cfg: CfgNode) -> None:
    try:
        os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
        probe = os.path.join(cfg.OUTPUT_DIR, f".writable-{os.getpid()}")
        with open(probe, "w"):
            pass
        os.remove(probe)
    except OSError as error:
        raise InputError(f"OUTPUT_DIR {cfg.OUTPUT_DIR!r} is not writable: {error.strerror}") from None
