"""Checkpoint files with PySlowFast's names and keys. A crash cannot ruin one, and reading runs no code."""

import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn, optim

from slowfast_ext.distributed import is_master, unwrap
from slowfast_ext.host import get_host
from slowfast_ext.host.caffe2 import read_caffe2
from slowfast_ext.host.places import checkpoint_path, list_checkpoints, list_saved
from vtn import checkpoint as vtn_checkpoint
from vtn.errors import InputError
from vtn.recipe import ENTRY
from vtn.weight_files import CLASS_NAMES, whole_file

# Options of an optimizer that do not change what it computes.
_OF_THE_MACHINE = ("fused", "foreach", "capturable")
UNFINISHED = "unfinished.part"
_MOST_EPOCHS = 10**6
# The entry of a file of our loops with what a run needs to go on as if it had not stopped.
RUN = "run"
_KINDS = {
    "epoch": (int, f"a whole number from -1, inside the first one, to {_MOST_EPOCHS - 1}"),
    "optimizer_state": (dict, "the state of an optimizer"),
    "scaler_state": (dict, "the state of a scaler"),
    "cfg": (str, "a text"),
    RUN: (dict, "names with values"),
}


def save_checkpoint(
    path_to_job: str,
    model: nn.Module,
    optimizer,
    epoch: int,
    cfg,
    scaler: torch.amp.GradScaler | None = None,
) -> str | None:
    """Write a checkpoint after an epoch; only the first process does.

    Args:
        path_to_job: OUTPUT_DIR.
        model, optimizer, epoch, cfg, scaler: As for `checkpoint_state`.

    Returns:
        The path, or None in another process.
    """
    if not is_master():
        return None
    path = checkpoint_path(path_to_job, epoch + 1)
    write_checkpoint(path, checkpoint_state(model, optimizer, epoch, cfg, scaler))
    return path


def checkpoint_state(
    model: nn.Module,
    optimizer,
    epoch: int,
    cfg,
    scaler: torch.amp.GradScaler | None = None,
    *,
    average: nn.Module | None = None,
) -> dict[str, Any]:
    """What a checkpoint holds: of VTN also what it was trained with (vtn.Recipe), of others class names.

    Args:
        model: Wrapped for several processes or not.
        optimizer: Its state is kept for resuming.
        epoch: Epoch just finished, from 0.
        cfg: Kept as text.
        scaler: Of mixed precision; its state is kept if it has one.
        average: A model with the average of the weights, which are kept too.

    Returns:
        Entries whose tensors are those of the model and the optimizer, not copies.
    """
    state = {
        "epoch": epoch,
        "model_state": unwrap(model).state_dict(),
        "optimizer_state": optimizer.state_dict(),
        "cfg": cfg.dump(),
    }
    if average is not None:
        state[vtn_checkpoint.AVERAGED] = average.state_dict()
    if scaler is not None and scaler.is_enabled():
        state["scaler_state"] = scaler.state_dict()
    recipe = getattr(unwrap(model), "recipe", None)
    names = getattr(unwrap(model), "class_names", None)
    if recipe is not None:
        state[ENTRY] = recipe.to_entry()
    elif names is not None:
        state[CLASS_NAMES] = list(names)
    return state


def write_checkpoint(path: str, state: dict[str, Any]) -> None:
    """Write a checkpoint; the file appears under its name only when it is complete and on disk.

    Args:
        path: The file; its folder is made.
        state: Plain values and tensors.

    Raises:
        OSError: If it cannot be written; what was there under its name stays.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    # No name that PySlowFast main would take for a checkpoint when it continues the run.
    part = os.path.join(os.path.dirname(path), UNFINISHED)
    try:
        with whole_file(path, part) as file:
            torch.save(state, file)
    except (OSError, RuntimeError) as error:
        reason = error
        while reason is not None and not isinstance(reason, OSError):
            reason = reason.__context__  # PyTorch raises one of its own because of that of the disk
        if reason is None:
            raise OSError(str(error)) from error
        raise reason from None


def restore_checkpoint(
    path_to_checkpoint: str,
    model: nn.Module,
    data_parallel: bool = True,
    optimizer=None,
    inflation: bool = False,
    convert_from_caffe2: bool = False,
    epoch_reset: bool = False,
    *,
    scaler: torch.amp.GradScaler | None = None,
    average: nn.Module | None = None,
    run: dict[str, Any] | None = None,
    partial: bool = False,
    advice: str = vtn_checkpoint.PARTIAL_ADVICE,
) -> int:
    """Load weights, and the optimizer's state when resuming.

    A run that continues takes the weights as they were; whoever takes weights only, such as a test, takes
    their average where the file has one.

    Args:
        path_to_checkpoint: A file of this project, of PySlowFast, of the authors' fork, or a Caffe2 .pkl of
            PySlowFast's model zoo.
        model: Wrapped for several processes or not.
        data_parallel: Ignored; kept because PySlowFast passes it.
        optimizer: Filled too, unless None, `epoch_reset` or `partial`.
        inflation: Repeat 2D kernels over time, divided by their number (I3D, arXiv 1705.07750).
        convert_from_caffe2: The file is a Caffe2 .pkl.
        epoch_reset: Take the weights only.
        scaler: Of mixed precision; filled with the optimizer.
        run: Filled with the optimizer: with the entry RUN, and `cfg`, the configuration as text.
        average: A model for the average of the weights: that of the file where the run continues and has one,
            else the weights that were loaded.
        partial: Take only the weights that fit, for fine-tuning; the log says which did not.
        advice: What to do if the file is of another model; ends the error's sentence.

    Returns:
        Epoch of the checkpoint, from 0; -1 when there is none, with `epoch_reset` or with `partial`.

    Raises:
        InputError: Missing, truncated or foreign file, code in a pickle, other shapes; names the file.
    """
    target = unwrap(model)
    continues = optimizer is not None and not (epoch_reset or inflation or partial)
    if convert_from_caffe2:
        checkpoint, state = {}, read_caffe2(path_to_checkpoint, target)
    else:
        checkpoint = vtn_checkpoint.read_checkpoint(path_to_checkpoint)
        state = _weights(checkpoint, path_to_checkpoint, averaged=not continues)
        if inflation:
            state = inflate_kernels(state, target.state_dict())
            if not partial:
                state |= _absent_from_images(state, target.state_dict(), path_to_checkpoint)
    report = vtn_checkpoint.load_weights(target, state, path_to_checkpoint, partial=partial, advice=advice)
    if partial:
        get_host().get_logger(__name__).info("Checkpoint %s: %s", path_to_checkpoint, report)
    if average is not None:
        known = target.state_dict()
        if continues and vtn_checkpoint.AVERAGED in checkpoint:
            known = vtn_checkpoint.weights_of(checkpoint, path_to_checkpoint, averaged=True)
        vtn_checkpoint.load_weights(average, known, path_to_checkpoint, advice=advice)
    if epoch_reset or inflation or partial:
        return -1
    takers = {"epoch": model, "optimizer_state": optimizer, "scaler_state": scaler, "cfg": run, RUN: run}
    taken = [name for name, taker in takers.items() if taker is not None]
    _require_kinds(checkpoint, taken, path_to_checkpoint)
    if optimizer is not None and "optimizer_state" in checkpoint:
        _restore_optimizer(optimizer, checkpoint["optimizer_state"], path_to_checkpoint)
    if scaler is not None and "scaler_state" in checkpoint:
        try:
            scaler.load_state_dict(checkpoint["scaler_state"])
        except Exception as error:
            raise _unusable(path_to_checkpoint, "scaler_state", "the state of a scaler") from error
    if run is not None:
        run |= {"cfg": checkpoint.get("cfg", "")} | checkpoint.get(RUN, {})
    return _epoch_of(checkpoint)


def _weights(checkpoint: dict[str, Any], path: str, *, averaged: bool) -> dict[str, torch.Tensor]:
    """The file's weights, or the average of them; the log says so."""
    if averaged and vtn_checkpoint.AVERAGED in checkpoint:
        get_host().get_logger(__name__).info("Checkpoint %s: its averaged weights are taken", path)
    return vtn_checkpoint.weights_of(checkpoint, path, averaged=averaged)


def _require_kinds(checkpoint: dict[str, Any], names: Sequence[str], path: str) -> None:
    """Refuse entries of a file that say where a training stood in another form than it is written."""
    for name in names:
        kind, must = _KINDS[name]
        if checkpoint.get(name) is not None and not isinstance(checkpoint[name], kind):
            raise _unusable(path, name, must)
    epoch = _epoch_of(checkpoint)
    if isinstance(epoch, bool) or not -1 <= epoch < _MOST_EPOCHS:
        raise _unusable(path, "epoch", _KINDS["epoch"][1])


def _epoch_of(checkpoint: dict[str, Any]) -> int:
    """Epoch of a checkpoint, from 0; -1 inside the first one, or where the file does not say."""
    return -1 if checkpoint.get("epoch") is None else checkpoint["epoch"]


def _unusable(path: str, name: str, must: str) -> InputError:
    return InputError(f"Checkpoint {path} has an entry {name!r} that cannot be used: it must be {must}.")


def _restore_optimizer(optimizer: optim.Optimizer, state: dict[str, Any], path: str) -> None:
    """Fill an optimizer; how it computes, and what the file does not say of a group, stays as it is."""
    before = [dict(group, params=None) for group in optimizer.param_groups]
    try:
        for saved, group in zip(state["param_groups"], before, strict=False):
            saved |= {name: group[name] for name in _OF_THE_MACHINE if name in group}
        optimizer.load_state_dict(state)
        _require_shapes(optimizer)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # a state of another form fails wherever PyTorch happens to look at it first
        raise InputError(
            f"{path}: its optimizer state does not fit SOLVER.OPTIMIZING_METHOD and the "
            f"trained parameters ({error}); to take its weights only: TRAIN.CHECKPOINT_EPOCH_RESET True"
        ) from None
    for group, own in zip(optimizer.param_groups, before, strict=True):
        group |= {name: value for name, value in own.items() if name not in group}


def _require_shapes(optimizer: optim.Optimizer) -> None:
    """What is kept for each number of a weight has the weight's shape; PyTorch finds that out in a step."""
    for weight, kept in optimizer.state.items():
        for name, value in kept.items():
            if isinstance(value, torch.Tensor) and value.numel() != 1 and value.shape != weight.shape:
                raise ValueError(f"{name} is {tuple(value.shape)} for weights {tuple(weight.shape)}")


def newest_checkpoint(output_dir: str) -> str | None:
    """Path of the newest checkpoint after an epoch that can be read; None if there is none."""
    return first_readable(list_checkpoints(output_dir))


def newest_place(output_dir: str) -> str | None:
    """The same of those inside epochs too, which our loops go on from."""
    return first_readable(list_saved(output_dir))


def first_readable(paths: Sequence[str]) -> str | None:
    """The first of some checkpoints that can be read; the log names those that cannot."""
    for path in paths:
        try:
            vtn_checkpoint.read_checkpoint(path)
        except InputError as error:
            get_host().get_logger(__name__).warning("Skipping a damaged checkpoint: %s", error)
            continue
        return path
    return None


def inflate_kernels(
    state: dict[str, torch.Tensor], target: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Repeat 2D kernels over time, divided by their number, where `target` has a 3D kernel of that name."""
    inflated = OrderedDict()
    for name, weight in state.items():
        if name in target and weight.ndim == 4 and target[name].ndim == 5:
            frames = target[name].shape[2]
            weight = weight.unsqueeze(2).repeat(1, 1, frames, 1, 1) / frames
        inflated[name] = weight
    return inflated


def is_new_in_video(name: str) -> bool:
    """Whether a weight has no counterpart in an image network: the classifier's or a non-local block's."""
    return name.startswith("head.") or "nonlocal" in name


def _absent_from_images(
    state: dict[str, torch.Tensor], target: dict[str, torch.Tensor], path: str
) -> dict[str, torch.Tensor]:
    """Weights of `target` that an image network cannot have, as they were initialised; the log names them."""
    own = [n for n in target if is_new_in_video(n)]
    kept = [n for n in own if n not in state or state[n].shape != target[n].shape]
    if kept:
        get_host().get_logger(__name__).info("%s: not in it, so newly initialised: %s", path, ", ".join(kept))
    return {name: target[name] for name in kept}
