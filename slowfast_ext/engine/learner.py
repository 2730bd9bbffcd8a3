"""A model in training: with its optimizer, its scaler and the average of its weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from fvcore.common.config import CfgNode
from timm.utils import ModelEmaV3
from torch import nn

from slowfast_ext.distributed import device_of, unwrap
from slowfast_ext.engine.batch import Batch
from slowfast_ext.engine.ema import make_average
from slowfast_ext.engine.localizing import loss_of_segments
from slowfast_ext.engine.mixing import Mixing
from slowfast_ext.engine.nonfinite import StepGuard
from slowfast_ext.engine.optimizer import make_optimizer
from slowfast_ext.engine.precision import make_scaler
from slowfast_ext.engine.start import Source
from slowfast_ext.host import get_host
from slowfast_ext.host.checkpoint import checkpoint_state
from vtn.frugal import forget_activations
from vtn.localization import Localized


@dataclass(frozen=True)
class Learner:
    """What a training step needs beside a batch.

    Attributes:
        model: Wrapped for several processes or not.
        optimizer: Of its trained weights.
        mix: Erases and mixes the clips of a batch, where AUG and MIXUP say so.
        loss_function: (logits (N, K), labels) -> mean loss of the N videos.
        scaler: Of float16; does nothing in other precisions.
        ema: Average of the weights over the steps, see ema.py.
        device: Where the model is.
        guard: Keeps steps without a finite loss from changing anything.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    mix: Mixing
    loss_function: nn.Module
    scaler: torch.amp.GradScaler
    ema: ModelEmaV3 | None
    device: torch.device
    guard: StepGuard

    def loss(self, output: torch.Tensor | Localized, batch: Batch) -> torch.Tensor:
        """Mean loss of the videos of a batch, of which the model says `output`."""
        if isinstance(output, Localized):
            return loss_of_segments(output, batch, unwrap(self.model), self.loss_function)
        return self.loss_function(output.float(), batch.labels)

    @property
    def average(self) -> nn.Module | None:
        """The model with the averaged weights."""
        return None if self.ema is None else self.ema.module

    @property
    def models(self) -> list[nn.Module]:
        """The model, and that with the averaged weights if there is one."""
        return [self.model, *([] if self.average is None else [self.average])]

    @property
    def evaluated(self) -> nn.Module:
        """What validation sees, and a test will."""
        return self.models[-1]

    def resume(self, source: Source) -> tuple[int, dict[str, Any]]:
        """Fill all of this that a checkpoint holds.

        Returns:
            Its epoch, -1 if only weights were taken, and then nothing, else what the run needs to go on: see
            `restore_checkpoint`.
        """
        run: dict[str, Any] = {}
        return source.load(self.model, self.optimizer, scaler=self.scaler, average=self.average, run=run), run

    def state(self, epoch: int, cfg: CfgNode) -> dict[str, Any]:
        """What a checkpoint holds of all this; the tensors themselves, not copies."""
        return checkpoint_state(self.model, self.optimizer, epoch, cfg, self.scaler, average=self.average)


def make_learner(model: nn.Module, cfg: CfgNode, paths: Sequence[str] = ()) -> Learner:
    """Make all that trains a model.

    Args:
        model: Already where it is to be trained, and wrapped if there are several processes.
        cfg: A complete configuration.
        paths: File of each video of the training list, by which a message names it.

    Raises:
        InputError: If the model cannot be trained in the way that TRAIN and SOLVER ask for.
    """
    device = device_of(cfg)
    if not cfg.MODEL.ACT_CHECKPOINT:  # which forgets more, and looks at what it keeps once only
        forget_activations(unwrap(model))
    ema = make_average(unwrap(model), cfg)  # first: it refuses a model in which nothing is trained
    optimizer, scaler = make_optimizer(model, cfg), make_scaler(cfg.TRAIN.PRECISION, device)
    average = None if ema is None else ema.module
    return Learner(
        model=model,
        optimizer=optimizer,
        mix=Mixing(cfg),
        loss_function=get_host().get_loss_func(cfg.MODEL.LOSS_FUNC)(reduction="mean"),
        scaler=scaler,
        ema=ema,
        device=device,
        guard=StepGuard(model, optimizer, scaler, average, cfg, paths),
    )
