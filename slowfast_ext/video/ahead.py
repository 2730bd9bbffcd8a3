"""Work of an iterator in a thread of its own, while the one who asked for its items is at work too."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
_END = object()


def ahead(items: Iterator[T], most: int = 4) -> Iterator[T]:
    """The same items in the same order, and what is raised between them.

    Args:
        items: Fetched in a thread that lives as long as this is used.
        most: That are fetched before they are asked for.
    """
    with ThreadPoolExecutor(1, "ahead") as thread:
        try:
            waiting = deque(thread.submit(next, items, _END) for _ in range(most))
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(thread.submit(next, items, _END))
                yield item
        finally:
            thread.shutdown(cancel_futures=True)
