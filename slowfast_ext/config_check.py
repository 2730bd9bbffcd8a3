"""Refuse impossible configurations, with a sentence that names the key and the value."""

import functools
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode

import vtn
from slowfast_ext.arguments import model_arguments, said_in_keys
from slowfast_ext.config_augment import check_augmentation
from slowfast_ext.config_steps import check_steps
from slowfast_ext.distributed import num_processes, visible_gpus, world_size
from slowfast_ext.host import get_host
from slowfast_ext.inflate import check_inflation
from vtn.backbone import fixed_img_size
from vtn.backbone_training import layer_scales, recompute_activations
from vtn.errors import InputError

OWN_DATASETS = ("vtnkinetics", "vtnmit", "vtnsegments")
# Models that take clips of the length and the size that they are built for, and no others.
_OF_ONE_SIZE = ("MViT", "MaskMViT", "PTVMViT")


def _require(condition: bool, key: str, value: Any, must: str) -> None:
    if not condition:
        raise InputError(f"{key} is {value!r}: it must be {must}")


def check_config(cfg: CfgNode) -> None:
    """Refuse impossible values and combinations; PySlowFast checks what only its own data sets read.

    Raises:
        InputError: Names the key and the value.
    """
    _check_devices(cfg)
    _check_datasets(cfg)
    if any(section.ENABLE and section.DATASET in OWN_DATASETS for section in (cfg.TRAIN, cfg.TEST)):
        _check_batches(cfg)
        _check_data(cfg)
    check_augmentation(cfg)
    _check_solver(cfg)
    check_steps(cfg)
    if cfg.MODEL.MODEL_NAME == "VTN":
        _check_vtn(cfg)
    if cfg.MODEL.MODEL_NAME in _OF_ONE_SIZE:
        _check_one_size(cfg)
    check_inflation(cfg)
    _check_output_dir(cfg)


def _check_devices(cfg: CfgNode) -> None:
    _require(cfg.NUM_GPUS >= 0, "NUM_GPUS", cfg.NUM_GPUS, "0 (CPU) or the number of GPUs")
    found = visible_gpus()
    if found < cfg.NUM_GPUS:
        raise InputError(
            f"NUM_GPUS is {cfg.NUM_GPUS} but PyTorch sees {found} CUDA device{'s' * (found != 1)}: "
            f"add `NUM_GPUS {found}` to the command{' to run on the CPU' if not found else ''}"
        )
    _require(cfg.VTN.CPU_PROCESSES >= 1, "VTN.CPU_PROCESSES", cfg.VTN.CPU_PROCESSES, "at least 1")
    _require(cfg.DIST_TIMEOUT >= 1, "DIST_TIMEOUT", cfg.DIST_TIMEOUT, "at least 1 second")
    _require(0 <= cfg.SHARD_ID < cfg.NUM_SHARDS, "--shard_id", cfg.SHARD_ID, f"in [0, {cfg.NUM_SHARDS})")


def _check_batches(cfg: CfgNode) -> None:
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
    for key in ("MEAN", "STD"):
        numbers = [value for value in data[key] if isinstance(value, (int, float))]
        usable = len(numbers) == len(data[key]) == 3 and (key == "MEAN" or min(numbers) > 0)
        _require(usable, f"DATA.{key}", list(data[key]), "three numbers, those of DATA.STD above 0")
    failed, timeout = cfg.TRAIN.FAILED_VIDEOS, cfg.DATA_LOADER.VIDEO_TIMEOUT
    _require(failed in ("skip", "stop"), "TRAIN.FAILED_VIDEOS", failed, "'skip' or 'stop'")
    _require(timeout > 0, "DATA_LOADER.VIDEO_TIMEOUT", timeout, "positive, in seconds")
    memory = cfg.DATA_LOADER.VIDEO_MEMORY
    _require(0 <= memory <= 1e6, "DATA_LOADER.VIDEO_MEMORY", memory, "from 0 to 1e6, in GiB")
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
        # Otherwise the head sees several positions and gives several answers for each training clip.
        crop = data.TRAIN_CROP_SIZE
        _require(crop % 32 == 0, "DATA.TRAIN_CROP_SIZE", crop, f"a multiple of 32 for {cfg.MODEL.MODEL_NAME}")
    if cfg.TRAIN.EVAL_FULL_VIDEO and cfg.TEST.ENABLE:
        views = cfg.TEST.NUM_ENSEMBLE_VIEWS
        must = "1 when TRAIN.EVAL_FULL_VIDEO is True (multi-view: TRAIN.EVAL_FULL_VIDEO False)"
        _require(views == 1, "TEST.NUM_ENSEMBLE_VIEWS", views, must)


def _check_datasets(cfg: CfgNode) -> None:
    for name, section in (("TRAIN", cfg.TRAIN), ("TEST", cfg.TEST)):
        if not section.ENABLE:
            continue
        if section.DATASET.capitalize() not in get_host().DATASET_REGISTRY:
            known = ", ".join(OWN_DATASETS)
            raise InputError(
                f"{name}.DATASET is {section.DATASET!r}: the data sets are {known} and the host's own"
            )
        full = cfg.TRAIN.EVAL_FULL_VIDEO or cfg.MODEL.MODEL_NAME == "VTN"
        if full and section.DATASET not in OWN_DATASETS:
            raise InputError(
                f"{name}.DATASET is {section.DATASET!r}: VTN and full-video evaluation need "
                + " or ".join(OWN_DATASETS)
            )
        if section.DATASET == "vtnsegments":
            where = f"True with {name}.DATASET vtnsegments, which looks at whole videos"
            _require(cfg.TRAIN.EVAL_FULL_VIDEO, "TRAIN.EVAL_FULL_VIDEO", False, where)
            where = f"False with {name}.DATASET vtnsegments: the authors' full video is its first ten seconds"
            _require(not cfg.VTN.AUTHORS_PROTOCOL, "VTN.AUTHORS_PROTOCOL", True, where)


def _check_solver(cfg: CfgNode) -> None:
    solver = cfg.SOLVER
    _require(solver.MAX_EPOCH >= 1, "SOLVER.MAX_EPOCH", solver.MAX_EPOCH, "at least 1")
    for key in ("EVAL_PERIOD", "CHECKPOINT_PERIOD"):
        _require(cfg.TRAIN[key] >= 1, f"TRAIN.{key}", cfg.TRAIN[key], "at least 1")
    _require(cfg.LOG_PERIOD >= 1, "LOG_PERIOD", cfg.LOG_PERIOD, "at least 1")
    if solver.LR_POLICY == "steps_with_relative_lrs":
        starts_at_zero = bool(solver.STEPS) and solver.STEPS[0] == 0
        _require(starts_at_zero, "SOLVER.STEPS", list(solver.STEPS), "a list of epochs that starts with 0")
        reached = sum(step < solver.MAX_EPOCH for step in solver.STEPS)
        _require(len(solver.LRS) >= reached, "SOLVER.LRS", list(solver.LRS), "as long as SOLVER.STEPS")
    for name, section in (("TRAIN", cfg.TRAIN), ("TEST", cfg.TEST)):
        kind = section.CHECKPOINT_TYPE
        _require(kind in ("pytorch", "caffe2"), f"{name}.CHECKPOINT_TYPE", kind, "pytorch or caffe2")
        path = section.CHECKPOINT_FILE_PATH
        if section.ENABLE and path and not os.path.isfile(path):
            raise InputError(f"{name}.CHECKPOINT_FILE_PATH is {path!r}: no such file")


def _check_vtn(cfg: CfgNode) -> None:
    """Refuse a model that cannot be built, and what only two keys together get wrong."""
    node, crop, test_crop = cfg.VTN, cfg.DATA.TRAIN_CROP_SIZE, cfg.DATA.TEST_CROP_SIZE
    with said_in_keys():
        asked = cfg.MODEL.ACT_CHECKPOINT and not node.FREEZE_BACKBONE, cfg.SOLVER.LAYER_DECAY
        width, fixed_size = _built_without_memory(json.dumps(model_arguments(cfg)), *asked)
    features = f"the width of the features of VTN.BACKBONE {node.BACKBONE}, {width}"
    _require(node.HIDDEN_DIM in (0, width), "VTN.HIDDEN_DIM", node.HIDDEN_DIM, f"0 or {features}")
    if cfg.TEST.ENABLE and fixed_size is not None:
        must = f"DATA.TRAIN_CROP_SIZE, {crop}, the one size that VTN.BACKBONE {node.BACKBONE} is built for"
        _require(test_crop == crop, "DATA.TEST_CROP_SIZE", test_crop, must)


def _check_one_size(cfg: CfgNode) -> None:
    """Refuse clips of another length or size than the model is built for."""
    name, data = cfg.MODEL.MODEL_NAME, cfg.DATA
    if cfg.TRAIN.EVAL_FULL_VIDEO and cfg.TRAIN.EVAL_NUM_FRAMES != data.NUM_FRAMES:
        raise InputError(
            f"TRAIN.EVAL_FULL_VIDEO is True: {name} takes clips of {data.NUM_FRAMES} frames "
            f"(DATA.NUM_FRAMES) and no full video of {cfg.TRAIN.EVAL_NUM_FRAMES}; test it with "
            "TRAIN.EVAL_FULL_VIDEO False"
        )
    must = f"DATA.TRAIN_CROP_SIZE, {data.TRAIN_CROP_SIZE}, the one size that {name} is built for"
    _require(data.TEST_CROP_SIZE == data.TRAIN_CROP_SIZE, "DATA.TEST_CROP_SIZE", data.TEST_CROP_SIZE, must)


@functools.cache
def _built_without_memory(
    arguments: str, recomputes: bool, layer_decay: float
) -> tuple[int, tuple[int, int] | None]:
    """Build a VTN on PyTorch's meta device: no weights, no download, tenths of a second.

    Args:
        arguments: Those of vtn.VTN, as JSON.
        recomputes: Its backbone shall compute activations again.
        layer_decay: What its layers' rates shall fall by; 1 is nothing.

    Returns:
        The width of its features, and the one image size that its backbone takes if it is such a network.
    """
    with torch.device("meta"):
        model = vtn.VTN(**json.loads(arguments))
    if recomputes:
        recompute_activations(model.backbone)
    if layer_decay != 1.0:
        layer_scales(model.backbone, layer_decay)
    return model.embed_dim, fixed_img_size(model.backbone)


def _check_output_dir(cfg: CfgNode) -> None:
    """Refuse a folder that cannot be written. None is made: the run may still be refused.

    Of several processes that make and remove it at the same time, one would find it gone, or not empty.
    """
    nearest = Path(cfg.OUTPUT_DIR)
    while not os.path.lexists(nearest):
        nearest = nearest.parent
    try:
        os.makedirs(nearest, exist_ok=True)  # no file has its name
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise InputError(f"OUTPUT_DIR {cfg.OUTPUT_DIR!r} is not writable: {error.strerror}") from None
