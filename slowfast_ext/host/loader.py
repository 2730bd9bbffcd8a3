"""Data loaders: PySlowFast's, without its division by NUM_GPUS and without repeated videos."""

from collections.abc import Iterator

import torch
from torch import distributed as dist
from torch.utils.data import DataLoader, Dataset, Sampler

from slowfast_ext.host.launch import world_size
from vtn.errors import InputError


class VideoSampler(Sampler[int]):
    """Which items this process reads, in which order.

    Training: one permutation of the data set per epoch, the same in every process, dealt out in turn. Batch
    number i of all processes together therefore holds the same videos whatever the number of processes.
    Evaluation: whole videos in order, dealt out in turn; all views of a video stay in one process, and no
    video is repeated to make the shares equal.

    Args:
        dataset: Items; `num_views` items in a row belong to one video (1 if it has no such attribute).
        shuffle: True for training.
        seed: With the epoch, decides the permutation.
    """

    def __init__(self, dataset: Dataset, *, shuffle: bool, seed: int) -> None:
        self.dataset, self.shuffle, self.seed, self.epoch = dataset, shuffle, seed, 0
        self.world = dist.get_world_size() if dist.is_initialized() else 1
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.num_views = getattr(dataset, "num_views", 1)

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation of this epoch, and the augmentation of a data set that has `set_epoch`."""
        self.epoch = epoch
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(epoch)

    def _items(self) -> list[int]:
        total = len(self.dataset)
        if self.shuffle:
            generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
            order = torch.randperm(total, generator=generator).tolist()
            # Equal shares: gradients are averaged over processes, so all must take part in every step.
            return order[self.rank : total - total % self.world : self.world]
        videos = range(self.rank, total // self.num_views, self.world)
        return [video * self.num_views + view for video in videos for view in range(self.num_views)]

    def __iter__(self) -> Iterator[int]:
        return iter(self._items())

    def __len__(self) -> int:
        return len(self._items())


def construct_loader(cfg, split: str, is_precise_bn: bool = False) -> DataLoader:
    """Build the loader of one split.

    Args:
        cfg: Keys {TRAIN,TEST}.{DATASET,BATCH_SIZE}, DATA_LOADER.*, RNG_SEED, NUM_GPUS, NUM_SHARDS.
        split: "train", "val" or "test".
        is_precise_bn: Accepted for PySlowFast main's signature; the loader is the same.

    Raises:
        InputError: If the training split is smaller than one batch.
    """
    from slowfast.datasets.build import build_dataset

    section = cfg.TEST if split == "test" else cfg.TRAIN
    dataset = build_dataset(section.DATASET, cfg, split)
    batch_size = section.BATCH_SIZE // world_size(cfg)
    train = split == "train"
    sampler = VideoSampler(dataset, shuffle=train, seed=cfg.RNG_SEED)
    if train and len(sampler) < batch_size:
        raise InputError(
            f"TRAIN.BATCH_SIZE is {cfg.TRAIN.BATCH_SIZE} but the training list has only {len(dataset)} "
            "videos: there is not one whole batch"
        )
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=cfg.DATA_LOADER.NUM_WORKERS,
        pin_memory=cfg.DATA_LOADER.PIN_MEMORY and cfg.NUM_GPUS > 0,
        drop_last=train,
    )


def shuffle_dataset(loader: DataLoader, cur_epoch: int) -> None:
    """Give the loader the order of epoch `cur_epoch`."""
    loader.sampler.set_epoch(cur_epoch)
