"""A file with all that repeats one training step: plain values and tensors, so reading it runs no code."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from slowfast_ext.data.frames import Frames
from slowfast_ext.host import get_installation
from slowfast_ext.host.checkpoint import write_checkpoint
from vtn.checkpoint import read_checkpoint
from vtn.errors import InputError

_KIND = "failed step"


@dataclass(frozen=True)
class Share:
    """What one process had of a step.

    Attributes:
        inputs: Of its batch, as the loader gave them: tensors; for Frames a dict of their pixels and index.
        labels: (N,).
        items: Numbers in the list, (N,).
        paths: Files of the videos, each once.
        losses: Mean loss of each part of the batch.
    """

    inputs: list[Any]
    labels: torch.Tensor
    items: torch.Tensor
    paths: list[str]
    losses: list[float]

    @property
    def loaded(self) -> tuple[list[Any], torch.Tensor, torch.Tensor]:
        """The batch again as its loader gave it."""
        inputs = [Frames((x["pixels"],), x["index"]) if isinstance(x, dict) else x for x in self.inputs]
        return inputs, self.labels, self.items


def share_of(loaded: Any, losses: list[float], name: Callable[[int], str]) -> Share:
    """A share from a batch as a loader gives it.

    Args:
        loaded: Inputs, labels, items and what else the data set gives, which is left out.
        losses: Of its parts.
        name: The file of an item.
    """
    inputs, labels, items, *_ = loaded
    paths = list(dict.fromkeys(name(item) for item in items.tolist()))
    return Share([_plain(x) for x in inputs], labels.clone(), items.clone(), paths, losses)


def _plain(value: Any) -> Any:
    # Copies: a file has the whole memory of a tensor that is a part of another one.
    if isinstance(value, Frames):
        return {"pixels": value.pixels.clone(), "index": value.index.clone()}
    return value.clone()


@dataclass(frozen=True)
class FailedStep:
    """A step that gave no finite loss, and the state before it.

    Attributes:
        cfg: The configuration, as YAML.
        epoch: From 0.
        iteration: Of the epoch, from 0.
        grad_norm: Of the averaged gradient, before clipping.
        shares: Of each process.
        model_state: Weights and buffers before the step.
        optimizer_state: Before the step, on a GPU with the learning rate of the step after.
        scaler_state: Before the step; empty except in float16.
    """

    cfg: str
    epoch: int
    iteration: int
    grad_norm: float
    shares: list[Share]
    model_state: dict[str, torch.Tensor]
    optimizer_state: dict[str, Any]
    scaler_state: dict[str, Any]


def write_failed_step(step: FailedStep, path: str) -> None:
    """Write the file, whole or not at all.

    Raises:
        OSError: If it cannot be written.
    """
    content = {name: getattr(step, name) for name in FailedStep.__dataclass_fields__}
    content["shares"] = [vars(share) for share in step.shares]
    content |= {"kind": _KIND, "software": f"PyTorch {torch.__version__}, {get_installation().description}"}
    content["threads"] = torch.get_num_threads()
    write_checkpoint(path, content)


@dataclass(frozen=True)
class Origin:
    """Where a failed step was computed: software in words, and PyTorch's threads in a process."""

    software: str
    threads: int


def read_failed_step(path: str) -> tuple[FailedStep, Origin]:
    """Read such a file, without running code from it.

    Raises:
        InputError: If it is missing, damaged or no such file.
    """
    content = read_checkpoint(path)
    try:
        if content["kind"] != _KIND:
            raise KeyError("kind")
        fields = {name: content[name] for name in FailedStep.__dataclass_fields__}
        fields["shares"] = [Share(**share) for share in fields["shares"]]
        return FailedStep(**fields), Origin(content["software"], content["threads"])
    except (KeyError, TypeError):
        raise InputError(f"{path} is no file of a step that TRAIN.NONFINITE wrote") from None
