"""The loader of a split from a configuration, in the place of PySlowFast's, which repeats videos."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slowfast_ext.config_limits import uses_our_dataset
from slowfast_ext.data.dense import dense_batches
from slowfast_ext.data.ledger import REPAIRED, USED, Ledger
from slowfast_ext.data.loader import VideoLoader, VideoSampler
from slowfast_ext.data.segment_videos import StoredSegments
from slowfast_ext.data.segments import SEGMENTS, require_segments
from slowfast_ext.data.short_videos import ShortVideos
from slowfast_ext.data.stored_videos import StoredVideos
from slowfast_ext.data.video_list import require_list
from slowfast_ext.data.wrapping import WrappedPositions, positions_may_wrap
from slowfast_ext.distributed import device_of, is_master, seed_everything, world_size
from slowfast_ext.host import get_host
from slowfast_ext.host.precise_bn import take_batches
from vtn.errors import InputError

# Videos named in the log; all of them are in the CSV.
_NAMED = 20


class PreciseLoader(VideoLoader):
    """Training batches for batch-norm statistics: as many as its length says, also where videos fail."""

    def __iter__(self) -> Iterator[Any]:
        return take_batches(super().__iter__, len(self))


def require_lists(cfg) -> None:
    """Refuse a run whose lists are not there, before it makes a folder. What they hold is checked later.

    Args:
        cfg: Keys {TRAIN,TEST}.{ENABLE,DATASET} and DATA.PATH_TO_DATA_DIR.

    Raises:
        InputError: Names the first list that is missing.
    """
    for split, section in (("train", cfg.TRAIN), ("val", cfg.TRAIN), ("test", cfg.TEST)):
        if section.ENABLE and uses_our_dataset(cfg, split):
            require_list(Path(cfg.DATA.PATH_TO_DATA_DIR) / f"{split}.csv")
            if section.DATASET == "vtnsegments":
                require_segments(Path(cfg.DATA.PATH_TO_DATA_DIR) / SEGMENTS)


def construct_loader(
    cfg,
    split: str,
    is_precise_bn: bool = False,
    *,
    equal_shares: bool = False,
    dense: bool = False,
) -> VideoLoader:
    """Build the loader of one split.

    Args:
        cfg: Keys {TRAIN,TEST}.{DATASET,BATCH_SIZE}, TRAIN.FAILED_VIDEOS, DATA_LOADER.*, RNG_SEED, NUM_GPUS,
            NUM_SHARDS, OUTPUT_DIR.
        split: "train", "val" or "test".
        is_precise_bn: The loader is for batch-norm statistics, so its videos are in no ledger.
        equal_shares: See VideoLoader.
        dense: Give tensors in place of Frames, see dense_batches.

    Returns:
        A loader that after each whole pass logs what became of the videos, and writes it to
        OUTPUT_DIR/ledger_{split}.csv.

    Raises:
        InputError: If the training split is smaller than one batch.
    """
    section = cfg.TEST if split == "test" else cfg.TRAIN
    if not (cfg.DATA_LOADER.NUM_WORKERS or cfg.VTN.FEATURES) and split != "val" and not is_precise_bn:
        get_host().get_logger(__name__).warning(
            "DATA_LOADER.NUM_WORKERS is 0: the process of the model reads the videos itself, so one that "
            "kills or stops its reader ends the run"
        )
    if cfg.VTN.FEATURES:
        dataset = (StoredSegments if section.DATASET == "vtnsegments" else StoredVideos)(cfg, split)
    else:
        dataset = get_host().build_dataset(section.DATASET, cfg, split)
    train = split == "train"
    sampler = VideoSampler(dataset, shuffle=train, seed=cfg.RNG_SEED)
    transform = dense_batches(cfg, lambda: sampler.epoch) if dense else None
    if train and not is_precise_bn and not getattr(dataset, "whole_videos", False):
        transform = ShortVideos(cfg, len(sampler) * cfg.AUG.NUM_SAMPLE, transform)
    if split == "test" and positions_may_wrap(cfg) and hasattr(dataset, "paths"):
        transform = WrappedPositions(cfg, dataset.paths, getattr(dataset, "num_views", 1))
    loader = (PreciseLoader if is_precise_bn else VideoLoader)(
        dataset,
        sampler,
        batch_size=section.BATCH_SIZE // world_size(cfg),
        train=train,
        num_workers=cfg.DATA_LOADER.NUM_WORKERS,
        pin_memory=cfg.DATA_LOADER.PIN_MEMORY and device_of(cfg).type == "cuda",
        timeout=cfg.DATA_LOADER.VIDEO_TIMEOUT,
        memory=cfg.DATA_LOADER.VIDEO_MEMORY,
        stop_on_failure=train and cfg.TRAIN.FAILED_VIDEOS == "stop",
        equal_shares=equal_shares,
        transform=transform,
        finished=None if is_precise_bn else lambda ledger: _report(ledger, split, cfg.OUTPUT_DIR),
    )
    if train and not len(loader):
        raise InputError(
            f"TRAIN.BATCH_SIZE is {cfg.TRAIN.BATCH_SIZE} but the training list has only {len(dataset)} "
            "videos: there is not one whole batch; list more videos, or type a smaller TRAIN.BATCH_SIZE"
        )
    return loader


def _report(ledger: Ledger, split: str, output_dir: str) -> None:
    """In the first process, log one line and the videos that have a remark, and write the CSV.

    Raises:
        InputError: In every process, if no video of the whole pass could be used.
    """
    if is_master():
        _log_and_write(ledger, split, output_dir)
    if not ledger.count(USED) + ledger.count(REPAIRED):
        what = {"train": "whole batch of videos", "val": "video", "test": "video"}[split]
        name = {"train": "training", "val": "validation", "test": "test"}[split]
        raise InputError(f"no {what} of the {name} list could be read: {ledger.summary()}")


def _log_and_write(ledger: Ledger, split: str, output_dir: str) -> None:
    with contextlib.suppress(OSError):
        os.makedirs(output_dir, exist_ok=True)
    path = os.path.join(output_dir, f"ledger_{split}.csv")
    logger = get_host().get_logger(__name__)
    try:
        ledger.write(path)
    except InputError as error:  # the disk is full, say: no reason to lose the epoch
        logger.error(str(error))
    remarks = ledger.remarks(_NAMED)
    log = logger.warning if remarks else logger.info
    log("Ledger of %s: %s (%s)", split, ledger.summary(), path)
    for remark in remarks:
        log("  %s", remark)


def shuffle_dataset(loader: VideoLoader, cur_epoch: int) -> None:
    """Give the loader the order of epoch `cur_epoch`, and that epoch its random numbers.

    Dropout then follows from RNG_SEED and the epoch only, so an interrupted run continues as if it
    had never stopped; PySlowFast seeds once, at the start.
    """
    seed_everything(loader.sampler.seed + 1 + cur_epoch)
    loader.sampler.set_epoch(cur_epoch)
