"""Modules that PySlowFast imports and nobody can install: stand-ins, put in place before it is imported."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import distributed as dist
from torch import nn

from slowfast_ext.host.cures import Cure, apply_cures, cure
from vtn.errors import InputError

_EVERY: list[Cure] = []
_GIT: list[Cure] = []


def prepare_wheel_import() -> None:
    """Make the wheel importable."""
    apply_cures(_EVERY)


def prepare_git_import(root: Path) -> None:
    """Make PySlowFast main importable.

    Args:
        root: Folder that holds main's package `slowfast`, and in a checkout `tools` and `ava_evaluation` too.
    """
    _MetaPackage.root = root
    apply_cures([*_EVERY, *_GIT])


def _lacks(module: str, *names: str) -> Callable[[], bool]:
    """A test whether a module, or one of these names in it, cannot be imported."""

    def lacks() -> bool:
        try:
            found = importlib.import_module(module)
        except ImportError:
            return True
        return any(not hasattr(found, name) for name in names)

    return lacks


def _not_installed(package: str) -> Callable[[], bool]:
    return lambda: package not in sys.modules and importlib.util.find_spec(package) is None


def _add_module(name: str, **attributes: Any) -> None:
    """Put a module with these attributes where `import` finds it, and into its parent."""
    module = ModuleType(name)
    vars(module).update(attributes)
    sys.modules[name] = module
    parent, _, leaf = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], leaf, module)


class _NeedsDetectron2(nn.Module):
    def __init__(self, *args, **kwargs) -> None:
        super().__init__()
        raise InputError(
            "DETECTION.ENABLE True and DEMO.ENABLE True need detectron2, which is not installed: see "
            "https://github.com/facebookresearch/detectron2 or set them to False"
        )


@cure(
    _EVERY,
    "detectron2.layers.ROIAlign",
    "models/head_helper.py imports detectron2, which is not on PyPI, although only detection uses it",
    present=_not_installed("detectron2"),
)
def stand_in_for_detectron2() -> None:
    _add_module("detectron2", __path__=[])
    _add_module("detectron2.layers", ROIAlign=_NeedsDetectron2)
    # tools/run_net.py of main also imports its demo, and that these.
    _add_module("detectron2.model_zoo")
    _add_module("detectron2.config", get_cfg=_NeedsDetectron2)
    _add_module("detectron2.engine", DefaultPredictor=_NeedsDetectron2)
    _add_module("detectron2.utils", __path__=[])
    _add_module("detectron2.utils.visualizer", Visualizer=_NeedsDetectron2)


class _LocalGroup:
    """The group of the processes on this machine, kept as PySlowFast main's own pytorchvideo keeps it."""

    group: dist.ProcessGroup | None = None


def cat_all_gather(tensor: torch.Tensor, local: bool = False) -> torch.Tensor:
    """Concatenate tensors of all processes, or of those on this machine; their shapes must be equal."""
    group = _LocalGroup.group if local else None
    shares = [torch.zeros_like(tensor) for _ in range(dist.get_world_size(group))]
    dist.all_gather(shares, tensor, group=group)
    return torch.cat(shares)


def get_local_process_group() -> dist.ProcessGroup:
    """Processes of this machine."""
    if _LocalGroup.group is None:
        raise RuntimeError("init_distributed_training was not called")
    return _LocalGroup.group


def get_local_rank() -> int:
    """Number of this process on its machine."""
    return dist.get_rank(_LocalGroup.group) if dist.is_initialized() else 0


def get_local_size() -> int:
    """Processes on this machine."""
    return dist.get_world_size(_LocalGroup.group) if dist.is_initialized() else 1


def init_distributed_training(num_gpus: int, shard_id: int) -> None:
    """Make a process group of each machine.

    Args:
        num_gpus: Processes on each machine.
        shard_id: This machine, from 0.
    """
    if num_gpus <= 1:
        return
    for machine in range(dist.get_world_size() // num_gpus):
        group = dist.new_group(list(range(machine * num_gpus, (machine + 1) * num_gpus)))
        if machine == shard_id:
            _LocalGroup.group = group


_DISTRIBUTED = (
    cat_all_gather,
    get_local_process_group,
    get_local_rank,
    get_local_size,
    init_distributed_training,
)


@cure(
    _GIT,
    "pytorchvideo.layers.distributed",
    "utils/distributed.py imports five names that no release of pytorchvideo has",
    present=_lacks("pytorchvideo.layers.distributed", *(function.__name__ for function in _DISTRIBUTED)),
)
def add_distributed_names() -> None:
    module = importlib.import_module("pytorchvideo.layers.distributed")
    for function in _DISTRIBUTED:
        if not hasattr(module, function.__name__):
            setattr(module, function.__name__, function)


class SoftTargetCrossEntropyLoss(nn.Module):
    """Cross entropy with a distribution over the classes as target, for mixup.

    Args:
        ignore_index: Class that counts for nothing.
        reduction: "mean" over the batch, or "none".
        normalize_targets: Divide each target by its sum.
    """

    def __init__(
        self, ignore_index: int = -100, reduction: str = "mean", normalize_targets: bool = True
    ) -> None:
        super().__init__()
        if reduction not in ("mean", "none"):
            raise InputError(f"reduction is {reduction!r}: it must be 'mean' or 'none'")
        self.ignore_index, self.reduction, self.normalize_targets = ignore_index, reduction, normalize_targets

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Logits (N, K) and class ids (N,) or distributions (N, K) to a number, or (N,)."""
        if targets.ndim == 1:
            targets = nn.functional.one_hot(targets, logits.shape[1])
        targets = targets.to(logits.dtype)
        if 0 <= self.ignore_index < logits.shape[1]:
            targets = targets.clone()
            targets[:, self.ignore_index] = 0
        if self.normalize_targets:
            targets = targets / (targets.sum(dim=1, keepdim=True) + 1e-8)
        losses = -(targets * logits.log_softmax(dim=1)).sum(dim=1)
        return losses.mean() if self.reduction == "mean" else losses


@cure(
    _GIT,
    "pytorchvideo.losses.soft_target_cross_entropy",
    "models/losses.py imports it; no release of pytorchvideo has it",
    present=_lacks("pytorchvideo.losses.soft_target_cross_entropy"),
)
def add_soft_target_cross_entropy() -> None:
    importlib.import_module("pytorchvideo")
    if "pytorchvideo.losses" not in sys.modules:
        _add_module("pytorchvideo.losses", __path__=[])
    _add_module(
        "pytorchvideo.losses.soft_target_cross_entropy", SoftTargetCrossEntropyLoss=SoftTargetCrossEntropyLoss
    )


class _MetaPackage:
    """What stands in for the private package that main's tools import: the checkout itself."""

    root = Path()


@cure(
    _GIT,
    "vision.fair.slowfast",
    "tools/run_net.py and utils/ava_eval_helper.py import a package that is not public",
    present=_lacks("vision.fair.slowfast"),
)
def stand_in_for_vision_fair() -> None:
    for name in ("vision", "vision.fair"):
        if name not in sys.modules:
            _add_module(name, __path__=[])
    _add_module("vision.fair.slowfast", __path__=[str(_MetaPackage.root)])
    if not (_MetaPackage.root / "ava_evaluation").is_dir():
        # Installed by pip, main comes without it; only the evaluation of AVA uses the two.
        _add_module(
            "vision.fair.slowfast.ava_evaluation", object_detection_evaluation=None, standard_fields=None
        )


@cure(
    _GIT,
    "torchvision.transforms.functional_tensor",
    "pytorchvideo.transforms, for datasets/ptv_datasets.py: renamed in torchvision 0.17",
    present=_lacks("torchvision.transforms.functional_tensor"),
)
def restore_functional_tensor() -> None:
    module = importlib.import_module("torchvision.transforms._functional_tensor")
    sys.modules["torchvision.transforms.functional_tensor"] = module
