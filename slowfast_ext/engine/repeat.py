"""A training step once more, from the file that TRAIN.NONFINITE wrote: where does it stop being finite?"""

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import nn

from slowfast_ext.config import merged_config
from slowfast_ext.data.frames import Frames
from slowfast_ext.distributed import settle, unwrap, visible_gpus
from slowfast_ext.engine.learner import make_learner
from slowfast_ext.engine.nonfinite import Attempt
from slowfast_ext.engine.seeds import seed_step
from slowfast_ext.engine.step_file import FailedStep, Origin
from slowfast_ext.engine.tally import Tally
from slowfast_ext.engine.train import compute_gradients, norm_of_gradients
from slowfast_ext.models import make_model, without_published_weights


@dataclass
class Repetition:
    """What a step gave when it was computed again.

    Attributes:
        losses: Of each process, of each part of its batch.
        grad_norm: Of the averaged gradient, unscaled.
        inputs: Whether all that the model was given is finite.
        weights: Names of weights and buffers that were not finite before the step.
        module: First module in the forward pass whose output is not finite, in words; None if all are.
        parameter: First weight in the backward pass whose gradient is not finite.
    """

    losses: list[list[float]] = field(default_factory=list)
    grad_norm: float = math.nan
    inputs: bool = True
    weights: list[str] = field(default_factory=list)
    module: str | None = None
    parameter: str | None = None

    def is_like(self, step: FailedStep) -> bool:
        """Whether every loss and the norm are as they were, to the last bit."""
        then = [[share.losses for share in step.shares], [[step.grad_norm]]]
        return repr(then) == repr([self.losses, [[self.grad_norm]]])  # a NaN equals no other


class _Watch:
    """Notes in a Repetition what a model gives."""

    def __init__(self, model: nn.Module, found: Repetition) -> None:
        self._found = found
        for name, module in model.named_modules():
            module.register_forward_hook(partial(self._see_output, name or "the model"))
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                weight.register_post_accumulate_grad_hook(partial(self._see_gradient, name))

    def _see_output(self, name: str, module: nn.Module, args: tuple, output: Any) -> None:
        if self._found.module is None and not _is_finite(output):
            given = "finite" if _is_finite(args) else "not finite either"
            self._found.module = f"{name} ({type(module).__name__}), whose input is {given}"

    def _see_gradient(self, name: str, weight: nn.Parameter) -> None:
        if self._found.parameter is None and not _is_finite(weight.grad):
            self._found.parameter = name


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """All tensors in tuples, lists and dicts; of Frames none, because bytes are always finite."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple, dict)) and not isinstance(value, Frames):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)


def _is_finite(value: Any) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in _tensors(value))


def config_of(step: FailedStep, precision: str | None) -> CfgNode:
    """The configuration of a step, for one process on this machine.

    Args:
        step: Of any number of processes.
        precision: In place of TRAIN.PRECISION.

    Raises:
        InputError: If this PySlowFast does not know a key of it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(step.cfg, encoding="utf-8")
        cfg = merged_config(path)
    cfg.NUM_GPUS = min(cfg.NUM_GPUS, visible_gpus(), 1)
    cfg.NUM_SHARDS, cfg.SHARD_ID, cfg.VTN.CPU_PROCESSES = 1, 0, 1
    cfg.VTN.COMPILE = False  # nobody can look into compiled code
    cfg.TRAIN.PRECISION = precision or cfg.TRAIN.PRECISION
    cfg.freeze()
    return cfg


def repeat(step: FailedStep, origin: Origin, cfg: CfgNode) -> Repetition:
    """Compute loss and gradient of a step again, those of all its processes one after the other.

    Args:
        step: Read from its file.
        origin: Where it was computed.
        cfg: From `config_of`.

    Raises:
        InputError: If the weights do not fit the configuration.
    """
    settle(cfg)
    torch.set_num_threads(origin.threads)  # sums are taken in parts, one for each
    model = make_model(without_published_weights(cfg))
    model.load_state_dict(step.model_state)
    learner = make_learner(model.train(), cfg)
    if step.scaler_state and learner.scaler.is_enabled():
        learner.scaler.load_state_dict(step.scaler_state)
    found, tally = Repetition(), Tally(all_processes=False)
    found.weights = [name for name, tensor in step.model_state.items() if not _is_finite(tensor)]
    _Watch(unwrap(model), found)
    learner.optimizer.zero_grad()
    for process, share in enumerate(step.shares):
        model.load_state_dict(step.model_state)  # its statistics: every process starts from the same
        found.inputs = found.inputs and _is_finite(share.loaded[0])
        learner.guard.begin(Attempt(share.loaded, step.epoch, step.iteration))
        seed_step(cfg, step.epoch, step.iteration, process)
        compute_gradients(share.loaded, learner, tally, cfg, step.epoch, step.iteration)
        found.losses.append([float(loss) for loss in learner.guard.losses])
    if len(step.shares) > 1:
        for weight in model.parameters():
            if weight.grad is not None:
                weight.grad /= len(step.shares)
    learner.scaler.unscale_(learner.optimizer)
    found.grad_norm = float(norm_of_gradients(model))
    return found
