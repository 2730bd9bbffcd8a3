"""A disk for the files of a training that can be filled: a small one of its own, or a limit on file sizes."""

import errno
import os
import resource
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_BYTES = 256 * 2**20
# Less than any checkpoint, more than any text.
_FILE_BYTES = 100_000


class Disk:
    """A file system in memory where this user may mount one; else files of the ranks may not grow.

    Args:
        folder: Becomes the disk.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        command = ["mount", "-t", "tmpfs", "-o", f"size={_BYTES},mode=755", "soak", str(folder)]
        self.is_mounted = False
        with suppress(OSError):
            self.is_mounted = subprocess.run(command, capture_output=True).returncode == 0

    @property
    def how(self) -> str:
        """In words, how it is filled."""
        return "a tmpfs that is filled" if self.is_mounted else "RLIMIT_FSIZE of the ranks"

    @contextmanager
    def full(self, ranks: Sequence[int]) -> Iterator[None]:
        """Within, nothing large can be written by the ranks, processes of this user."""
        if not self.is_mounted:
            with _limited(ranks):
                yield
            return
        filler = self._folder / "filler"
        try:
            _fill(filler)
            yield
        finally:
            filler.unlink(missing_ok=True)

    def remove(self) -> None:
        """Unmount it."""
        if self.is_mounted:
            subprocess.run(["umount", "-l", str(self._folder)], check=True)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


@contextmanager
def _limited(ranks: Sequence[int]) -> Iterator[None]:
    before = {}
    for pid in ranks:
        with suppress(ProcessLookupError):
            before[pid] = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (_FILE_BYTES, before[pid][1]))
    try:
        yield
    finally:
        for pid, limits in before.items():
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def may_mount() -> bool:
    """Whether this user is root, as whom a small disk may be mounted and another user may be taken."""
    return os.geteuid() == 0
