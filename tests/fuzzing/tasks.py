"""Any work on many files, each file a task of its own, in processes that the supervisor watches."""

import contextlib
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader, Dataset

from slowfast_ext.data.supervisor import POLL_SECONDS, STARTS_IN_VAIN, Watched, given_up, until_trouble
from slowfast_ext.data.workers import MOST_MEMORY, survivable_context
from slowfast_ext.processes import limit_memory
from vtn.errors import InputError


@dataclass(frozen=True)
class Lost:
    """A task without a result.

    Attributes:
        reason: A clause: "the process that read it died (signal 11, SIGSEGV)".
    """

    reason: str


def run_tasks(
    function: Callable[[Any], Any], tasks: Sequence[Any], *, jobs: int, timeout: float
) -> Iterator[tuple[Any, Any]]:
    """Do tasks in processes, each by itself.

    A process that dies on a task twice, or is longer than `timeout` at it, costs that task. The tasks that
    others are at when that happens begin anew. Ctrl-C is for this process alone; nothing is left running when
    nobody asks for more results.

    Args:
        function: Takes a task and gives a result that can be pickled.
        tasks: They begin in this order, at most `jobs` at a time.
        jobs: Processes.
        timeout: Seconds for one task.

    Yields:
        (task, result) as they are done; the result is Lost if the task was given up or the function raised.

    Raises:
        InputError: If the function raised one: it is no use to go on.
    """
    remaining, deaths, in_vain = list(range(len(tasks))), Counter(), 0
    while remaining:
        watched, done, culprits = Watched(_Tasks(function, tasks), jobs), set(), []
        loader = _TaskLoader(watched, remaining, jobs)
        with contextlib.closing(until_trouble(loader, watched, timeout, culprits)) as results:
            for item, result in results:
                done.add(item)
                if isinstance(result, InputError):
                    raise result
                yield tasks[item], result
        lost = dict(given_up(culprits, deaths))
        for item, reason in lost.items():
            yield tasks[item], Lost(reason)
        remaining = [item for item in remaining if item not in done and item not in lost]
        in_vain = 0 if done or culprits else in_vain + 1
        if remaining and in_vain == STARTS_IN_VAIN:
            raise RuntimeError(f"The processes for the tasks have died or hung {in_vain} times at no task.")


class _Tasks(Dataset):
    """Results by the number of the task; what is raised is one too, so that it comes as it was raised."""

    def __init__(self, function: Callable[[Any], Any], tasks: Sequence[Any]) -> None:
        self.function, self.tasks = function, tasks

    def __getitem__(self, item: int) -> tuple[int, Any]:
        try:
            return item, self.function(self.tasks[item])
        except InputError as error:
            return item, error
        except Exception as error:
            # At this boundary whatever one file provokes must not end the work on all others.
            return item, Lost(f"{type(error).__name__}: {error}")


class _TaskLoader(DataLoader):
    """Results of tasks as they are done."""

    def __init__(self, watched: Watched, items: Sequence[int], jobs: int) -> None:
        super().__init__(
            watched,
            sampler=items,
            batch_size=None,
            collate_fn=_as_it_is,
            num_workers=jobs,
            prefetch_factor=1,  # or a task would wait behind a long one
            in_order=False,
            timeout=POLL_SECONDS,
            worker_init_fn=_prepare_worker,
            multiprocessing_context=survivable_context("fork"),
        )

    def check_worker_number_rationality(self) -> None:
        """Warn of nothing: more processes than cores are for whoever asked for them."""


def _as_it_is(result: Any) -> Any:
    return result


def _prepare_worker(worker: int) -> None:
    """Ctrl-C goes to all processes of a terminal; the one that started this one, alone, is to answer it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit_memory(MOST_MEMORY)
    # PyTorch's handlers print a line that does not name the file.
    for fatal in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE):
        signal.signal(fatal, signal.SIG_DFL)
