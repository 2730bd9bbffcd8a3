"""Weights of PySlowFast's model zoo in Caffe2's format, read without running code from the file."""

import io
import pickle
from collections import OrderedDict
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from vtn.errors import InputError


class _NumpyOnlyUnpickler(pickle.Unpickler):
    """Reads a pickle of arrays, numbers, strings, dicts and lists; any other object is refused, not built."""

    _ALLOWED: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy", "dtype"): np.dtype,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
        ("numpy.core.multiarray", "scalar"): np._core.multiarray.scalar,
        ("numpy._core.multiarray", "scalar"): np._core.multiarray.scalar,
        ("collections", "OrderedDict"): OrderedDict,
        ("_codecs", "encode"): lambda text, encoding="latin1": text.encode("latin1"),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which could run code")
        return self._ALLOWED[module, name]


def read_caffe2(path: str, model: nn.Module) -> dict[str, torch.Tensor]:
    """Weights of a Caffe2 file under PyTorch names; momenta and counters of the trainer are left out."""
    from slowfast.utils.c2_model_loading import get_name_convert_func

    try:
        with open(path, "rb") as file:
            tree = _NumpyOnlyUnpickler(io.BytesIO(file.read()), encoding="latin1").load()
        blobs = dict(tree["blobs"])
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except Exception as error:  # a pickle can fail in any way; the reason is in the message
        raise InputError(f"{path}: not a Caffe2 checkpoint of PySlowFast ({error})") from None
    convert = get_name_convert_func()
    expected = model.state_dict()
    named = {convert(name): torch.as_tensor(np.asarray(blob)) for name, blob in blobs.items()}
    trainer = ("momentum", "lr", "model_iter")
    state = {n: blob for n, blob in named.items() if n in expected or not any(word in n for word in trainer)}
    # Caffe2 does not count batches; PyTorch keeps such a counter in every batch norm.
    return {n: t for n, t in expected.items() if n.endswith("num_batches_tracked")} | state
