"""What the steps of a pass count: kept on the device and read together, because reading makes a GPU wait."""

from dataclasses import dataclass

import torch
from torch import distributed as dist

from slowfast_ext.distributed import on_backend
from slowfast_ext.host import get_host


@dataclass(frozen=True)
class Counted:
    """One step.

    Attributes:
        top1_error, top5_error: Percent.
        loss: Mean over the videos; NaN where none was counted.
        grad_norm: Norm of the gradient before clipping.
        videos: Of all processes, where those are summed.
    """

    top1_error: float
    top5_error: float
    loss: float
    grad_norm: float
    videos: int


class Tally:
    """Counts the videos of each step, in one or several parts.

    Args:
        all_processes: Sum over them when the steps are read; all then take the same number of steps.
    """

    def __init__(self, *, all_processes: bool) -> None:
        self._all_processes = all_processes
        self._parts: list[torch.Tensor] = []
        self._steps: list[torch.Tensor] = []

    def count(self, logits: torch.Tensor, labels: torch.Tensor, loss: torch.Tensor | None = None) -> None:
        """Count a part of a step.

        Args:
            logits: (N, K), or scores.
            labels: Class ids, (N,).
            loss: Mean over the N videos.
        """
        logits = logits.detach()
        videos = logits.new_full((), len(logits), dtype=torch.float64)
        loss = torch.full_like(videos, float("nan")) if loss is None else loss.detach()
        hits = get_host().topks_correct(logits, labels, (1, 5))
        self._parts.append(torch.stack([*(hit.double() for hit in hits), loss.double() * videos, videos]))

    def end_step(self, grad_norm: torch.Tensor | None = None) -> None:
        """The parts since the last call are one step."""
        counts, self._parts = torch.stack(self._parts).sum(0), []
        norm = torch.full_like(counts[0], float("nan")) if grad_norm is None else grad_norm.detach().double()
        self._steps.append(torch.cat([counts, norm[None]]))

    def read(self) -> list[Counted]:
        """The steps since the last call; a GPU finishes them first."""
        if not self._steps:
            return []
        steps, self._steps = torch.stack(self._steps), []
        counts, norms = steps[:, :4], steps[:, 4:]
        if self._all_processes and dist.is_initialized():
            counts = on_backend(counts.contiguous())
            dist.all_reduce(counts)
        rows = torch.cat([counts, norms.to(counts.device)], dim=1).tolist()
        return [
            Counted(100.0 * (1 - top1 / count), 100.0 * (1 - top5 / count), loss / count, norm, int(count))
            for top1, top5, loss, count, norm in rows
        ]
