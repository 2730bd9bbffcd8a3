"""Checkpoints of PySlowFast main: written whole, read without running code from them."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from slowfast.utils import checkpoint as cu
from torch import optim

from slowfast_ext.distributed import unwrap
from slowfast_ext.host.checkpoint import newest_checkpoint, restore_checkpoint
from slowfast_ext.host.cures import Cure, cure, mentions
from vtn.errors import InputError

CHECKPOINT_CURES: list[Cure] = []
# What main adds to the groups of its optimizers, and other files lack.
_MAINS_ENTRIES = ("layer_decay", "apply_LARS")


def require_file(path: str | None) -> None:
    """Refuse a checkpoint that is not there; addresses of stores are left to main."""
    if "://" not in str(path) and not os.path.isfile(path or ""):
        raise InputError(f"checkpoint {path}: no such file")


@contextlib.contextmanager
def keeping_mains_entries(optimizer: optim.Optimizer | None) -> Iterator[None]:
    """Within, a state may be loaded into the optimizer; afterwards its groups have main's entries again."""
    groups = [dict(group, params=None) for group in optimizer.param_groups] if optimizer else []
    yield
    for group, before in zip(optimizer.param_groups if optimizer else (), groups, strict=True):
        for name in _MAINS_ENTRIES:
            if name in before:
                group.setdefault(name, before[name])


@cure(
    CHECKPOINT_CURES,
    "slowfast.utils.checkpoint.load_checkpoint",
    "any version: unpickles Caffe2 files without any check, so a downloaded file can run code; needs entries "
    "of the optimizer that other files lack",
    present=lambda: mentions(cu.load_checkpoint, "pickle.load("),
)
def mend_load_checkpoint() -> None:
    original = cu.load_checkpoint

    def load_checkpoint(
        path_to_checkpoint, model, data_parallel=True, optimizer=None, scaler=None, **options
    ):
        require_file(path_to_checkpoint)
        with keeping_mains_entries(optimizer):
            if options.get("convert_from_caffe2"):
                return restore_checkpoint(path_to_checkpoint, unwrap(model), convert_from_caffe2=True)
            return original(path_to_checkpoint, model, data_parallel, optimizer, scaler, **options)

    cu.load_checkpoint = load_checkpoint


@cure(
    CHECKPOINT_CURES,
    "slowfast.utils.checkpoint.save_checkpoint",
    "any version: an interrupted write leaves half a file that blocks every restart",
    present=lambda: mentions(cu.save_checkpoint, 'open(path_to_checkpoint, "wb")'),
)
def mend_save_checkpoint() -> None:
    original = cu.save_checkpoint

    def save_checkpoint(path_to_job, model, optimizer, epoch, cfg, scaler=None):
        if "://" in path_to_job:  # a store of iopath's, which replaces whole objects by itself
            return original(path_to_job, model, optimizer, epoch, cfg, scaler)
        # main chooses the name; the file moves to its place when it is whole.
        part = original(os.path.join(path_to_job, ".unfinished"), model, optimizer, epoch, cfg, scaler)
        if part is None:
            return None
        path = cu.get_path_to_checkpoint(path_to_job, epoch + 1, cfg.TASK)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
        return path

    cu.save_checkpoint = save_checkpoint


def _takes_half_a_file() -> bool:
    """Whether the newest checkpoint of a run is an empty file."""
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(cu.get_path_to_checkpoint(folder, 1))
        empty.parent.mkdir()
        empty.touch()
        return cu.get_last_checkpoint(folder, "") == str(empty)


@cure(
    CHECKPOINT_CURES,
    "slowfast.utils.checkpoint.get_last_checkpoint",
    "any version: the newest file is taken, also where it is half a file",
    present=_takes_half_a_file,
)
def mend_get_last_checkpoint() -> None:
    original = cu.get_last_checkpoint

    def get_last_checkpoint(path_to_job, task):
        if task or "://" in path_to_job:
            return original(path_to_job, task)
        return newest_checkpoint(path_to_job)

    cu.get_last_checkpoint = get_last_checkpoint
