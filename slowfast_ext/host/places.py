"""Checkpoints by the place of the training at which they were written: after an epoch, or inside one."""

import os
import re
from dataclasses import dataclass

_AFTER = re.compile(r"checkpoint_epoch_(\d+)\.pyth")
# No name that PySlowFast main would take for a checkpoint: it would start anew with the epoch.
_INSIDE = re.compile(r"inside_epoch_(\d+)_step_(\d+)\.pyth")
_BEST = "best.pyth"


@dataclass(frozen=True, order=True)
class Place:
    """How far a training is.

    Attributes:
        epoch: Epochs done.
        iteration: Iterations done of the one that follows.
    """

    epoch: int
    iteration: int = 0


def checkpoint_path(output_dir: str, epoch: int) -> str:
    """Path of the checkpoint written after `epoch` epochs (from 1)."""
    return os.path.join(output_dir, "checkpoints", f"checkpoint_epoch_{epoch:05d}.pyth")


def inside_path(output_dir: str, place: Place) -> str:
    """Path of a checkpoint inside an epoch, whose name counts epochs from 1."""
    name = f"inside_epoch_{place.epoch + 1:05d}_step_{place.iteration:08d}.pyth"
    return os.path.join(output_dir, "checkpoints", name)


def best_path(output_dir: str) -> str:
    """Path of the checkpoint with the lowest top-1 error in validation."""
    return os.path.join(output_dir, "checkpoints", _BEST)


def place_of(path: str) -> Place:
    """The place that the name of a checkpoint tells.

    Raises:
        ValueError: If it is no such name.
    """
    name = os.path.basename(path)
    if found := _INSIDE.fullmatch(name):
        return Place(int(found[1]) - 1, int(found[2]))
    if found := _AFTER.fullmatch(name):
        return Place(int(found[1]))
    raise ValueError(f"{name} tells no place")


def list_checkpoints(output_dir: str) -> list[str]:
    """Checkpoints after epochs, the newest first."""
    return _list(output_dir, _AFTER)


def list_inside(output_dir: str) -> list[str]:
    """Checkpoints inside epochs, the newest first."""
    return _list(output_dir, _INSIDE)


def list_saved(output_dir: str) -> list[str]:
    """All of both, the newest first; of two at one place the one after an epoch."""
    return _newest_first([*list_checkpoints(output_dir), *list_inside(output_dir)])


def _list(output_dir: str, names: re.Pattern) -> list[str]:
    folder = os.path.join(output_dir, "checkpoints")
    found = os.listdir(folder) if os.path.isdir(folder) else []
    return _newest_first([os.path.join(folder, name) for name in found if names.fullmatch(name)])


def _newest_first(paths: list[str]) -> list[str]:
    return sorted(paths, key=place_of, reverse=True)  # which leaves those of one place as they come
