"""Configuration: the keys that VTN adds to PySlowFast, loading a YAML with overrides, and checking it.

`load_config` is the only way in for every command line. Whatever is wrong stops here, with a sentence that
names the key, before a model is built or a video is opened.
"""

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from fvcore.common.config import CfgNode

from slowfast_ext.config_check import check_config
from slowfast_ext.config_files import find_base, find_config
from slowfast_ext.config_limits import check_limits, check_mains_loops
from slowfast_ext.distributed import use_processes, use_visible_gpus
from slowfast_ext.host import get_host
from slowfast_ext.launch.place import torchrun_place
from vtn.backbone import normalization
from vtn.errors import InputError

# Names that the authors' configs write, and ours.
_DATASET_FOR_VTN = {"kinetics": "vtnkinetics"}
# SlowFast's mean and std, which the authors' release feeds to its ViT.
_AUTHORS_NORMALIZATION = ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225))


def add_vtn_config(cfg: CfgNode) -> None:
    """Add VTN's keys with their defaults, in place. Called again, it changes nothing.

    The keys that the authors' fork also has keep their names and meaning, so its VIT_B_VTN.yaml loads; the
    defaults are the paper's.
    """
    if "VTN" in cfg:
        return
    known = cfg.MODEL.SINGLE_PATHWAY_ARCH
    cfg.MODEL.SINGLE_PATHWAY_ARCH = [*known, *(arch for arch in ("vtn", "VIT") if arch not in known)]
    # Which loops train and test: host, PySlowFast's own where it ships some, or own, those of slowfast_ext.
    cfg.ENGINE = "host"
    cfg.TRAIN.EVAL_FULL_VIDEO = False  # val and test see the whole video in one pass, not clips
    cfg.TRAIN.EVAL_NUM_FRAMES = 250  # frames of that pass, taken uniformly
    cfg.TRAIN.CHECKPOINT_MINUTES = 10.0  # between checkpoints inside an epoch; 0 saves only after epochs
    # Checkpoints after epochs that are kept, the newest; 0 is all. The best one always is, in best.pyth.
    cfg.TRAIN.CHECKPOINTS_KEPT = 0
    cfg.TRAIN.CHECKPOINT_PARTIAL = False  # fine-tune: take what fits of CHECKPOINT_FILE_PATH, weights only
    # skip: the next video of the epoch's order takes the place of one that cannot be read | stop
    cfg.TRAIN.FAILED_VIDEOS = "skip"
    # float32 | bfloat16 | float16 (GPUs only), in which layers compute; weights and loss stay float32
    cfg.TRAIN.PRECISION = "float32"  # of training and validation
    cfg.TEST.PRECISION = "float32"
    cfg.TEST.RANDOM_WEIGHTS = False  # test though there is no checkpoint, to see that a configuration works
    cfg.TRAIN.ACCUMULATE_STEPS = 1  # parts of a batch, computed one after the other to save memory
    # at a step whose loss or gradient is not finite: stop | skip, leave the step out and go on
    cfg.TRAIN.NONFINITE = "stop"
    cfg.TRAIN.EMA_DECAY = 0.0  # above 0: weights are averaged over the steps; the average is what is tested
    cfg.SOLVER.FUSED = False  # PyTorch's fused optimizers: one pass over all weights
    # Seconds within which all processes of a run have ended if one dies, hangs or does not come.
    cfg.DIST_TIMEOUT = 60.0
    cfg.DATA_LOADER.VIDEO_TIMEOUT = 300.0  # seconds a worker may take for a video before it counts as failed
    # GiB that a worker may take for its videos, beyond what it has when it begins; 0 is no limit.
    cfg.DATA_LOADER.VIDEO_MEMORY = 8.0
    cfg.TENSORBOARD.WANDB = False  # its curves go to Weights & Biases too
    # Image network whose weights, repeated over time, a ResNet (i3d, c2d, slow) starts from: a timm name, or
    # a file of timm's or torchvision's weights.
    cfg.RESNET.INFLATE_FROM = ""
    cfg.VTN = CfgNode()
    # Backbone.
    cfg.VTN.BACKBONE = "vit_base_patch16_224.orig_in21k_ft_in1k"  # any timm name
    cfg.VTN.PRETRAINED = True  # start from timm's weights for that name (needs the network once)
    cfg.VTN.FREEZE_BACKBONE = False  # features only, no gradient (paper table 2d)
    cfg.VTN.DROP_RATE = 0.0  # dropout inside the backbone
    cfg.VTN.DROP_PATH_RATE = 0.0  # stochastic depth inside the backbone
    cfg.VTN.FRAMES_PER_CHUNK = 0  # frames encoded at once in evaluation, to save memory; 0 is all
    cfg.VTN.MERGE_TOKENS = 0  # patch tokens that each layer of a ViT merges (ToMe), in training too
    # Evaluation: mean absolute difference of pixels in [0, 1] up to which a frame gets the features of the
    # last one that was encoded; 0 is off. It waits for a GPU: pixels decide what is encoded.
    cfg.VTN.REUSE_FRAMES = 0.0
    # Temporal encoder.
    cfg.VTN.HIDDEN_DIM = 0  # width; 0 is the backbone's, any other value must equal it
    cfg.VTN.NUM_HIDDEN_LAYERS = 3
    cfg.VTN.NUM_ATTENTION_HEADS = 0  # 0 is 12, or the most below 12 that divide the width
    cfg.VTN.ATTENTION_WINDOW = [32]  # tokens, total width, even; one for all layers or one per layer
    cfg.VTN.INTERMEDIATE_SIZE = 0  # width inside the feed-forward part; 0 is four times the width
    cfg.VTN.POSITION_EMBEDDING = "learned"  # learned | fixed | none (paper table 2b)
    cfg.VTN.MAX_POSITION_EMBEDDINGS = 288  # rows of the learned table; frames use all but the last two
    # Frames beyond that table: wrap around to its first rows, as the release does | scale the video down to
    # it | none: no position.
    cfg.VTN.POSITION_OVERFLOW = "wrap"
    cfg.VTN.ATTENTION = "learned"  # learned | uniform: all visible tokens weigh the same (paper figure 4)
    cfg.VTN.SEQUENCE_ENCODER = ""  # an encoder of the transformers library in place of ours: bert …
    cfg.VTN.SHUFFLE_FRAMES = False  # val and test shuffle the frame features, then add positions (table 2b)
    cfg.VTN.ATTENTION_PROBS_DROPOUT_PROB = 0.1
    cfg.VTN.HIDDEN_DROPOUT_PROB = 0.1
    cfg.VTN.ATTENTION_MODE = "sliding_chunks"  # the authors' key; neither their code nor ours reads it
    cfg.VTN.PAD_TOKEN_ID = -1  # the authors' key; without padding it has no effect
    # Head. Its dropout is MODEL.DROPOUT_RATE.
    cfg.VTN.MLP_DIM = 0  # width of the hidden layer; 0 is that of the temporal encoder
    cfg.VTN.HEAD_INIT = "release"  # release: as in the authors' code | paper: normal, std 0.02
    # Scales of a head that finds when actions begin and end, trained on segments (vtnsegments); 0 is none.
    cfg.VTN.LOCALIZATION_SCALES = 0
    # Data.
    # The released code's evaluation: its indices (see slowfast_ext/video/sampling.py) and its normalisation,
    # where DATA.MEAN and DATA.STD are not given.
    cfg.VTN.AUTHORS_PROTOCOL = False
    # Folder of tools/extract_features.py whose features stand in for decoded frames and the backbone.
    cfg.VTN.FEATURES = ""
    # Machine.
    cfg.VTN.COMPILE = False  # torch.compile of backbone and temporal encoder
    cfg.VTN.CPU_PROCESSES = 1  # processes when NUM_GPUS is 0


def get_cfg() -> CfgNode:
    """All keys of the host and ours, with defaults."""
    return get_host().get_defaults().clone()


def merged_config(path: str | os.PathLike, overrides: Sequence[str] = ()) -> CfgNode:
    """Read one YAML (with `_BASE_`) and apply overrides, without the checks of `load_config`.

    Args:
        path: The YAML file, or the name of one of the project, such as Kinetics/VTN_ViT_B.yaml.
        overrides: Keys and values in turn.

    Raises:
        InputError: Names the file, or a key that does not exist or takes another type of value.
    """
    return merged_keys(read_yaml(path), overrides, str(path))[0]


def merged_keys(file: Mapping[str, Any], overrides: Sequence[str], source: str) -> tuple[CfgNode, dict]:
    """A configuration that is not checked yet, and the keys of the command line.

    Args:
        file: Sections by name, with their keys.
        overrides: Keys and values in turn.
        source: Where the keys of `file` are from, for the error.

    Raises:
        InputError: Names a key that does not exist or takes another type of value.
    """
    cfg, command_line = get_cfg(), _pairs_to_tree(overrides)
    _merge(cfg, file, source=source)
    _merge(cfg, command_line, source="the command line")
    use_visible_gpus(cfg, given={*file, *command_line})
    return cfg, command_line


def load_config(
    path: str | os.PathLike,
    overrides: Sequence[str] = (),
    *,
    num_shards: int = 1,
    shard_id: int = 0,
    processes: int | None = None,
) -> CfgNode:
    """Read one YAML (with `_BASE_`), apply overrides, check everything.

    For VTN, DATA.MEAN and DATA.STD are those that VTN.BACKBONE was made for, unless they are given. Unless
    NUM_GPUS is given, it is all GPUs that PyTorch sees, 0 if there are none.

    Args:
        path: The YAML file, or the name of one of the project, such as Kinetics/VTN_ViT_B.yaml.
        overrides: Keys and values in turn, e.g. ["NUM_GPUS", "0"].
        num_shards: Machines.
        shard_id: This machine, from 0.
        processes: Those that torchrun has started on this machine: they win over NUM_GPUS and
            VTN.CPU_PROCESSES of the file.

    Returns:
        A complete, frozen configuration.

    Raises:
        InputError: Names the file, the key and the value.
    """
    machines = {"num_shards": num_shards, "shard_id": shard_id, "processes": processes}
    return complete_config(read_yaml(path), overrides, source=str(path), **machines)


def complete_config(
    file: Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    source: str,
    num_shards: int = 1,
    shard_id: int = 0,
    processes: int | None = None,
) -> CfgNode:
    """As `load_config`, from the keys of a file that has been read.

    Args:
        file: Sections by name, with their keys.
        overrides, num_shards, shard_id, processes: As for `load_config`.
        source: Where the keys are from, for the error.
    """
    cfg, command_line = merged_keys(file, overrides, source)
    cfg.NUM_SHARDS, cfg.SHARD_ID = num_shards, shard_id
    if processes is not None:
        use_processes(cfg, processes, command_line)
    _use_own_datasets(cfg)
    get_host().finalize_cfg(cfg)
    check_limits(cfg)
    check_config(cfg)
    _set_normalization(cfg, given={*file.get("DATA", {}), *command_line.get("DATA", {})})
    cfg.freeze()
    return cfg


def _set_normalization(cfg: CfgNode, given: set[str]) -> None:
    """For VTN, set those of DATA.MEAN and DATA.STD that are not among the `given` keys of DATA, in place."""
    if cfg.MODEL.MODEL_NAME != "VTN":
        return
    own = normalization(cfg.VTN.BACKBONE)
    wanted = _AUTHORS_NORMALIZATION if cfg.VTN.AUTHORS_PROTOCOL else own
    if wanted is None:
        return  # a network that was added to timm without them; PySlowFast's defaults stay
    for key, values in zip(("MEAN", "STD"), wanted, strict=True):
        if key not in given:
            cfg.DATA[key] = list(values)


def adapt_loaded_config(cfg: CfgNode, path: str | os.PathLike | None, overrides: Sequence[str] = ()) -> None:
    """Complete, in place, a configuration that PySlowFast main's own parser has loaded.

    Args:
        cfg: Loaded from `path` and `overrides`; its OUTPUT_DIR exists.
        path: The YAML file, if any.
        overrides: Keys and values in turn.

    Raises:
        InputError: Names the key and the value.
    """
    file, command_line = (read_yaml(path) if path else {}), _pairs_to_tree(overrides)
    use_visible_gpus(cfg, given={*file, *command_line})
    place = torchrun_place()
    if place is not None:
        cfg.NUM_SHARDS, cfg.SHARD_ID = place.num_shards, place.shard_id
        use_processes(cfg, place.local_world_size, command_line)
    _use_own_datasets(cfg)
    check_mains_loops(cfg)
    check_config(cfg)
    _set_normalization(cfg, given={*file.get("DATA", {}), *command_line.get("DATA", {})})


def _use_own_datasets(cfg: CfgNode) -> None:
    """Give VTN the data sets that it needs, under the names that the authors' configs write, in place."""
    if cfg.MODEL.MODEL_NAME == "VTN":
        for section in (cfg.TRAIN, cfg.TEST):
            section.DATASET = _DATASET_FOR_VTN.get(section.DATASET, section.DATASET)


def read_yaml(path: str | os.PathLike) -> dict[str, Any]:
    """The keys of one YAML, those of its `_BASE_` among them.

    Args:
        path: The file, or the name of one of the project: see `find_config`.

    Raises:
        InputError: Names the file.
    """
    found = find_config(path)
    try:
        tree = _WithBases.load_yaml_with_base(str(found))
    except (OSError, yaml.YAMLError, AttributeError, TypeError) as error:
        raise InputError(
            f"--cfg {path}: not a readable YAML config ({' '.join(str(error).split())})"
        ) from None
    if not isinstance(tree, dict):
        raise InputError(f"--cfg {path}: holds no keys")
    return tree


class _WithBases(CfgNode):
    """Reads a YAML, and each `_BASE_` on the way where `find_base` finds it."""

    @classmethod
    def load_yaml_with_base(cls, filename: str, allow_unsafe: bool = False) -> dict[str, Any]:
        return super().load_yaml_with_base(str(find_base(filename)), allow_unsafe)


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
    """Give `value` the type of `default` where that loses nothing."""
    if default is None:
        return value  # main has no default for it
    if value is None and isinstance(default, (float, str, list, tuple)):
        return type(default)()  # main writes None for "off", and leaves a value out for "none"
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
