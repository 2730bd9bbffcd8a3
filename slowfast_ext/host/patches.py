"""What is broken in PySlowFast 1.0 (the wheel) on a current stack, and the smallest cure for each.

Every patch works in memory: no file of PySlowFast is edited, and every patch can be applied twice. The
patches that stand in for a missing module run before PySlowFast is imported, the others after. `PATCHES`
is the list; `tests/slowfast_ext/host/test_patches.py` has one test for each entry.
"""

import importlib.util
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass

import torch

from vtn.errors import InputError


@dataclass(frozen=True)
class Patch:
    """One cure.

    Attributes:
        name: Module attribute that is replaced or added.
        broken: What goes wrong without it, and with which version.
        apply: Does it; called again, it changes nothing.
    """

    name: str
    broken: str
    apply: Callable[[], None]


PATCHES: list[Patch] = []
STUBS: list[Patch] = []


def _register(target: list[Patch], name: str, broken: str) -> Callable[[Callable[[], None]], Callable]:
    def keep(apply: Callable[[], None]) -> Callable[[], None]:
        target.append(Patch(name, broken, apply))
        return apply

    return keep


class _NeedsDetectron2(torch.nn.Module):
    def __init__(self, *args, **kwargs) -> None:
        super().__init__()
        raise InputError(
            "DETECTION.ENABLE True needs detectron2, which is not installed: see "
            "https://github.com/facebookresearch/detectron2 or set DETECTION.ENABLE False"
        )


@_register(
    STUBS,
    "detectron2.layers.ROIAlign",
    "models/head_helper.py imports detectron2, which is not on PyPI, although only detection uses it",
)
def stub_detectron2() -> None:
    if "detectron2" in sys.modules or importlib.util.find_spec("detectron2") is not None:
        return
    package, layers = types.ModuleType("detectron2"), types.ModuleType("detectron2.layers")
    layers.ROIAlign = _NeedsDetectron2
    package.layers = layers
    sys.modules.update({"detectron2": package, "detectron2.layers": layers})


@_register(
    PATCHES,
    "slowfast.utils.metrics.topks_correct",
    "torch >= 1.7: .view(-1) of a transposed slice raises for every k > 1; fewer classes than k raises too",
)
def patch_topks_correct() -> None:
    from slowfast.utils import metrics

    metrics.topks_correct = topks_correct


def topks_correct(preds: torch.Tensor, labels: torch.Tensor, ks: tuple[int, ...]) -> list[torch.Tensor]:
    """Count the videos whose label is among the k best scores.

    Args:
        preds: Scores or logits, (N, K).
        labels: Class ids, (N,).
        ks: Values of k; one that exceeds K counts every video.

    Returns:
        For every k, a 0-d float tensor.
    """
    if preds.size(0) != labels.size(0):
        raise ValueError(f"{preds.size(0)} predictions for {labels.size(0)} labels")
    best = preds.topk(min(max(ks), preds.size(1)), dim=1).indices
    hits = best.eq(labels.view(-1, 1))
    return [hits[:, :k].any(dim=1).float().sum() for k in ks]


@_register(
    PATCHES,
    "slowfast.datasets.transform.random_crop",
    "any version: returns a bare tensor when the frames already have the crop's size; callers unpack two",
)
def patch_random_crop() -> None:
    from slowfast.datasets import transform

    original = transform.random_crop
    if getattr(original, "returns_pair", False):
        return

    def random_crop(images, size, boxes=None):
        cropped = original(images, size, boxes)
        return cropped if isinstance(cropped, tuple) else (cropped, boxes)

    random_crop.returns_pair = True
    transform.random_crop = random_crop


@_register(
    PATCHES,
    "slowfast.models.model_builder.build_model",
    "any version: builds on CUDA only, asserts that NUM_GPUS devices exist and knows four architectures",
)
def patch_build_model() -> None:
    from slowfast.models import model_builder

    from slowfast_ext.host.wheel import build_model

    model_builder.build_model = build_model


@_register(
    PATCHES,
    "slowfast.models.optimizer.construct_optimizer",
    "any version: finds batch norms by the letters 'bn' in the name (34 of 40 in a torchvision resnet18), "
    "optimises frozen parameters and has no adamw",
)
def patch_construct_optimizer() -> None:
    from slowfast.models import optimizer

    from slowfast_ext.host.optimizer import construct_optimizer

    optimizer.construct_optimizer = construct_optimizer


@_register(
    PATCHES,
    "slowfast.utils.lr_policy.lr_func_cosine",
    "any version: has no SOLVER.COSINE_END_LR and no SOLVER.COSINE_AFTER_WARMUP",
)
def patch_lr_func_cosine() -> None:
    from slowfast.utils import lr_policy

    from slowfast_ext.host.optimizer import lr_func_cosine

    lr_policy.lr_func_cosine = lr_func_cosine


@_register(
    PATCHES,
    "slowfast.datasets.loader.construct_loader",
    "any version: divides by NUM_GPUS, so 0 raises; the sampler repeats videos to fill the last batch",
)
def patch_construct_loader() -> None:
    from slowfast.datasets import loader

    from slowfast_ext.host.loader import construct_loader, shuffle_dataset

    loader.construct_loader, loader.shuffle_dataset = construct_loader, shuffle_dataset


@_register(
    PATCHES,
    "slowfast.utils.multiprocessing.run",
    "no CUDA: calls torch.cuda.set_device and uses nccl",
)
def patch_multiprocessing_run() -> None:
    from slowfast.utils import multiprocessing

    from slowfast_ext.host.launch import run

    multiprocessing.run = run


@_register(
    PATCHES,
    "slowfast.utils.distributed.init_process_group",
    "no CUDA: calls torch.cuda.set_device",
)
def patch_init_process_group() -> None:
    from slowfast.utils import distributed

    from slowfast_ext.host.launch import init_process_group

    distributed.init_process_group = init_process_group


@_register(
    PATCHES,
    "slowfast.utils.bn_helper.compute_and_update_bn_stats",
    "any version: moves batches to CUDA and unpacks three of the loader's four items",
)
def patch_precise_bn() -> None:
    from slowfast.utils import bn_helper

    from slowfast_ext.host.precise_bn import compute_and_update_bn_stats

    bn_helper.compute_and_update_bn_stats = compute_and_update_bn_stats


@_register(
    PATCHES,
    "slowfast.utils.checkpoint.load_checkpoint",
    "any version: unpickles Caffe2 files without any check, so a downloaded file can run code; "
    "a failed write leaves half a file that later blocks every restart",
)
def patch_checkpoint() -> None:
    from slowfast.utils import checkpoint

    from slowfast_ext.engine.checkpoint import load_checkpoint, save_checkpoint

    checkpoint.load_checkpoint, checkpoint.save_checkpoint = load_checkpoint, save_checkpoint


def apply_stubs() -> None:
    """Stand in for modules that cannot be installed; call before anything of PySlowFast is imported."""
    for stub in STUBS:
        stub.apply()


def apply_patches() -> None:
    """Cure PySlowFast 1.0; call after the stubs."""
    for patch in PATCHES:
        patch.apply()
