"""Weights as safetensors: numbers and plain text, in which no code can be."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from .errors import InputError
from .model import VTN
from .recipe import ENTRY

SUFFIX = ".safetensors"
# The names of the classes, in order, where they are known; a VTN has them in its own entry.
CLASS_NAMES = "class_names"
# What a file says beside the weights: entries in JSON, and one that is a text.
_AS_JSON, _AS_TEXT = (ENTRY, CLASS_NAMES), ("cfg",)


def save_weights(model: VTN, path: str | os.PathLike) -> None:
    """Write the weights of a model, and what it was trained with if that is known (`model.recipe`).

    `load_checkpoint` reads the file, and with a recipe `create_model(checkpoint=path)` makes the model of it.

    Args:
        model: Any device.
        path: The file; its name ends in .safetensors.

    Raises:
        InputError: If the file has another name or cannot be written; what was there stays.
    """
    content: dict[str, Any] = {"model_state": model.state_dict()}
    if model.recipe is not None:
        content[ENTRY] = model.recipe.to_entry()
    write_weights(content, path)


def write_weights(content: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Write what `read_checkpoint` gives, or a part of it.

    Args:
        content: Tensors by name under "model_state"; of the other entries what the model is and what it was
            trained with are kept, but nothing that only a training needs.
        path: As for `save_weights`.

    Raises:
        InputError: As `save_weights`.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise InputError(f"weights are written as safetensors: the name {path} must end in {SUFFIX}.")
    require_plain(content["model_state"], path)
    # Each in memory of its own, as the format wants it.
    tensors = {
        name: value.detach().cpu().contiguous().clone() for name, value in content["model_state"].items()
    }
    notes = {name: content[name] for name in _AS_TEXT if isinstance(content.get(name), str)}
    try:
        notes |= {name: json.dumps(content[name]) for name in _AS_JSON if content.get(name) is not None}
    except (TypeError, ValueError) as error:
        raise InputError(f"what is said of the model cannot be written to {path}: {error}.") from error
    try:
        with whole_file(path) as file:
            file.write(save(tensors, {"format": "pt", **notes}))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}.") from error


def read_weights(path: str | os.PathLike) -> dict[str, Any]:
    """Read a file, of `write_weights` or of any other program, as `read_checkpoint` gives it.

    Raises:
        InputError: If it is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            notes = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        entries = {name: json.loads(notes[name]) for name in _AS_JSON if name in notes}
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"Checkpoint {path} cannot be read: it is damaged, cut short, or not safetensors."
        ) from error
    return {"model_state": state, **entries, **{name: notes[name] for name in _AS_TEXT if name in notes}}


def require_plain(state: Mapping[str, torch.Tensor], path: str | os.PathLike) -> None:
    """Refuse tensors that are no weights: without numbers, of a rare kind, or larger than what is stored.

    Raises:
        InputError: Names the first; `path` is the file that they are from, or for.
    """
    for name, value in state.items():
        plain = value.layout == torch.strided and not (
            value.is_meta or value.is_quantized or value.is_complex()
        )
        # A few bytes may pose as any number of them.
        if not plain or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise InputError(f"Checkpoint {path} has {name}, which is no plain tensor of real numbers.")


@contextlib.contextmanager
def whole_file(path: str | os.PathLike, part: str | os.PathLike | None = None) -> Iterator[BinaryIO]:
    """Write a file that gets its name when it is complete and on disk.

    Args:
        path: The file.
        part: Its name until then.

    Raises:
        OSError: If it cannot be written; what was there stays, and nothing is left of the new one.
    """
    part = f"{os.fspath(path)}.part" if part is None else part
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:  # Ctrl-C too
        with contextlib.suppress(OSError):
            os.remove(part)
        raise
