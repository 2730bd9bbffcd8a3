"""What is broken in PySlowFast 1.0 (the wheel) on a current stack, and the smallest cure for each.

`tests/slowfast_ext/host/test_wheel_cures.py` has one test for each entry of `WHEEL_CURES`.
"""

from slowfast_ext.host.cures import Cure, cure

WHEEL_CURES: list[Cure] = []


@cure(
    WHEEL_CURES,
    "slowfast.utils.metrics.topks_correct",
    "torch >= 1.7: .view(-1) of a transposed slice raises for every k > 1; fewer classes than k raises too",
)
def mend_topks_correct() -> None:
    from slowfast.utils import metrics

    from slowfast_ext.host.metrics import topks_correct

    metrics.topks_correct = topks_correct


@cure(
    WHEEL_CURES,
    "slowfast.datasets.transform.random_crop",
    "any version: returns a bare tensor when the frames already have the crop's size; callers unpack two",
)
def mend_random_crop() -> None:
    from slowfast.datasets import transform

    original = transform.random_crop

    def random_crop(images, size, boxes=None):
        cropped = original(images, size, boxes)
        return cropped if isinstance(cropped, tuple) else (cropped, boxes)

    transform.random_crop = random_crop


@cure(
    WHEEL_CURES,
    "slowfast.models.model_builder.build_model",
    "any version: builds on CUDA only, asserts that NUM_GPUS devices exist and knows four architectures",
)
def mend_build_model() -> None:
    from slowfast.models import model_builder

    from slowfast_ext.host.wheel import build_model

    model_builder.build_model = build_model


@cure(
    WHEEL_CURES,
    "slowfast.models.optimizer.construct_optimizer",
    "any version: finds batch norms by the letters 'bn' in the name (34 of 40 in a torchvision resnet18), "
    "optimises frozen parameters and has no adamw",
)
def mend_construct_optimizer() -> None:
    from slowfast.models import optimizer

    from slowfast_ext.host.optimizer import construct_optimizer

    optimizer.construct_optimizer = construct_optimizer


@cure(
    WHEEL_CURES,
    "slowfast.utils.lr_policy.lr_func_cosine",
    "any version: has no SOLVER.COSINE_END_LR and no SOLVER.COSINE_AFTER_WARMUP",
)
def mend_lr_func_cosine() -> None:
    from slowfast.utils import lr_policy

    from slowfast_ext.host.optimizer import lr_func_cosine

    lr_policy.lr_func_cosine = lr_func_cosine


@cure(
    WHEEL_CURES,
    "slowfast.datasets.loader.construct_loader",
    "any version: divides by NUM_GPUS, so 0 raises; the sampler repeats videos to fill the last batch",
)
def mend_construct_loader() -> None:
    from slowfast.datasets import loader

    from slowfast_ext.host.loader import construct_loader, shuffle_dataset

    loader.construct_loader, loader.shuffle_dataset = construct_loader, shuffle_dataset


@cure(
    WHEEL_CURES,
    "slowfast.utils.multiprocessing.run",
    "no CUDA: calls torch.cuda.set_device and uses nccl",
)
def mend_multiprocessing_run() -> None:
    from slowfast.utils import multiprocessing

    from slowfast_ext.host.launch import run

    multiprocessing.run = run


@cure(
    WHEEL_CURES,
    "slowfast.utils.distributed.init_process_group",
    "no CUDA: calls torch.cuda.set_device",
)
def mend_init_process_group() -> None:
    from slowfast.utils import distributed

    from slowfast_ext.host.launch import init_process_group

    distributed.init_process_group = init_process_group


@cure(
    WHEEL_CURES,
    "slowfast.utils.bn_helper.compute_and_update_bn_stats",
    "any version: moves batches to CUDA and unpacks three of the loader's four items",
)
def mend_precise_bn() -> None:
    from slowfast.utils import bn_helper

    from slowfast_ext.host.precise_bn import compute_and_update_bn_stats

    bn_helper.compute_and_update_bn_stats = compute_and_update_bn_stats


@cure(
    WHEEL_CURES,
    "slowfast.utils.checkpoint.load_checkpoint",
    "any version: unpickles Caffe2 files without any check, so a downloaded file can run code; "
    "a failed write leaves half a file that later blocks every restart",
)
def mend_checkpoint() -> None:
    from slowfast.utils import checkpoint

    from slowfast_ext.engine.checkpoint import load_checkpoint, save_checkpoint

    checkpoint.load_checkpoint, checkpoint.save_checkpoint = load_checkpoint, save_checkpoint
