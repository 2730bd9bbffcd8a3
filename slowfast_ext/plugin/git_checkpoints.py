"""What becomes of a checkpoint in PySlowFast main: every weight must fit, or a key says otherwise.

main takes what fits of a file and leaves the rest random. Models that need main's own ways (renamed weights,
interpolated positions, split batch norms) are loaded by main, and a test still needs every weight.
"""

import functools
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from slowfast.models.video_model_builder import X3D, MViT, ResNet, SlowFast
from slowfast.utils import checkpoint as cu
from torch import nn

from slowfast_ext.distributed import unwrap
from slowfast_ext.engine import start
from slowfast_ext.host import checkpoint
from slowfast_ext.host.git_checkpoint import keeping_mains_entries, require_file
from slowfast_ext.models import VTN
from vtn import checkpoint as vtn_checkpoint
from vtn.errors import InputError


@dataclass(frozen=True)
class StartsFrom:
    """What main's load_checkpoint is not told; it is kept on the model.

    Attributes:
        path: TRAIN.CHECKPOINT_FILE_PATH.
        partial: TRAIN.CHECKPOINT_PARTIAL.
    """

    path: str = ""
    partial: bool = False


def loading(original: Callable) -> Callable:
    """Put our rule in front of main's load_checkpoint."""

    def load_checkpoint(
        path_to_checkpoint, model, data_parallel=True, optimizer=None, scaler=None, **options
    ):
        require_file(path_to_checkpoint)
        if _needs_main(unwrap(model), options):
            load = functools.partial(_load_as_main_does, original, data_parallel=data_parallel)
        else:
            load = _load_all_or_nothing
        with keeping_mains_entries(optimizer):
            return load(path_to_checkpoint, model, optimizer=optimizer, scaler=scaler, options=options)

    return load_checkpoint


def saving(original: Callable) -> Callable:
    """Let main's save_checkpoint also write what a model of VTN was trained with, and names of classes."""

    def save_checkpoint(path_to_job, model, optimizer, epoch, cfg, scaler=None):
        ours = "://" not in path_to_job and _has_more_to_save(unwrap(model), cfg)
        save = checkpoint.save_checkpoint if ours else original
        return save(path_to_job, model, optimizer, epoch, cfg, scaler)

    return save_checkpoint


def _has_more_to_save(model: nn.Module, cfg) -> bool:
    """Whether our file tells more than main's, and has its name and the same weights."""
    if isinstance(model, VTN):
        return True
    split = any(".split_bn." in name for name in model.state_dict())
    return getattr(model, "class_names", None) is not None and not cfg.TASK and not split


def _needs_main(model: nn.Module, options: Mapping[str, Any]) -> bool:
    """Whether only main knows how a file becomes this model: renaming, interpolation, split batch norms."""
    if isinstance(model, VTN) or options.get("convert_from_caffe2"):
        return False
    if not isinstance(model, (SlowFast, ResNet, X3D)) or options.get("clear_name_pattern"):
        return True
    return bool(options.get("image_init")) or any(".split_bn." in name for name in model.state_dict())


def _load_all_or_nothing(path, model, *, optimizer, scaler, options) -> int:
    """As the other PySlowFast's loader: every weight must fit, unless TRAIN.CHECKPOINT_PARTIAL."""
    target = unwrap(model)
    wanted = getattr(target, "starts_from", StartsFrom())
    advice = start.advice(for_test=optimizer is None, continues=path != wanted.path)
    taken = ("inflation", "convert_from_caffe2", "epoch_reset")
    return checkpoint.restore_checkpoint(
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
