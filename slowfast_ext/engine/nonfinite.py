"""Training steps without a finite loss: they change nothing, and end the run or are left out.

A step is not finite if its loss, or the norm of its gradient before clipping, is not. In float16 the loss
alone counts: gradients that float16 cannot hold are the business of its scaler, which then takes no step.

**All processes decide alike.** A loss that is not finite makes the gradient NaN, and gradients are averaged
over the processes, so all see the same norm. In float16 they exchange whether a loss was not finite.

**On a CPU** a step is looked at before the optimizer moves anything: weights, optimizer, scaler and average
are not touched, and the statistics of batch norms, which the forward pass has changed, are put back.

**On a GPU** looking would wait for it. There everything that a step changes is copied first, and put back on
the device if the step was not finite. Once the run is to end, later steps are put back too, so that all stays
as it was before the step that ended it. What became of a step is read while the device computes the next one;
until then its batch is kept. The copies need memory after the backward pass, when that of the activations is
free. Momentum of SGD that is born in a step that is left out starts at 0, which is other than no momentum if
SOLVER.DAMPENING is not 0; all else is exact.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import distributed as dist
from torch import nn

from slowfast_ext.distributed import gather_in_first, is_master, on_backend, said_by_first, unwrap
from slowfast_ext.engine.step_file import FailedStep, Share, share_of, write_failed_step
from slowfast_ext.files import reason_of
from slowfast_ext.host import get_host
from slowfast_ext.typed import as_typed
from vtn.errors import InputError, first_of

# So many more steps may be left out than taken.
MOST_LEFT_OUT = 20
# Videos named in a sentence; all of them are in the file.
_NAMED = 20


class NonFiniteError(InputError):
    """The training ends at a step without a finite loss."""


@dataclass(frozen=True)
class Attempt:
    """A step that may turn out not to be finite.

    Attributes:
        loaded: Its batch in this process, as the loader gave it.
        epoch: From 0.
        iteration: Of the epoch, from 0.
    """

    loaded: Any
    epoch: int
    iteration: int


class SentNumbers:
    """Numbers on their way from a device to the host, which waits for them only when it reads them.

    Args:
        numbers: (N,), on any device.
    """

    def __init__(self, numbers: torch.Tensor) -> None:
        self._numbers = numbers.to("cpu", non_blocking=True)  # from a GPU: into pinned memory
        self._sent = torch.cuda.Event() if numbers.is_cuda else None
        if self._sent is not None:
            self._sent.record()

    def read(self) -> list[float]:
        """The numbers; waits until they are there, not for what the device was given after them."""
        if self._sent is not None:
            self._sent.synchronize()
        return self._numbers.tolist()


def can_look(device: torch.device) -> bool:
    """Whether reading a number from the device costs nothing."""
    return device.type == "cpu"


class StepGuard:
    """Keeps steps that are not finite from changing anything; ends the run, or says that they were left out.

    Args:
        model: Wrapped for several processes or not.
        optimizer: Of its weights.
        scaler: Of float16.
        average: A model with the average of the weights, if there is one.
        cfg: Keys TRAIN.NONFINITE and OUTPUT_DIR; all of it goes into the file of a step.
        paths: File of each video of the training list, to name them.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        average: nn.Module | None,
        cfg: CfgNode,
        paths: Sequence[str] = (),
    ) -> None:
        self._model, self._optimizer, self._scaler, self._average = model, optimizer, scaler, average
        self._cfg, self._paths, self._stops = cfg, paths, cfg.TRAIN.NONFINITE == "stop"
        self._attempt: Attempt | None = None
        self._before: list[tuple[torch.Tensor, torch.Tensor]] = []
        # Of the last step, the one that the host has not read yet.
        self._sent: tuple[Attempt, SentNumbers] | None = None
        self._excess: torch.Tensor | None = None  # steps left out, less those taken; not below 0
        self._ends: torch.Tensor | None = None  # whether the run is to end
        self._left_out = 0
        self.losses: list[torch.Tensor] = []
        _count_on_device(optimizer)

    def begin(self, attempt: Attempt) -> None:
        """A step begins; what its forward pass changes is copied."""
        self._attempt, self.losses = attempt, []
        self._before = _copied(unwrap(self._model).buffers())

    def watch(self, loss: torch.Tensor) -> torch.Tensor:
        """Note the loss of a part of the step, on its device: in `losses`.

        Returns:
            The same loss. Its gradient is NaN if it is not finite, which it need not be by itself.
        """
        self.losses.append(loss.detach())
        return loss * (1 + 0 * loss.detach())

    def take(self, grad_norm: torch.Tensor, update: Callable[[], None]) -> None:
        """Take the step if it is finite; every process must call it.

        Args:
            grad_norm: Of the gradients as they are in all processes, unscaled, before clipping.
            update: Updates weights, optimizer, scaler and average.

        Raises:
            NonFiniteError: If the run ends here; on a GPU because of the step before.
        """
        undone, found = self._judge(grad_norm)
        if can_look(grad_norm.device):
            if bool(undone):
                _put_back(None, self._before)
                self._scaler.update(self._scaler.get_scale())  # stays, and expects a next step
            else:
                update()
            self._sent = self._attempt, SentNumbers(found)
            self.settle()
            return
        before = self._before + _copied(self._changed_by_a_step())
        update()
        _put_back(undone, before)
        known = {id(tensor) for tensor, _ in before}
        born = [tensor for tensor in self._changed_by_a_step() if id(tensor) not in known]
        _put_back(undone, [(tensor, torch.zeros_like(tensor)) for tensor in born])
        self._before = []
        latest = self._attempt, SentNumbers(found)
        self.settle()  # the step before
        self._sent = latest

    def settle(self) -> None:
        """Read what became of a step that is not read yet; a checkpoint must not be written before.

        Raises:
            NonFiniteError: If the run ends because of it.
        """
        if self._sent is None:
            return
        (attempt, sent), self._sent = self._sent, None
        undone, ends, grad_norm, *losses = sent.read()
        if undone:
            if ends:
                share = share_of(attempt.loaded, losses, self._name)
                raise NonFiniteError(self._end(attempt, share, grad_norm))
            without_clips = [], *attempt.loaded[1:3]  # only names are told
            self._tell(attempt, share_of(without_clips, losses, self._name), grad_norm)

    def _judge(self, grad_norm: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """On the device: whether the step is undone, and the numbers that `settle` reads."""
        losses = torch.stack(self.losses)
        missed = ~grad_norm.detach().isfinite()
        failed = self._is_any_lost(losses) if self._scaler.is_enabled() else missed
        if self._excess is None:
            self._excess, self._ends = torch.zeros_like(missed, dtype=torch.int32), torch.zeros_like(missed)
        self._excess = (self._excess + 2 * missed.int() - 1).clamp(min=0)
        self._ends = self._ends | (self._excess >= MOST_LEFT_OUT) | (failed & self._stops)
        undone = failed | self._ends
        return undone, torch.stack(
            [x.double() for x in (undone, self._ends, grad_norm.detach(), *losses.unbind())]
        )

    @staticmethod
    def _is_any_lost(losses: torch.Tensor) -> torch.Tensor:
        """Whether a loss is not finite in any process."""
        lost = ~losses.isfinite().all()
        if dist.is_initialized():
            count = on_backend(lost.int())
            dist.all_reduce(count)
            lost = (count > 0).to(losses.device)
        return lost

    def _changed_by_a_step(self) -> list[torch.Tensor]:
        """The tensors on the device that `update` changes, but for the model's buffers."""
        weights = [weight for group in self._optimizer.param_groups for weight in group["params"]]
        states = [value for state in self._optimizer.state.values() for value in state.values()]
        averages = [] if self._average is None else [*self._average.parameters(), *self._average.buffers()]
        scale = [getattr(self._scaler, name, None) for name in ("_scale", "_growth_tracker")]
        tensors = [
            value for value in (*weights, *states, *averages, *scale) if isinstance(value, torch.Tensor)
        ]
        return [tensor for tensor in tensors if tensor.device == self.losses[0].device]

    def _name(self, item: int) -> str:
        return self._paths[item] if item < len(self._paths) else f"item {item}"

    def _tell(self, attempt: Attempt, share: Share, grad_norm: float) -> None:
        """Log a step that is left out."""
        shares, self._left_out = gather_in_first(share), self._left_out + 1
        get_host().get_logger(__name__).warning(
            "Step left out (number %d of this run; TRAIN.NONFINITE is 'skip'): %s",
            self._left_out,
            _sentence(attempt, shares, grad_norm) if is_master() else "",
        )

    def _end(self, attempt: Attempt, share: Share, grad_norm: float) -> str:
        """Write the file that repeats the step; returns the sentence with which every process ends."""
        shares, told = gather_in_first(share), ""
        if is_master():
            path = os.path.join(self._cfg.OUTPUT_DIR, "nonfinite_step.pyth")
            step = FailedStep(
                cfg=self._cfg.dump(),
                epoch=attempt.epoch,
                iteration=attempt.iteration,
                grad_norm=grad_norm,
                shares=shares,
                model_state=unwrap(self._model).state_dict(),
                optimizer_state=self._optimizer.state_dict(),
                scaler_state=self._scaler.state_dict(),
            )
            try:
                write_failed_step(step, path)
                file = f"`{as_typed('repeat_step')} {path}` repeats it"
            except OSError as error:
                file = f"cannot be repeated, because {path} could not be written ({reason_of(error)})"
            why = "TRAIN.NONFINITE is 'stop', so the run ends here"
            if not self._stops:
                why = f"{MOST_LEFT_OUT} more steps were left out than taken, so the run ends here"
            told = f"{_sentence(attempt, shares, grad_norm)}; it has changed nothing; {file}; {why}"
        return said_by_first(told)


def _sentence(attempt: Attempt, shares: Sequence[Share], grad_norm: float) -> str:
    """Which step is not finite, in what, and which videos it saw."""
    lost = [share for share in shares if not all(map(math.isfinite, share.losses))]
    values = [loss for share in lost for loss in share.losses if not math.isfinite(loss)]
    what = f"the loss is {values[0]}" if values else f"the norm of the gradient is {grad_norm}"
    videos = list(dict.fromkeys(path for share in lost or shares for path in share.paths))
    where = f"epoch {attempt.epoch + 1}, iteration {attempt.iteration + 1}"
    return f"{what} in {where}, with the videos {first_of(videos, _NAMED)}"


def _count_on_device(optimizer: torch.optim.Optimizer) -> None:
    """Let Adam count its steps on the GPU, where a step that is left out is not counted."""
    for group in optimizer.param_groups:
        if "capturable" in group and group["params"][0].is_cuda:
            group["capturable"] = True
            # PyTorch would warn that no CUDA graph is captured.
            optimizer._warned_capturable_if_run_uncaptured = True


def _copied(tensors) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Each tensor with a copy of it."""
    return [(tensor, tensor.detach().clone()) for tensor in tensors]


def _put_back(undone: torch.Tensor | None, before: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Give tensors the content of their copies; with `undone`, a flag on their device, only if it is true."""
    for tensor, kept in before:
        now = tensor.detach()  # the same memory
        now.copy_(kept if undone is None else torch.where(undone, kept, now))
