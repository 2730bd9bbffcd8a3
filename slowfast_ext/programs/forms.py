"""The two forms of a program: how it is written, and how the file is run again.

Legend: a program is a module with the inputs that it is traced with; its sizes that may change have names.
"""

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from slowfast_ext.programs.facts import ENTRY
from vtn.errors import InputError
from vtn.weight_files import whole_file

Run = Callable[..., list[torch.Tensor]]
OPSETS = range(18, 24)  # those that torch.onnx.export writes by itself: others it would convert, or try to
DEFAULT_OPSET = 20
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_LARGEST_ONNX = 2**31 - 2**24  # bytes; protobuf ends at 2 GiB, and the graph needs some


@dataclass(frozen=True)
class Program:
    """A part of a model that is written.

    Attributes:
        name: Of the file, without its suffix.
        module: In evaluation mode, on the CPU.
        inputs: Examples by name; no size that may change is 0 or 1.
        sizes: Of each input, the names of the dimensions that may change, by their number.
        outputs: Names.
    """

    name: str
    module: nn.Module
    inputs: Mapping[str, torch.Tensor]
    sizes: tuple[Mapping[int, str], ...]
    outputs: tuple[str, ...]

    def dynamic_shapes(self) -> tuple[dict[int, torch.export.Dim], ...]:
        """As torch.export takes them: one Dim for each name."""
        names = {name for sizes in self.sizes for name in sizes.values()}
        dims = {name: torch.export.Dim(name, min=1) for name in sorted(names)}
        return tuple({number: dims[name] for number, name in sizes.items()} for sizes in self.sizes)


class Form(Protocol):
    """A kind of file."""

    suffix: str

    def software(self) -> dict[str, str]:
        """Versions of what writes it."""

    def write(self, program: Program, facts: str, path: Path) -> None:
        """Write a program with its facts.

        Raises:
            OSError: If the file cannot be written.
            InputError: If it would be too large.
        """

    def load(self, path: Path, program: Program) -> Run:
        """The program of a file, which takes the inputs in order and gives the outputs in order."""


class TorchForm:
    """A program of torch.export, .pt2."""

    suffix = ".pt2"

    def software(self) -> dict[str, str]:
        """As Form."""
        return {}

    def write(self, program: Program, facts: str, path: Path) -> None:
        """As Form."""
        with torch.no_grad(), _quietly():
            inputs, sizes = tuple(program.inputs.values()), program.dynamic_shapes()
            exported = torch.export.export(program.module, inputs, dynamic_shapes=sizes)
            for node in exported.graph.nodes:
                node.meta.pop("stack_trace", None)  # files of this machine
            content = io.BytesIO()
            torch.export.save(exported, content, extra_files={ENTRY: facts})
        with whole_file(path) as file:
            file.write(content.getbuffer())

    def load(self, path: Path, program: Program) -> Run:
        """As Form."""
        module = torch.export.load(path).module()
        return lambda *inputs: list(_as_tuple(module(*inputs)))


class OnnxForm:
    """An ONNX file, run by onnxruntime.

    Args:
        opset: The version of ONNX's operators.

    Raises:
        InputError: If a package is missing, or the opset is none that can be written.
    """

    suffix = ".onnx"

    def __init__(self, opset: int | None = None) -> None:
        opset = DEFAULT_OPSET if opset is None else opset
        if opset not in OPSETS:
            raise InputError(
                f"--opset is {opset}: torch.onnx writes {OPSETS.start} to {OPSETS.stop - 1}; leave it out "
                f"for {DEFAULT_OPSET}"
            )
        missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
        if missing:
            raise InputError(
                f"--to onnx needs packages that are not installed: type `pip install {' '.join(missing)}`"
            )
        self._opset = opset

    def software(self) -> dict[str, str]:
        """As Form."""
        return {name: metadata.version(name) for name in _PACKAGES}

    def write(self, program: Program, facts: str, path: Path) -> None:
        """As Form."""
        size = sum(value.nbytes for value in program.module.state_dict().values())
        if size > _LARGEST_ONNX:
            raise InputError(
                f"the {program.name} has {size / 2**30:.1f} GiB of weights, and an ONNX file holds less than "
                "2: write it with --to torch"
            )
        with torch.no_grad(), _quietly():
            proto = torch.onnx.export(
                program.module,
                tuple(program.inputs.values()),
                dynamo=True,
                verbose=False,
                external_data=False,
                opset_version=self._opset,
                input_names=list(program.inputs),
                output_names=list(program.outputs),
                dynamic_shapes=program.dynamic_shapes(),
            ).model_proto
        for described in (*proto.graph.node, *proto.graph.value_info, *proto.graph.initializer):
            del described.metadata_props[:]  # files of this machine
        proto.metadata_props.add(key=ENTRY, value=facts)
        with whole_file(path) as file:
            file.write(proto.SerializeToString())

    def load(self, path: Path, program: Program) -> Run:
        """As Form."""
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

        def run(*inputs: torch.Tensor) -> list[torch.Tensor]:
            named = {name: value.numpy() for name, value in zip(program.inputs, inputs, strict=True)}
            return [torch.from_numpy(value) for value in session.run(list(program.outputs), named)]

        return run


def _as_tuple(outputs: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporters' remarks on their own work."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
