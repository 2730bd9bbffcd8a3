"""What the processes of a training send each other in each step: counted, and said once in the log.

Legend: N processes, S bytes of gradients.
"""

from dataclasses import asdict, dataclass

from torch import nn

from slowfast_ext.distributed import device_of, is_master, unwrap, world_size
from slowfast_ext.host import get_host


@dataclass(frozen=True)
class Exchange:
    """What a step exchanges, under the names that json_stats has.

    Attributes:
        num_processes: N.
        gradient_bytes: S: of the trained weights, in the type in which they travel.
        sent_bytes: What a process sends, and receives, to average them: 2 (N - 1) / N times S. So many are
            needed, and a ring needs no more (Patarasuk and Yuan 2009, doi:10.1016/j.jpdc.2008.09.002).
        buffer_bytes: Running statistics that the first process sends to each of the others.
    """

    num_processes: int
    gradient_bytes: int
    sent_bytes: int
    buffer_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.num_processes} processes exchange {self.gradient_bytes:,} bytes of gradients in each "
            f"step: each sends and receives {self.sent_bytes:,} (a ring); the first sends "
            f"{self.buffer_bytes:,} bytes of buffers to each of the others"
        )


def count_exchange(model: nn.Module, num_processes: int, *, halved: bool = False) -> Exchange:
    """Count what DistributedDataParallel exchanges in a step, in however many parts its batch is computed.

    Args:
        model: Wrapped or not.
        num_processes: N.
        halved: Gradients travel as float16 (MODEL.FP16_ALLREDUCE of PySlowFast main).
    """
    trained = [weight for weight in unwrap(model).parameters() if weight.requires_grad]
    size = sum(weight.numel() * (2 if halved else weight.element_size()) for weight in trained)
    buffers = sum(buffer.numel() * buffer.element_size() for buffer in unwrap(model).buffers())
    return Exchange(num_processes, size, 2 * (num_processes - 1) * size // num_processes, buffers)


def log_exchange(model: nn.Module, cfg) -> None:
    """Log what each step exchanges, in the first of several processes."""
    if not (is_master() and isinstance(model, nn.parallel.DistributedDataParallel)):
        return
    halved = cfg.MODEL.get("FP16_ALLREDUCE", False) and device_of(cfg).type == "cuda"
    found = count_exchange(model, world_size(cfg), halved=halved and get_host().NAME == "git")
    get_host().get_logger(__name__).info("Exchange: %s", found)
    get_host().log_json_stats({"_type": "exchange", **asdict(found)})
