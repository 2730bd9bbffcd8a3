"""What is broken in PySlowFast 1.0 (the wheel) on a current stack, and the smallest cure for each.

`tests/slowfast_ext/host/test_wheel_cures.py` has one test for each entry of `WHEEL_CURES`.
"""

import torch
from slowfast.datasets import transform
from slowfast.models import model_builder, optimizer
from slowfast.utils import bn_helper, checkpoint, distributed, metrics, multiprocessing
from torch import nn

from slowfast_ext.distributed import join_group, run_process
from slowfast_ext.host import checkpoint as our_checkpoint
from slowfast_ext.host.cures import Cure, cure, fails, mentions
from slowfast_ext.host.metrics import topks_correct
from slowfast_ext.host.optimizer import construct_optimizer
from slowfast_ext.host.precise_bn import compute_and_update_bn_stats

WHEEL_CURES: list[Cure] = []


@cure(
    WHEEL_CURES,
    "slowfast.utils.metrics.topks_correct",
    "torch >= 1.7: .view(-1) of a transposed slice raises for every k > 1; fewer classes than k raises too",
    present=lambda: fails(lambda: metrics.topks_correct(torch.eye(3), torch.arange(3), (1, 5))),
)
def mend_topks_correct() -> None:
    metrics.topks_correct = topks_correct


@cure(
    WHEEL_CURES,
    "slowfast.datasets.transform.random_crop",
    "any version: returns a bare tensor when the frames already have the crop's size; callers unpack two",
    present=lambda: isinstance(transform.random_crop(torch.zeros(1, 3, 2, 2), 2), torch.Tensor),
)
def mend_random_crop() -> None:
    original = transform.random_crop

    def random_crop(images, size, boxes=None):
        cropped = original(images, size, boxes)
        return cropped if isinstance(cropped, tuple) else (cropped, boxes)

    transform.random_crop = random_crop


@cure(
    WHEEL_CURES,
    "slowfast.models.model_builder.build_model",
    "any version: builds on CUDA only, asserts that NUM_GPUS devices exist and knows four architectures",
    present=lambda: mentions(model_builder.build_model, "torch.cuda.current_device"),
)
def mend_build_model() -> None:
    from slowfast_ext.host.wheel_models import build_model

    model_builder.build_model = build_model


@cure(
    WHEEL_CURES,
    "slowfast.models.optimizer.construct_optimizer",
    "any version: finds batch norms by the letters 'bn' in the name (34 of 40 in a torchvision resnet18), "
    "optimises frozen parameters and has no adamw",
    # Read, not tried: PyTorch loads its compiler with the first optimizer.
    present=lambda: mentions(optimizer.construct_optimizer, '"bn" in name'),
)
def mend_construct_optimizer() -> None:
    optimizer.construct_optimizer = construct_optimizer


@cure(
    WHEEL_CURES,
    "slowfast.utils.multiprocessing.run",
    "any version: processes on a CPU call torch.cuda.set_device too, and use nccl",
    present=lambda: mentions(multiprocessing.run, "torch.cuda.set_device"),
)
def mend_multiprocessing_run() -> None:
    multiprocessing.run = run_process


@cure(
    WHEEL_CURES,
    "slowfast.utils.distributed.init_process_group",
    "any version: processes on a CPU call torch.cuda.set_device too",
    present=lambda: mentions(distributed.init_process_group, "torch.cuda.set_device"),
)
def mend_init_process_group() -> None:
    def init_process_group(
        local_rank, local_world_size, shard_id, num_shards, init_method, dist_backend="nccl"
    ):
        on_gpu = torch.cuda.is_available() and dist_backend != "gloo"
        if on_gpu:
            torch.cuda.set_device(local_rank)
        backend = dist_backend if on_gpu else "gloo"
        join_group(local_rank, local_world_size, shard_id, num_shards, init_method, backend)

    distributed.init_process_group = init_process_group


def _cannot_take_four_items() -> bool:
    batches = [([torch.zeros(2, 1)], 0, 0, {})]
    model = nn.Sequential(nn.BatchNorm1d(1))
    return fails(lambda: bn_helper.compute_and_update_bn_stats(model, batches, 1))


@cure(
    WHEEL_CURES,
    "slowfast.utils.bn_helper.compute_and_update_bn_stats",
    "any version: moves batches to CUDA and unpacks three of the loader's four items",
    present=_cannot_take_four_items,
)
def mend_precise_bn() -> None:
    bn_helper.compute_and_update_bn_stats = compute_and_update_bn_stats


@cure(
    WHEEL_CURES,
    "slowfast.utils.checkpoint.load_checkpoint",
    "any version: unpickles Caffe2 files without any check, so a downloaded file can run code; "
    "a failed write leaves half a file that later blocks every restart",
    present=lambda: mentions(checkpoint.load_checkpoint, "pickle.load("),
)
def mend_checkpoint() -> None:
    checkpoint.load_checkpoint = our_checkpoint.restore_checkpoint
    checkpoint.save_checkpoint = our_checkpoint.save_checkpoint
