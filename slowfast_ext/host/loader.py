"""Data loaders in the place of PySlowFast's, which divides by NUM_GPUS and repeats videos."""

import os

from slowfast_ext.data.ledger import Ledger
from slowfast_ext.data.loader import VideoLoader, VideoSampler
from slowfast_ext.host.launch import is_master, world_size
from vtn.errors import InputError

# Videos named in the log; all of them are in the CSV.
_NAMED = 20


def construct_loader(cfg, split: str, is_precise_bn: bool = False) -> VideoLoader:
    """Build the loader of one split.

    Args:
        cfg: Keys {TRAIN,TEST}.{DATASET,BATCH_SIZE}, TRAIN.FAILED_VIDEOS, DATA_LOADER.*, RNG_SEED, NUM_GPUS,
            NUM_SHARDS, OUTPUT_DIR.
        split: "train", "val" or "test".
        is_precise_bn: Accepted for PySlowFast main's signature; the loader is the same.

    Returns:
        A loader that after each whole pass logs what became of the videos, and writes it to
        OUTPUT_DIR/ledger_{split}.csv.

    Raises:
        InputError: If the training split is smaller than one batch.
    """
    from slowfast.datasets.build import build_dataset

    section = cfg.TEST if split == "test" else cfg.TRAIN
    dataset = build_dataset(section.DATASET, cfg, split)
    train = split == "train"
    loader = VideoLoader(
        dataset,
        VideoSampler(dataset, shuffle=train, seed=cfg.RNG_SEED),
        batch_size=section.BATCH_SIZE // world_size(cfg),
        train=train,
        num_workers=cfg.DATA_LOADER.NUM_WORKERS,
        pin_memory=cfg.DATA_LOADER.PIN_MEMORY and cfg.NUM_GPUS > 0,
        timeout=cfg.DATA_LOADER.VIDEO_TIMEOUT,
        stop_on_failure=train and cfg.TRAIN.FAILED_VIDEOS == "stop",
        finished=lambda ledger: _report(ledger, split, cfg.OUTPUT_DIR),
    )
    if train and not len(loader):
        raise InputError(
            f"TRAIN.BATCH_SIZE is {cfg.TRAIN.BATCH_SIZE} but the training list has only {len(dataset)} "
            "videos: there is not one whole batch"
        )
    return loader


def _report(ledger: Ledger, split: str, output_dir: str) -> None:
    """Log one line and the videos with a remark; write the CSV; in the first process only."""
    from slowfast.utils import logging

    if not is_master():
        return
    path = os.path.join(output_dir, f"ledger_{split}.csv")
    ledger.write(path)
    logger = logging.get_logger(__name__)
    remarks = ledger.remarks(_NAMED)
    log = logger.warning if remarks else logger.info
    log("Ledger of %s: %s (%s)", split, ledger.summary(), path)
    for remark in remarks:
        log("  %s", remark)


def shuffle_dataset(loader: VideoLoader, cur_epoch: int) -> None:
    """Give the loader the order of epoch `cur_epoch`."""
    loader.sampler.set_epoch(cur_epoch)
