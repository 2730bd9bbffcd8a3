"""Processes that read files, any of which may be poisonous: one that dies or hangs does not end the work.

`load_batches` reads batches for a model, in order.
"""

import functools
import multiprocessing
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from slowfast_ext.data.shared_memory import allocate_shared
from slowfast_ext.data.workers import (
    MOST_MEMORY,
    lasting_process,
    prepare_worker,
    silence_pytorch,
    survivable_context,
)
from slowfast_ext.processes import interrupts_wait, is_stopped
from vtn.errors import InputError

# Seconds that a worker is given to die by itself after its queue fell silent.
POLL_SECONDS = 1.0
# Seconds without any work after which workers count as hanging, if VIDEO_TIMEOUT is shorter.
_IDLE_SECONDS = 60.0
# Memory may run out, or a person may kill a process: only a video that does it again is to blame.
MOST_DEATHS = 2
# Workers that die or hang at no item, one after the other, before a result has come, are not started again.
STARTS_IN_VAIN = 5


class Watched(Dataset):
    """A data set whose workers say which item they are at, in memory that outlives them."""

    def __init__(self, dataset: Dataset, num_workers: int) -> None:
        self.dataset = dataset
        # Of each worker: process id, item + 1 (0 is none), and since when, seconds of time.monotonic().
        self.slots = allocate_shared((max(num_workers, 1), 3), torch.float64).zero_()

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


@dataclass(frozen=True)
class Culprit:
    """An item that a worker died at, or is too long at, and a clause that says so."""

    item: int
    reason: str
    died: bool


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
    memory: float = MOST_MEMORY,
    same_video: Callable[[int, int], bool],
    failed: Callable[[int, str], None],
) -> Iterator[Any]:
    """Load batches in the order given, batch i by worker i modulo num_workers.

    A worker that dies on an item twice, or is longer than `timeout` at one, costs that item's video: it is
    reported, and the others are loaded by new workers. So is all if one dies or hangs that is at no item, or
    is stopped from outside for longer than that. With no workers there is nothing to survive: what kills or
    stops the reading of a file then does it to this process.

    Args:
        dataset: Items by number.
        batches: Item numbers of each; an empty one yields nothing.
        num_workers: Processes; 0 loads here.
        pin_memory: Give batches in memory that a GPU reads directly.
        timeout: Seconds for one item.
        memory: GiB for each worker, see slowfast_ext.processes.limit_memory.
        same_video: Whether two items belong to one video.
        failed: Called with an item and the reason for each video that is given up.

    Yields:
        Collated batches, in order; items of a video that was given up are missing from theirs.

    Raises:
        Whatever the data set raises in a worker.
        InputError: If workers die, again and again, before they load anything.
    """
    remaining, deaths, in_vain = [list(batch) for batch in batches], Counter(), 0
    while remaining:
        watched = Watched(dataset, num_workers)
        loader = DataLoader(
            watched,
            batch_sampler=remaining,
            num_workers=num_workers,
            pin_memory=pin_memory,
            collate_fn=collate,
            timeout=POLL_SECONDS if num_workers else 0,
            multiprocessing_context=survivable_context() if num_workers else None,
            worker_init_fn=functools.partial(prepare_worker, lasting_process(), memory),
        )
        done, culprits = 0, []
        for loaded in until_trouble(loader, watched, timeout, culprits):
            done += 1
            if loaded is not None:
                yield loaded
        remaining = remaining[done:]
        in_vain = 0 if done or culprits else in_vain + 1
        if in_vain == STARTS_IN_VAIN:
            raise InputError(
                f"{num_workers} processes that load videos have died or hung {in_vain} times before they "
                "loaded any: type a smaller DATA_LOADER.NUM_WORKERS, if memory runs out"
            )
        for item, reason in given_up(culprits, deaths):
            failed(item, reason)
            remaining = [[other for other in batch if not same_video(item, other)] for batch in remaining]


def given_up(culprits: list[Culprit], deaths: Counter) -> Iterator[tuple[int, str]]:
    """Items that are not tried again, and why; `deaths` counts how often each has killed a process."""
    for culprit in culprits:
        deaths[culprit.item] += culprit.died
        if not culprit.died or deaths[culprit.item] >= MOST_DEATHS:
            yield culprit.item, culprit.reason


def until_trouble(
    loader: DataLoader, watched: Watched, timeout: float, culprits: list[Culprit]
) -> Iterator[Any]:
    """What the loader gives, until its end or until workers are in trouble; then `culprits` says which.

    None of the processes of a loader of tasks, which come as they are done, outlives this.
    """
    if loader.num_workers:
        silence_pytorch()
    workers: dict[int, Any] = {}
    ended, idle, seen = False, 0.0, time.monotonic()
    left = threading.Event()
    try:
        with interrupts_wait():
            batches = iter(loader)
            if loader.num_workers:
                # Not by looking for new children: one that read a poisonous file may be dead already.
                workers = {process.pid: process for process in batches._workers}
        for process in workers.values():
            process._popen.terminate = process._popen.kill  # the other signal is not listened to
        if workers:
            threading.Thread(target=_end_the_stopped, args=(workers, timeout, left), daemon=True).start()
        while not culprits:
            try:
                loaded = next(batches)
            except StopIteration:
                return
            except Exception as error:
                # What a data set raises in a worker arrives as "Caught ... in DataLoader worker process ...".
                if not workers or "in DataLoader worker process" in str(error):
                    raise
                silence = isinstance(error, RuntimeError) and str(error).startswith("DataLoader timed out")
                dead = _has_died(workers, wait=0.0 if silence else POLL_SECONDS)
                culprits += _find_culprits(watched, workers, timeout)
                # This process may itself have been stopped for an hour.
                passed, seen = min(time.monotonic() - seen, 2 * POLL_SECONDS), time.monotonic()
                idle = 0.0 if watched.busy() else idle + passed
                hangs = idle > max(timeout, _IDLE_SECONDS)
                if not (culprits or dead or silence) and loader.in_order:
                    raise
                ended = dead or hangs or not silence
                if ended and not culprits:
                    return  # a process that was at no item was ended, or hangs
                continue
            yield loaded
            idle, seen = 0.0, time.monotonic()
            if not loader.in_order:
                # The others need not fall silent for one that is dead or hangs.
                culprits += _find_culprits(watched, workers, timeout)
    finally:
        left.set()
        if culprits or ended or not loader.in_order:
            _end(workers.values())


def _end_the_stopped(workers: dict[int, Any], timeout: float, left: threading.Event) -> None:
    """In a thread: end each worker that is stopped for longer than `timeout`, until this is left.

    The main thread cannot: to take a batch it asks the worker for its memory, and waits for the answer.
    """
    stopped = Counter()
    while not left.wait(POLL_SECONDS):
        for pid, process in workers.items():
            stopped[pid] = stopped[pid] + POLL_SECONDS if is_stopped(pid) else 0.0
            if stopped[pid] > timeout:
                process.kill()


def _end(processes: Iterable[Any]) -> None:
    for process in processes:
        process.kill()  # one that hangs would be waited for
    for process in processes:
        process.join()


def _has_died(workers: dict[int, Any], wait: float) -> bool:
    """Whether a worker is dead, or dies soon: its connections break a moment before."""
    deadline = time.monotonic() + wait
    while all(process.is_alive() for process in workers.values()):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)
    return True


def _find_culprits(watched: Watched, workers: dict[int, Any], timeout: float) -> list[Culprit]:
    found = []
    for pid, item, seconds in watched.busy():
        process = workers.get(pid)
        if process is not None and not process.is_alive():
            reason = f"the process that read it died ({exit_in_words(process.exitcode)})"
            found.append(Culprit(item, reason, died=True))
        elif seconds > timeout and process is not None and is_stopped(pid):
            found.append(Culprit(item, "the process that read it was stopped from outside", died=True))
        elif seconds > timeout:
            found.append(Culprit(item, f"reading it took longer than {timeout:g} s", died=False))
    return found


def exit_in_words(code: int | None) -> str:
    """How a process has ended: "signal 9, SIGKILL"."""
    if code is not None and code < 0:
        return f"signal {-code}, {signal.Signals(-code).name}"
    return f"exit status {code}"
