"""Multiply-adds of one view, counted without computing it.

The model is copied to PyTorch's meta device, so a 250-frame SlowFast takes seconds and no memory, and every
operator that runs is seen, fused attention included. One multiply-add counts as one, as in PySlowFast and in
the paper's table 4. The paper's numbers are those of convolutions and linear layers; products of two
activations (attention, non-local blocks) are reported beside them. Operators without a formula (norms,
softmax, additions, pooling …) are not forgotten but listed, with their size.
"""

import copy
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from fvcore.common.config import CfgNode
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from slowfast_ext.config import load_config
from slowfast_ext.models import build_on_meta
from slowfast_ext.video.sampling import slow_pathway_indices


def _fused_attention_flops(query_shape, key_shape, value_shape, *args, **kwargs) -> int:
    return sdpa_flop_count(query_shape, key_shape, value_shape)


# PyTorch's counter knows the fused attention of GPUs, not that of CPUs, where some encoders must be run.
_MORE_FORMULAS = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _fused_attention_flops}


@dataclass(frozen=True)
class Uncounted:
    """An operator that has no formula, so that its arithmetic is in no count.

    Attributes:
        operator: PyTorch's name of it, such as "native_layer_norm".
        calls: How often it ran.
        elements: Numbers that it gave out, of all calls together.
    """

    operator: str
    calls: int
    elements: int


@dataclass(frozen=True)
class FlopCount:
    """Multiply-adds of one forward pass, in units of 1e9.

    Attributes:
        conv_linear: Convolutions and linear layers.
        products: Matrix products of two activations: attention and non-local blocks.
        operators: Operators with a formula, by name, with their share of the two above.
        parts: The model's direct submodules, by name, with their share of conv_linear.
        uncounted: Operators without a formula, largest first; views and fresh memory are left out.
    """

    conv_linear: float
    products: float
    operators: Mapping[str, float]
    parts: Mapping[str, float]
    uncounted: tuple[Uncounted, ...]

    @property
    def total(self) -> float:
        """All that is counted."""
        return self.conv_linear + self.products


def view_shape(cfg: CfgNode, *, train: bool) -> tuple[int, int]:
    """Frames and crop size of one training clip, or of one view of the configured test protocol."""
    if train:
        return cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE
    frames = cfg.TRAIN.EVAL_NUM_FRAMES if cfg.TRAIN.EVAL_FULL_VIDEO else cfg.DATA.NUM_FRAMES
    return frames, cfg.DATA.TEST_CROP_SIZE


def example_inputs(cfg: CfgNode, num_frames: int, crop_size: int, device: str = "cpu") -> list[torch.Tensor]:
    """Inputs of one view, batch 1, packed as the data set packs them for this model."""
    clip = torch.zeros(1, 3, num_frames, crop_size, crop_size, device=device)
    if cfg.MODEL.ARCH in cfg.MODEL.MULTI_PATHWAY_ARCH:
        slow = slow_pathway_indices(num_frames, alpha=cfg.SLOWFAST.ALPHA)
        return [clip[:, :, : len(slow)], clip]
    return [clip]


def count_flops(model: nn.Module, inputs: list[torch.Tensor]) -> FlopCount:
    """Count one evaluation-mode forward pass of `model(inputs)`.

    Args:
        model: Any module; it is not changed.
        inputs: Only the shapes matter.
    """
    # PyTorch hooks onto the gradient of whatever has one, which fails for a parameter that is expanded.
    twin = copy.deepcopy(model).to("meta").eval().requires_grad_(False)
    inputs = [x.to("meta") for x in inputs]
    counter = FlopCounterMode(display=False, custom_mapping=_MORE_FORMULAS)
    # The counter comes last: it takes composite operators apart, and the recorder sees what is left.
    with torch.no_grad(), _UncountedOperators(counter.flop_registry) as recorder, counter:
        twin(inputs)
    counts = counter.get_flop_counts()
    operators = {_name(op): flops / 2e9 for op, flops in counts.get("Global", {}).items()}
    parts = {name: counts.get(f"{type(twin).__name__}.{name}", {}) for name, _ in twin.named_children()}
    return FlopCount(
        conv_linear=sum(n for name, n in operators.items() if not _is_product(name)),
        products=sum(n for name, n in operators.items() if _is_product(name)),
        operators=operators,
        parts={
            part: sum(flops for op, flops in by_operator.items() if not _is_product(_name(op))) / 2e9
            for part, by_operator in parts.items()
        },
        uncounted=recorder.found(),
    )


class _UncountedOperators(TorchDispatchMode):
    """Record every operator that runs and has no formula."""

    def __init__(self, formulas: Mapping) -> None:
        super().__init__()
        self._formulas = formulas
        self._seen: dict[str, tuple[int, int]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        if tensors and func._overloadpacket not in self._formulas and not _computes_nothing(func):
            name = _name(func._overloadpacket)
            calls, elements = self._seen.get(name, (0, 0))
            # Only the first output: the others are statistics or indices on the side.
            self._seen[name] = (calls + 1, elements + tensors[0].numel())
        return out

    def found(self) -> tuple[Uncounted, ...]:
        """What was seen, largest first."""
        found = [Uncounted(name, *seen) for name, seen in self._seen.items()]
        return tuple(sorted(found, key=lambda use: (-use.elements, use.operator)))


def _computes_nothing(func) -> bool:
    """True for views, which only look at memory in another way, and for memory as it is found."""
    aliases = [result.alias_info for result in func._schema.returns]
    is_view = any(alias is not None and not alias.is_write for alias in aliases)
    name = _name(func._overloadpacket)
    return is_view or name == "_unsafe_view" or "empty" in name


def _name(operator) -> str:
    """The bare name: "add" for aten.add."""
    return str(operator).split("::")[-1].removeprefix("aten.")


def _is_product(name: str) -> bool:
    """True for products of two activations; a linear layer runs as mm or addmm, a convolution as itself."""
    return "bmm" in name or "attention" in name


def count_parameters(model: nn.Module) -> int:
    """All parameters, trained or not."""
    return sum(parameter.numel() for parameter in model.parameters())


def load_on_meta(path: str | Path, overrides: Sequence[str] = ()) -> tuple[CfgNode, nn.Module]:
    """Load a configuration and build its model without memory; nothing is downloaded.

    Args:
        path: The YAML file.
        overrides: Keys and values in turn.

    Returns:
        The configuration, and the model with all parameters on the meta device.
    """
    cfg = load_config(path, ["NUM_GPUS", "0", "OUTPUT_DIR", tempfile.gettempdir(), *overrides])
    return cfg, build_on_meta(cfg)


def num_views(cfg: CfgNode) -> int:
    """Views of one video in the configured test protocol."""
    return cfg.TEST.NUM_ENSEMBLE_VIEWS * cfg.TEST.NUM_SPATIAL_CROPS
