"""Where the copies of videos are, and where they are made: any number of processes may make the same one."""

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from slowfast_ext.jobs.claims import this_host
from slowfast_ext.processes import start_time

# Hidden, so that no part of a copy is taken for a video.
_PARTS = ".parts"
# Seconds without a change, after which the part of a process of another machine counts as left behind.
_LEFT = 3600.0


class Copies:
    """A folder of copies that mirrors one of originals.

    Args:
        folder: Of the copies, absolute.
        originals: Folder of the originals, absolute.
    """

    def __init__(self, folder: Path, originals: Path) -> None:
        self._folder, self._originals = folder, originals

    def of(self, path: str) -> str:
        """Where the copy of a video is to be."""
        return os.path.join(self._folder, self.name(path))

    def name(self, path: str) -> str:
        """The same within the folder, which may be moved."""
        within = os.path.relpath(path, self._originals)
        # The old suffix stays: a.avi and a.mp4 are two videos.
        return within if within.lower().endswith(".mp4") else f"{within}.mp4"

    @contextlib.contextmanager
    def new(self, path: str) -> Iterator[Path]:
        """A file of this process alone, which takes the place of the copy when it is complete and on disk.

        Raises:
            OSError: If it cannot be written.
        """
        copy = self.of(path)
        part = self._folder / _PARTS / f"{_process(os.getpid())}-{secrets.token_hex(4)}"
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            yield part
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(copy)
        finally:
            part.unlink(missing_ok=True)

    def remove_left(self) -> None:
        """Remove what processes that were killed have left of copies."""
        parts = self._folder / _PARTS
        with contextlib.suppress(OSError, ValueError):  # no part is in anybody's way
            for part in parts.iterdir():
                if _is_left(part):
                    part.unlink(missing_ok=True)
            parts.rmdir()


def _process(pid: int) -> str:
    """A process of this machine as the beginning of a file name."""
    host = hashlib.blake2b(this_host().encode(), digest_size=6).hexdigest()
    return f"{host}-{pid}-{start_time(pid)}"


def _is_left(part: Path) -> bool:
    host, pid, *_ = part.name.split("-")
    if host == _process(int(pid)).split("-")[0]:
        return not part.name.startswith(f"{_process(int(pid))}-")
    return time.time() - part.stat().st_mtime > _LEFT
