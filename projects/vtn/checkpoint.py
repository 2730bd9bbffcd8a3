"""Reading weights: our checkpoints, PySlowFast's, and the authors' released .pyth files.

Loading never runs pickled code. Weights are all tensors of a state dict, running statistics included.
"""

import functools
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .authors_names import from_authors_names
from .differences import ways_to_differ
from .errors import InputError, first_of
from .model import VTN
from .recipe import read_recipe
from .weight_files import SUFFIX, read_weights, require_plain

# The entry of a file with an average of the weights over the steps of the training.
AVERAGED = "ema_state"
PARTIAL_ADVICE = "to load only what fits: vtn.load_checkpoint(model, path, partial=True)"


@dataclass(frozen=True)
class LoadReport:
    """What happened to the weights of a file and of a model, under the model's names.

    Attributes:
        loaded: Taken from the file.
        other_shape: In both, but as (shape in the file, shape in the model); the model's were kept.
        missing: Only in the model; kept as they were.
        unexpected: Only in the file; left out.
    """

    loaded: list[str]
    other_shape: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    missing: list[str]
    unexpected: list[str]

    @property
    def kept(self) -> list[str]:
        """Weights of the model that the file did not replace."""
        return [*self.other_shape, *self.missing]

    def __str__(self) -> str:
        total = len(self.loaded) + len(self.kept)
        count = f"{len(self.loaded)} of {total} weights loaded"
        if self.kept:
            count += f", the other {len(self.kept)} keep their initial values"
        return "; ".join([count, *self.differences()])

    def differences(self, limit: int | None = None) -> list[str]:
        """Clauses that name all weights that were not loaded, or the first `limit` of each kind."""
        lists = {
            "of another shape": [
                f"{name} {there} there and {here} here" for name, (there, here) in self.other_shape.items()
            ],
            "not in the file": self.missing,
            "not in this model": self.unexpected,
        }
        return [f"{words}: {_first(items, limit)}" for words, items in lists.items() if items]


def load_checkpoint(model: nn.Module, path: str | os.PathLike, *, partial: bool = False) -> LoadReport:
    """Load weights into a model: all of them or none, or with `partial` those that fit.

    The file is one of torch.save or of `save_weights` (.safetensors). It holds a plain state dict or
    PySlowFast's {"model_state": ...}, with our names or the authors'.
    Either may come from a DistributedDataParallel model, with "module." before every name.

    Of a file with an average of the weights over the training, the average is taken, as a test does.

    If the file records what its model was trained with, a VTN gets that `recipe` and `normalization`; with
    `partial` it gets the normalisation alone, and only if the whole backbone was loaded.

    Args:
        model: A VTN, changed in place; of the same size unless `partial`.
        path: The file.
        partial: Take every weight whose name and shape fit and leave the others as they are, for
            fine-tuning with other classes, another depth or other positions.

    Returns:
        What was loaded and what was not; worth printing after a partial load.

    Raises:
        InputError: If the file is missing, is damaged, asks for code to be run, or holds another model; with
            `partial`, if nothing larger than a bias fits.
    """
    content = read_checkpoint(path)
    recipe = read_recipe(content, path)
    report = load_weights(model, weights_of(content, path, averaged=True), path, partial=partial)
    whole_backbone = not any(name.startswith("backbone.") for name in report.kept)
    if isinstance(model, VTN) and recipe is not None and whole_backbone:
        model.normalization = recipe.mean, recipe.std
        model.recipe = model.recipe if partial else recipe
    return report


def read_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """Read everything in a checkpoint file, without running code from it; its checksums are looked at.

    Raises:
        InputError: If the file is missing, damaged or asks for code to be run.
    """
    if not Path(path).is_file():
        raise InputError(f"There is no checkpoint file {path}.")
    if Path(path).suffix == SUFFIX:
        return read_weights(path)
    stated = os.stat(path)
    try:
        if not _has_its_checksums(os.fspath(path), stated.st_ino, stated.st_size, stated.st_mtime_ns):
            raise zipfile.BadZipFile
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that are no checkpoint raise KeyError, EOFError, whatever they hit
        forbidden = re.search(r"GLOBAL ([\w.]+)", str(error))
        if forbidden is not None:
            raise InputError(
                f"Checkpoint {path} is not loaded, because it holds more than tensors and plain values "
                f"({forbidden[1].rstrip('.')}), and unpickling that can run code."
            ) from error
        raise InputError(
            f"Checkpoint {path} cannot be read: it is damaged, cut short, or not from torch.save."
        ) from error
    return content if isinstance(content, dict) else {}


@functools.lru_cache(maxsize=16)
def _has_its_checksums(path: str, *identity: int) -> bool:
    """Whether all parts of a ZIP, which is what torch.save writes, are as they were written.

    Reading it does not look. A compressed part is not of torch.save, and may become any size.

    Args:
        path: The file; one of another format has no checksums to look at.
        identity: What tells it from others that had its name.
    """
    if not zipfile.is_zipfile(path):
        return True
    with zipfile.ZipFile(path) as file:
        stored = all(part.compress_type == zipfile.ZIP_STORED for part in file.infolist())
        return stored and file.testzip() is None


def weights_of(
    checkpoint: Mapping[str, Any], path: str | os.PathLike, *, averaged: bool = False
) -> dict[str, torch.Tensor]:
    """The model's weights from what `read_checkpoint` returned, under the file's names.

    Args:
        checkpoint: The file's content.
        path: The file, for the error.
        averaged: Of a file that also has an average of the weights over the training, take that.

    Raises:
        InputError: If there are none; names `path`.
    """
    state = checkpoint.get("model_state", checkpoint)
    if averaged and "model_state" in checkpoint:
        state = checkpoint.get(AVERAGED, state)
    if (
        not isinstance(state, dict)
        or not state
        or not all(isinstance(n, str) and isinstance(v, torch.Tensor) for n, v in state.items())
    ):
        raise InputError(
            f"Checkpoint {path} holds no model weights (names with tensors, or these in model_state)."
        )
    require_plain(state, path)
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return state


def load_weights(
    model: nn.Module,
    state: Mapping[str, torch.Tensor],
    path: str | os.PathLike,
    *,
    partial: bool = False,
    advice: str = PARTIAL_ADVICE,
) -> LoadReport:
    """Put weights into any model, as `load_checkpoint` does.

    Args:
        model: Changed in place.
        state: Weights by our names or the authors'.
        path: Where they are from, for the error.
        partial: Take what fits.
        advice: What the user can do about a refusal; ends the sentence.

    Raises:
        InputError: If a name or a shape differs, with `partial` if nothing fits; says what differs. Also if a
            number is not finite.
    """
    state, report = match_weights(state, model.state_dict(), path, partial=partial, advice=advice)
    if wrong := [name for name in report.loaded if not _is_finite(state[name])]:
        raise InputError(
            f"Checkpoint {path} has numbers that are not finite in {first_of(wrong, 3)}: its training had "
            "diverged, or the file is damaged."
        )
    model.load_state_dict({name: state[name] for name in report.loaded}, strict=not partial)
    return report


def _is_finite(value: torch.Tensor) -> bool:
    # PyTorch does not ask that of numbers of eight bits.
    value = value.float() if value.is_floating_point() and value.element_size() == 1 else value
    return bool(torch.isfinite(value).all())


def match_weights(
    state: Mapping[str, torch.Tensor],
    wanted: Mapping[str, torch.Tensor],
    path: str | os.PathLike,
    *,
    partial: bool = False,
    advice: str = PARTIAL_ADVICE,
) -> tuple[dict[str, torch.Tensor], LoadReport]:
    """Check that weights fit a model as `load_weights` requires, without loading them.

    Args:
        state, path, partial, advice: As for `load_weights`.
        wanted: The model's state dict; its tensors may be on the meta device.

    Returns:
        As `compare_weights`.

    Raises:
        InputError: As `load_weights`.
    """
    state, report = compare_weights(state, wanted)
    # A bias or a counter fits by chance; a matrix or a kernel does not.
    useless = all(wanted[name].ndim < 2 for name in report.loaded)
    refused = useless if partial else bool(report.kept or report.unexpected)
    if refused:
        ways = ways_to_differ(state, wanted)
        clauses = [
            f"Checkpoint {path} is of another model"
            + (f", which differs in {', '.join(ways)}" if ways else ""),
            *report.differences(limit=4),
            "so none of it can be used here" if useless else advice,
        ]
        raise InputError("; ".join(clauses) + ".")
    return state, report


def compare_weights(
    found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], LoadReport]:
    """Find out which weights of a file fit a model, without loading them.

    Args:
        found: Weights of the file, by our names or the authors'.
        wanted: The model's state dict; its tensors may be on the meta device.

    Returns:
        `found` under the names of `wanted`, and what would happen to each weight.
    """
    same = {name: value for name, value in found.items() if name in wanted}
    found = same | from_authors_names({name: value for name, value in found.items() if name not in wanted})
    shapes = {name: (tuple(found[name].shape), tuple(wanted[name].shape)) for name in wanted if name in found}
    return found, LoadReport(
        loaded=[name for name, (there, here) in shapes.items() if there == here],
        other_shape={name: (there, here) for name, (there, here) in shapes.items() if there != here},
        missing=[name for name in wanted if name not in found],
        unexpected=[name for name in found if name not in wanted],
    )


def _first(items: list[str], limit: int | None) -> str:
    """At most `limit` of them, and then how many there are."""
    shown = ", ".join(items[:limit])
    return shown if len(items) == len(items[:limit]) else f"{shown}, ... ({len(items)} in all)"
