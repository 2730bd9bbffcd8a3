"""Batches from worker processes; one that dies or hangs on a poisonous file does not end the epoch."""

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info
from torch.utils.data._utils import signal_handling

# Seconds that a worker is given to die by itself after its queue fell silent.
_POLL_SECONDS = 1.0
# Memory may run out, or a person may kill a process: only a video that does it again is to blame.
_DEATHS = 2


class _Watched(Dataset):
    """A data set whose workers say which item they are at, in memory that outlives them."""

    def __init__(self, dataset: Dataset, num_workers: int) -> None:
        self.dataset = dataset
        # Of each worker: process id, item + 1 (0 is none), and since when, seconds of time.monotonic().
        self.slots = torch.zeros((max(num_workers, 1), 3), dtype=torch.float64).share_memory_()

    def __getitem__(self, item: int) -> Any:
        worker = get_worker_info()
        if worker is None:
            return self.dataset[item]
        slot = self.slots[worker.id]
        # The item last: a slot that names one is complete.
        slot[0], slot[2] = multiprocessing.current_process().pid, time.monotonic()
        slot[1] = item + 1
        loaded = self.dataset[item]
        slot[1] = 0
        return loaded

    def busy(self) -> list[tuple[int, int, float]]:
        """(process id, item, seconds) of each worker that is at one."""
        now = time.monotonic()
        rows = [(int(pid), int(item) - 1, now - since) for pid, item, since in self.slots.tolist()]
        return [row for row in rows if row[1] >= 0]


def collate(batch: Sequence[Any]) -> Any:
    """PyTorch's, but an empty batch is None: it only keeps the workers' turns."""
    return default_collate(batch) if batch else None


def load_batches(
    dataset: Dataset,
    batches: Sequence[Sequence[int]],
    *,
    num_workers: int,
    pin_memory: bool,
    timeout: float,
    same_video: Callable[[int, int], bool],
    failed: Callable[[int, str], None],
) -> Iterator[Any]:
    """Load batches in the order given, batch i by worker i modulo num_workers.

    A worker that dies on an item twice, or is longer than `timeout` at one, costs that item's video: it is
    reported, and the others are loaded by new workers. With no workers there is nothing to survive: what
    kills or stops the reading of a file then does it to this process.

    Args:
        dataset: Items by number.
        batches: Item numbers of each; an empty one yields nothing.
        num_workers: Processes; 0 loads here.
        pin_memory: Give batches in memory that a GPU reads directly.
        timeout: Seconds for one item.
        same_video: Whether two items belong to one video.
        failed: Called with an item and the reason for each video that is given up.

    Yields:
        Collated batches, in order; items of a video that was given up are missing from theirs.

    Raises:
        Whatever the data set raises in a worker.
    """
    remaining, deaths = [list(batch) for batch in batches], {}
    while remaining:
        watched = _Watched(dataset, num_workers)
        loader = DataLoader(
            watched,
            batch_sampler=remaining,
            num_workers=num_workers,
            pin_memory=pin_memory,
            collate_fn=collate,
            timeout=_POLL_SECONDS if num_workers else 0,
        )
        done, culprits = 0, []
        for loaded in _until_trouble(loader, watched, timeout, culprits):
            done += 1
            if loaded is not None:
                yield loaded
        remaining = remaining[done:]
        for item, reason, died in culprits:
            deaths[item] = deaths.get(item, 0) + 1
            if died and deaths[item] < _DEATHS:
                continue
            failed(item, reason)
            remaining = [[other for other in batch if not same_video(item, other)] for batch in remaining]


def _until_trouble(
    loader: DataLoader, watched: _Watched, timeout: float, culprits: list[tuple[int, str, bool]]
) -> Iterator[Any]:
    """Batches until the end, or until workers are in trouble: then `culprits` gets (item, reason, died)."""
    if loader.num_workers:
        _silence_pytorch()
    batches = iter(loader)
    # Not by looking for new children: one that read a poisonous file may be dead before anybody looks.
    workers = {process.pid: process for process in batches._workers} if loader.num_workers else {}
    while True:
        try:
            loaded = next(batches)
        except StopIteration:
            return
        except Exception as error:
            # What a data set raises in a worker arrives as "Caught ... in DataLoader worker process ...".
            if not workers or "in DataLoader worker process" in str(error):
                raise
            silence = isinstance(error, RuntimeError) and str(error).startswith("DataLoader timed out")
            dead = _has_died(workers, wait=0.0 if silence else _POLL_SECONDS)
            culprits += _find_culprits(watched, workers, timeout)
            if culprits:
                break
            if dead or not silence:
                raise
            continue
        yield loaded
    for process in workers.values():
        process.kill()  # one that hangs would be waited for


def _silence_pytorch() -> None:
    """Keep PyTorch from raising at a worker's death, which it does wherever the main thread happens to be."""
    signal_handling._SIGCHLD_handler_set = True  # so it sets no handler
    handler = signal.getsignal(signal.SIGCHLD)
    if getattr(handler, "__module__", None) == signal_handling.__name__:  # of a loader of PyTorch's own
        with contextlib.suppress(ValueError):  # not the main thread, which alone may change it
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _has_died(workers: dict[int, Any], wait: float) -> bool:
    """Whether a worker is dead, or dies soon: its connections break a moment before."""
    deadline = time.monotonic() + wait
    while all(process.is_alive() for process in workers.values()):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)
    return True


def _find_culprits(watched: _Watched, workers: dict[int, Any], timeout: float) -> list[tuple[int, str, bool]]:
    found = []
    for pid, item, seconds in watched.busy():
        process = workers.get(pid)
        if process is not None and not process.is_alive():
            found.append((item, f"the process that read it died ({_exit(process.exitcode)})", True))
        elif seconds > timeout:
            found.append((item, f"reading it took longer than {timeout:g} s", False))
    return found


def _exit(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {-code}, {signal.Signals(-code).name}"
    return f"exit status {code}"
