"""A GPU that need not be there: what is copied to it and from it, and read."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

GPU = torch.device("cuda", 0)
_READ = torch.ops.aten._local_scalar_dense.default
_COPIES = {torch.ops.aten._to_copy.default: 0, torch.ops.aten.copy_.default: 1}  # which argument is copied


class Copies(TorchDispatchMode):
    """Counts copies between devices.

    Args:
        readable: A number on the CPU, such as the steps of Adam, may be read: it is 1.

    Attributes:
        made: From where to where.
        waited_for: Those that the processor waits for.
    """

    def __init__(self, *, readable: bool) -> None:
        super().__init__()
        self.made, self.waited_for, self._readable = [], [], readable

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is _READ and self._readable and args[0].device.type == "cpu":
            return 1
        result = func(*args, **(kwargs or {}))
        if func in _COPIES:
            source = args[_COPIES[func]].device.type
            if source != result.device.type:
                self.made.append((source, result.device.type))
                goes_on = (kwargs or {}).get("non_blocking") or True in args[2:]
                self.waited_for += [] if goes_on else self.made[-1:]
        return result


class Caught:
    """In the place of what sends numbers from the device."""

    def __init__(self, numbers: torch.Tensor) -> None:
        assert numbers.device == GPU
        assert numbers.shape[0] >= 4  # of one part of a batch

    def read(self) -> list[float]:
        """The step was finite."""
        return [0.0, 0.0, 1.0, 1.0]


def moved(model: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """The model without values, on a device that need not be there."""
    for module in model.modules():
        for table, wrap in ((module._parameters, torch.nn.Parameter), (module._buffers, None)):
            for name, tensor in table.items():
                if tensor is not None:
                    empty = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
                    table[name] = wrap(empty, tensor.requires_grad) if wrap else empty
    return model
