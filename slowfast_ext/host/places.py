"""Checkpoints by the place of the training at which they were written: after an epoch, or inside one."""

import os
import re
from dataclasses import dataclass

from slowfast_ext.host.checkpoint import first_readable, list_checkpoints

# No name that PySlowFast main would take for a checkpoint: it would start anew with the epoch.
_INSIDE = re.compile(r"inside_epoch_(\d+)_step_(\d+)\.pyth")
_AFTER = re.compile(r"checkpoint_epoch_(\d+)\.pyth")
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


def list_inside(output_dir: str) -> list[str]:
    """Checkpoints inside epochs, the newest first."""
    folder = os.path.join(output_dir, "checkpoints")
    names = [name for name in os.listdir(folder) if _INSIDE.fullmatch(name)] if os.path.isdir(folder) else []
    return sorted((os.path.join(folder, name) for name in names), key=place_of, reverse=True)


def newest_place(output_dir: str) -> str | None:
    """Path of the newest checkpoint of our loops that can be read; None if there is none."""
    # Of two at one place the sort, which is stable, leaves the one after an epoch first.
    paths = [*list_checkpoints(output_dir), *list_inside(output_dir)]
    return first_readable(sorted(paths, key=place_of, reverse=True))
