"""Which items a process reads in an epoch, in which order, and where one that was interrupted goes on."""

from collections.abc import Iterator, Sequence

import torch
from torch import distributed as dist
from torch.utils.data import Dataset, Sampler

# How far an epoch has been used: the number of processes, and how many items of its share each has used or
# passed over. More than one, where the number of processes has changed in the middle of the epoch.
Stages = Sequence[tuple[int, Sequence[int]]]


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

    def share(self, stages: Stages = ()) -> tuple[list[int], int]:
        """The items of this process, and how many of them have been used already.

        Args:
            stages: How far the epoch has been used, of a training; nothing by default. With as many processes
                as there were last, each goes on in its share. Otherwise what is left is dealt out anew in the
                epoch's order, so that the batches of all processes together stay what they were.
        """
        total = len(self.dataset)
        if not self.shuffle:
            videos = range(self.rank, total // self.num_views, self.world)
            return [video * self.num_views + view for video in videos for view in range(self.num_views)], 0
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        order = torch.randperm(total, generator=generator).tolist()
        goes_on = bool(stages) and stages[-1][0] == self.world
        for world, positions in stages[:-1] if goes_on else stages:
            order = _without_used(order, world, positions)
        return _dealt(order, self.world, self.rank), stages[-1][1][self.rank] if goes_on else 0

    def __iter__(self) -> Iterator[int]:
        return iter(self.share()[0])

    def __len__(self) -> int:
        # Without the items: a loop may ask in every step.
        total = len(self.dataset)
        if self.shuffle:
            return total // self.world
        return len(range(self.rank, total // self.num_views, self.world)) * self.num_views


def _dealt(order: list[int], world: int, rank: int) -> list[int]:
    """Equal shares: gradients are averaged over processes, so all must take part in every step."""
    return order[rank : len(order) - len(order) % world : world]


def _without_used(order: list[int], world: int, positions: Sequence[int]) -> list[int]:
    """What is left of an order of which each process has used the beginning of its share."""
    used = {item for rank, position in enumerate(positions) for item in _dealt(order, world, rank)[:position]}
    return [item for item in order if item not in used]
