"""Checkpoints of PySlowFast main: written whole, read safely, exchanged with the other PySlowFast."""

import functools
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slowfast.models.video_model_builder import X3D, MViT, ResNet, SlowFast
from slowfast.utils import checkpoint as cu
from torch import nn

from slowfast_ext.host.cures import Cure, cure
from slowfast_ext.host.launch import unwrap
from vtn.errors import InputError

CHECKPOINT_CURES: list[Cure] = []


@dataclass(frozen=True)
class StartsFrom:
    """What main does not tell its load_checkpoint; kept at the model.

    Attributes:
        path: TRAIN.CHECKPOINT_FILE_PATH.
        partial: TRAIN.CHECKPOINT_PARTIAL.
    """

    path: str = ""
    partial: bool = False


@cure(
    CHECKPOINT_CURES,
    "slowfast.utils.checkpoint.load_checkpoint",
    "any version: unpickles Caffe2 files without any check, so a downloaded file can run code; takes what "
    "fits of a file and leaves the rest random; needs entries of the optimizer that other files lack",
)
def mend_load_checkpoint() -> None:
    original = cu.load_checkpoint

    def load_checkpoint(
        path_to_checkpoint, model, data_parallel=True, optimizer=None, scaler=None, **options
    ):
        if "://" not in str(path_to_checkpoint) and not os.path.isfile(path_to_checkpoint or ""):
            raise InputError(f"checkpoint {path_to_checkpoint}: no such file")
        groups = [dict(group, params=None) for group in optimizer.param_groups] if optimizer else []
        if _needs_main(unwrap(model), options):
            load = functools.partial(_load_as_main_does, original, data_parallel=data_parallel)
        else:
            load = _load_all_or_nothing
        epoch = load(path_to_checkpoint, model, optimizer=optimizer, scaler=scaler, options=options)
        for group, before in zip(optimizer.param_groups if optimizer else (), groups, strict=True):
            for name in ("layer_decay", "apply_LARS"):
                if name in before:
                    group.setdefault(name, before[name])
        return epoch

    cu.load_checkpoint = load_checkpoint


def _needs_main(model: nn.Module, options: Mapping[str, Any]) -> bool:
    """Whether only main knows how a file becomes this model: renaming, interpolation, split batch norms."""
    from slowfast_ext.models import VTN

    if isinstance(model, VTN) or options.get("convert_from_caffe2"):
        return False
    if not isinstance(model, (SlowFast, ResNet, X3D)) or options.get("clear_name_pattern"):
        return True
    return bool(options.get("image_init")) or any(".split_bn." in name for name in model.state_dict())


def _load_all_or_nothing(path, model, *, optimizer, scaler, options) -> int:
    """As the other PySlowFast's loader: every weight must fit, unless TRAIN.CHECKPOINT_PARTIAL."""
    from slowfast_ext.engine import checkpoint, start

    target = unwrap(model)
    wanted = getattr(target, "starts_from", StartsFrom())
    advice = start.advice(for_test=optimizer is None, continues=path != wanted.path)
    taken = ("inflation", "convert_from_caffe2", "epoch_reset")
    return checkpoint.load_checkpoint(
        path,
        target,
        optimizer=optimizer,
        scaler=scaler,
        partial=optimizer is not None and wanted == StartsFrom(path, partial=True),
        advice=advice,
        **{name: options[name] for name in taken if name in options},
    )


def _load_as_main_does(original, path, model, *, data_parallel, optimizer, scaler, options) -> int:
    wanted = getattr(unwrap(model), "starts_from", StartsFrom())
    if optimizer is not None and wanted == StartsFrom(path, partial=True):
        options = {**options, "epoch_reset": True}
    try:
        if optimizer is None:
            _require_all_weights(path, unwrap(model))
        return original(path, model, data_parallel, optimizer, scaler, **options)
    except (pickle.UnpicklingError, RuntimeError, KeyError, EOFError, ValueError) as error:
        raise InputError(f"checkpoint {path} cannot be loaded ({' '.join(str(error).split())})") from error


def _require_all_weights(path: str, model: nn.Module) -> None:
    """Refuse to test a model of which the file lacks weights; main would leave them random."""
    from vtn import checkpoint as vtn_checkpoint

    if not isinstance(model, (SlowFast, ResNet, X3D, MViT)):
        return
    wanted = model.state_dict()
    found = vtn_checkpoint.weights_of(vtn_checkpoint.read_checkpoint(path), path)
    found = cu.normal_to_sub_bn(dict(found), wanted)
    # Positions are interpolated by main where the sizes differ.
    missing = [
        name
        for name, weight in wanted.items()
        if name not in found
        or (found[name].shape != weight.shape and "rel_pos" not in name and "pos_embed" not in name)
    ]
    if missing:
        raise InputError(
            f"checkpoint {path} lacks {len(missing)} of the model's weights, such as {missing[0]}: "
            "a test needs every weight, so use the configuration that the file was trained with"
        )


@cure(
    CHECKPOINT_CURES,
    "slowfast.utils.checkpoint.save_checkpoint",
    "any version: an interrupted write leaves half a file that blocks every restart",
)
def mend_save_checkpoint() -> None:
    original = cu.save_checkpoint

    def save_checkpoint(path_to_job, model, optimizer, epoch, cfg, scaler=None):
        from slowfast_ext.engine import checkpoint
        from slowfast_ext.models import VTN

        if "://" in path_to_job:  # a store of iopath's, which replaces whole objects by itself
            return original(path_to_job, model, optimizer, epoch, cfg, scaler)
        if isinstance(unwrap(model), VTN):  # the same entries, and what the model was trained with
            return checkpoint.save_checkpoint(path_to_job, model, optimizer, epoch, cfg, scaler)
        # main chooses the name; the file moves to its place when it is whole.
        part = original(os.path.join(path_to_job, ".unfinished"), model, optimizer, epoch, cfg, scaler)
        if part is None:
            return None
        path = cu.get_path_to_checkpoint(path_to_job, epoch + 1, cfg.TASK)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
        return path

    cu.save_checkpoint = save_checkpoint


@cure(
    CHECKPOINT_CURES,
    "slowfast.utils.checkpoint.get_last_checkpoint",
    "any version: the newest file is taken, also where it is half a file",
)
def mend_get_last_checkpoint() -> None:
    original = cu.get_last_checkpoint

    def get_last_checkpoint(path_to_job, task):
        if task or "://" in path_to_job:
            return original(path_to_job, task)
        from slowfast_ext.engine.checkpoint import newest_checkpoint

        return newest_checkpoint(path_to_job)

    cu.get_last_checkpoint = get_last_checkpoint
