"""Batches of videos for training and evaluation: which process and worker reads what, and what is lost.

Legend: B batch size, S samples of a video in a batch, W processes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any

import torch
from torch import distributed as dist
from torch.utils.data import Dataset

from slowfast_ext.data.frames import Frames, concatenate
from slowfast_ext.data.ledger import FAILED, OUTCOMES, USED, Ledger, decode_outcomes
from slowfast_ext.data.sampler import VideoSampler
from slowfast_ext.data.supervisor import load_batches
from slowfast_ext.data.workers import MOST_MEMORY
from slowfast_ext.distributed import agree, gather_objects
from vtn.errors import InputError


class VideoLoader:
    """Batches of one split, without the videos that cannot be read, and the ledger that names those.

    Training: batches are full: B videos, of each S samples one after the other. Where a video fails, the next
    one in the epoch's order takes its place; the last videos, which do not fill a batch, are left for another
    epoch. Evaluation: a failed video is missing from its batch. All views of a video are read by one worker,
    which decodes it once.

    Args:
        dataset: Items as Vtnkinetics gives them, with its `num_samples` (1 if it has no such attribute);
            other data sets say nothing of failures.
        sampler: Items of this process.
        batch_size: B.
        train: Whether batches are full.
        num_workers: Processes that read; 0 reads here, and a file that kills its reader then ends the run.
        pin_memory: Give batches in memory that a GPU reads directly.
        timeout: Seconds that a worker may take for one item.
        memory: GiB that a worker may take beyond what it has when it begins; 0 is no limit.
        stop_on_failure: Raise at the first video that cannot be read.
        equal_shares: In evaluation, give every process as many batches of the same size, as loops need that
            gather in every step. Items are repeated for it, so the loop must know them by their number.
        transform: Applied to every batch that is given out.
        finished: Called after each whole pass, with the ledger gathered from all processes.

    Attributes:
        ledger: What became of the videos.
        asked: What this process is asked for, as bits; 0 is nothing. It is called once for each batch.
        agreed: The bits of all processes together, the same in each of them: in training as of the batch that
            was given last, in evaluation as of the end of the pass, which comes early where there are any.
    """

    def __init__(
        self,
        dataset: Dataset,
        sampler: VideoSampler,
        *,
        batch_size: int,
        train: bool,
        num_workers: int = 0,
        pin_memory: bool = False,
        timeout: float = 300.0,
        memory: float = MOST_MEMORY,
        stop_on_failure: bool = False,
        equal_shares: bool = False,
        transform: Callable[[Any], Any] | None = None,
        finished: Callable[[Ledger], None] | None = None,
    ) -> None:
        self.dataset, self.sampler, self.batch_size, self.train = dataset, sampler, batch_size, train
        self.num_workers, self.pin_memory = num_workers, pin_memory
        self.timeout, self.memory = timeout, memory
        self.stop_on_failure, self._finished = stop_on_failure, finished
        self._equal_shares = equal_shares and not train and sampler.world > 1
        self._transform = transform or (lambda batch: batch)
        self.asked: Callable[[], int] = lambda: 0
        self.agreed, self._begin, self._before, self._share, self._used = 0, [], [], [], 0
        self._num_views = getattr(dataset, "num_views", 1)
        self._num_samples = getattr(dataset, "num_samples", 1)
        num_videos = len(dataset) // self._num_views
        names = [f"video {number}" for number in range(num_videos)]
        self.ledger = Ledger(getattr(dataset, "paths", names), getattr(dataset, "labels", [""] * num_videos))

    def __len__(self) -> int:
        """Batches of this process if no video fails."""
        if self.train:
            return len(self.sampler) // self.batch_size
        if self._equal_shares:  # as many as the largest share needs
            videos = -(-len(self.dataset) // self._num_views // self.sampler.world)
            return -(-videos * self._num_views // self.batch_size)
        return sum(1 for batch in self._batches(list(self.sampler)) if batch)

    def __iter__(self) -> Iterator[Any]:
        # A pass goes on where it is told to only once: precise statistics read the same epoch from its start.
        stages, self._begin, self.agreed = self._begin, [], 0
        self._share, self._used = self.sampler.share(stages)
        goes_on = bool(stages) and stages[-1][0] == self.sampler.world
        self._before = list(stages[:-1] if goes_on else stages)
        place_of = {item: place for place, item in enumerate(self._share, start=1)}
        loaded = load_batches(
            self.dataset,
            self._batches(self._share[self._used :]),
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
            timeout=self.timeout,
            memory=self.memory,
            same_video=lambda one, other: one // self._num_views == other // self._num_views,
            failed=self._note_failure,
        )
        if self._num_samples > 1:
            loaded = (_map(_side_by_side, batch) for batch in loaded)
        readable = filter(None, (self._without_failed(batch) for batch in loaded))
        if self.train:
            readable = self._in_step(_full(readable, self.batch_size * self._num_samples))
        elif self._equal_shares:
            readable = _in_equal_shares(_full(readable, self.batch_size, keep_rest=True), self.batch_size)
        for batch in readable:
            self._note_all(batch)
            yield self._transform(batch)
            # A data set that tells no outcomes may give another item than the one that it was asked for.
            told = _tells_outcomes(batch)
            self._used = place_of[int(batch[2][-1])] if told else self._used + self.batch_size
            if not self.train and self.asked():
                break
        if not self.train:
            self.agreed = _of_all_processes(self.asked())
            if self.agreed:
                return
        self.ledger.gather()
        if self._finished:
            self._finished(self.ledger)

    def _in_step(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Give every process as many batches, because all take part in every step of the training.

        The same exchange tells each process what any of them is asked for.
        """
        while True:
            batch = next(batches, None)
            bits = _of_all_processes((batch is None) + 2 * self.asked())
            self.agreed = bits >> 1
            if bits & 1:
                for _ in batches:  # what another process lacks is read for the ledger only
                    pass
                return
            yield batch

    def go_on(self, progress: Mapping[str, Any]) -> None:
        """Let the next pass begin where an earlier one of the same epoch was, by its `progress`."""
        self._begin = list(progress["stages"])
        for ledger in progress["ledgers"]:
            self.ledger.add_state(ledger)

    def progress(self) -> dict[str, Any]:
        """How far this pass was before the batch that was given last; all processes must call it together.

        Returns:
            In plain values and tensors, `stages` for `go_on`, and the ledgers of the processes, each for
            Ledger.add_state.
        """
        # The first process has the entries of earlier epochs, which are the same everywhere.
        own = {item // self._num_views for item in self._share} if self.sampler.rank else None
        found = gather_objects((self._used, self.ledger.to_state(own)))
        positions = [used for used, _ in found]
        stages = [*self._before, (self.sampler.world, positions)]
        return {"stages": stages, "ledgers": [ledger for _, ledger in found]}

    def _batches(self, items: Sequence[int]) -> list[list[int]]:
        """Item numbers of each batch; number i is read by worker i modulo num_workers."""
        size = self.batch_size
        if self.train or self.num_workers < 2 or self._num_views == 1:
            return [items[begin : begin + size] for begin in range(0, len(items), size)]
        # Whole videos to each worker in turn; an empty batch where one has no more, so that turns are kept.
        videos = [items[begin : begin + self._num_views] for begin in range(0, len(items), self._num_views)]
        shares = [list(chain(*videos[worker :: self.num_workers])) for worker in range(self.num_workers)]
        split = [[share[begin : begin + size] for begin in range(0, len(share), size)] for share in shares]
        return [batch for turn in zip_longest(*split, fillvalue=[]) for batch in turn]

    def _without_failed(self, batch: Any) -> Any | None:
        """Write the failed items of a batch into the ledger and take them out; None if nothing is left."""
        if not _tells_outcomes(batch):
            return batch
        good = batch[-1]["outcome"] != OUTCOMES.index(FAILED)
        if bool(good.all()):
            return batch
        self._note_all(_map(lambda x: x[~good], batch))
        return _map(lambda x: x[good], batch) if bool(good.any()) else None

    def _note_all(self, batch: Any) -> None:
        items = batch[2].tolist()
        found = decode_outcomes(batch[-1]) if _tells_outcomes(batch) else [(USED, "")] * len(items)
        for item, outcome in zip(items, found, strict=True):
            self._note(item, *outcome)

    def _note_failure(self, item: int, reason: str) -> None:
        self._note(item, FAILED, f"{self.ledger.paths[item // self._num_views]}: {reason}.")

    def _note(self, item: int, outcome: str, reason: str) -> None:
        self.ledger.note(item // self._num_views, outcome, reason)
        if outcome == FAILED and self.stop_on_failure:
            if self._finished:
                self._finished(self.ledger)
            raise InputError(f"{reason} TRAIN.FAILED_VIDEOS is 'stop', so the run ends here.")


def _side_by_side(value: Any) -> Any:
    """(B, S, ...) to (B S, ...), without a copy; Frames hold all clips already."""
    return value if isinstance(value, Frames) else value.flatten(0, 1)


def _tells_outcomes(batch: Any) -> bool:
    return isinstance(batch[-1], dict) and "outcome" in batch[-1]


def _full(batches: Iterator[Any], size: int, *, keep_rest: bool = False) -> Iterator[Any]:
    """Batches of exactly `size` items; later items fill the gaps, and the rest is dropped or comes last."""
    rest = None
    for batch in batches:
        whole = batch if rest is None else _join(rest, batch)
        count = len(whole[1])
        if count >= size:
            yield whole if count == size else _map(lambda x: x[:size], whole)
        begin = size if count >= size else 0
        rest = None if count == begin else _map(lambda x, begin=begin: x[begin:], whole)
    if keep_rest and rest is not None:
        yield rest


def _of_all_processes(bits: int) -> int:
    """Bits that are set in any process."""
    several = dist.is_initialized() and dist.get_world_size() > 1
    return agree(bits, dist.ReduceOp.BOR) if several else bits


def _in_equal_shares(batches: Iterator[Any], size: int) -> Iterator[Any]:
    """As many batches of `size` items in every process; where there are not enough, items come again."""
    latest = None
    while True:
        batch = next(batches, None)
        if not agree(batch is not None, dist.ReduceOp.MAX):
            return
        latest = latest if batch is None else batch
        if latest is None:
            raise InputError(
                "the evaluation list has so few videos that can be read that one of the processes has none: "
                "use fewer processes"
            )
        again = torch.arange(size) % len(latest[1])
        yield latest if len(latest[1]) == size else _map(lambda x, again=again: x[again], latest)


def _map(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply a function to every tensor, or Frames, in lists, tuples and dicts."""
    if isinstance(value, dict):
        return {key: _map(function, part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_map(function, part) for part in value]
    return function(value)


def _join(first: Any, second: Any) -> Any:
    """Append the items of one batch to those of another."""
    if isinstance(first, dict):
        return {key: _join(part, second[key]) for key, part in first.items()}
    if isinstance(first, (list, tuple)):
        return [_join(*parts) for parts in zip(first, second, strict=True)]
    return concatenate([first, second]) if isinstance(first, Frames) else torch.cat([first, second])
