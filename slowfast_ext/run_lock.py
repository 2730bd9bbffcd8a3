"""One training for each OUTPUT_DIR: a file there says who is at work."""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from slowfast_ext.processes import start_time
from vtn.errors import InputError

LOCK = "lock.json"
_ENTRIES = {"host": str, "pid": int, "time": str, "began": str}


@contextlib.contextmanager
def alone_in_folder(output_dir: str) -> Iterator[str]:
    """Within, no other training uses the folder, which is made; for the first of several processes.

    The file names host, process and when that process began, so that a number that was given to another
    process meanwhile is noticed. What a process that is gone has left on this host is taken over.

    Yields:
        A sentence for the log if something was taken over, else an empty text.

    Raises:
        InputError: If another training uses it.
    """
    path = Path(output_dir) / LOCK
    own = _this_process()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        taken = _take(path, own)
    except OSError as error:
        raise InputError(f"OUTPUT_DIR {output_dir!r} cannot be locked: {error.strerror}") from error
    try:
        yield taken
    finally:
        if _read(path) == own:
            with contextlib.suppress(OSError):
                path.unlink()


def release_for(pids: Collection[int], output_dir: str) -> None:
    """Remove the lock of a process that was killed before it could; that of any other one stays.

    Args:
        pids: Processes that this one has started, and that have ended.
        output_dir: Their folder.
    """
    path = Path(output_dir) / LOCK
    with contextlib.suppress(OSError), _one_at_a_time(path.parent):
        lock = _read(path)
        if lock and lock["host"] == socket.gethostname() and lock["pid"] in pids and not _lives(lock):
            path.unlink()


def _take(path: Path, own: dict[str, Any]) -> str:
    part = path.with_name(f".{path.name}.{own['pid']}")
    part.write_text(json.dumps(own) + "\n", encoding="utf-8")
    try:
        with _one_at_a_time(path.parent):
            try:
                os.link(part, path)  # whole, and only if there is none
            except OSError:  # there is one, or the disk knows no second names
                told = _refuse_if_used(path) if path.exists() else ""
                part.replace(path)
                return told
        return ""
    finally:
        part.unlink(missing_ok=True)


def _refuse_if_used(path: Path) -> str:
    """A sentence on the file of a process that is gone.

    Raises:
        InputError: If it may be there.
    """
    other, folder = _read(path), str(path.parent)
    if not other:
        return f"{path} says nothing: it is taken over"
    who = f"process {other['pid']}, since {other['time']}"
    if other["host"] != socket.gethostname():
        raise InputError(
            f"OUTPUT_DIR {folder!r} is in use by a run on the host {other['host']} ({who}): if that has "
            f"ended, remove {path}"
        )
    if _lives(other):
        raise InputError(
            f"OUTPUT_DIR {folder!r} is in use by another run ({who}): wait for it, stop it, or type another "
            "OUTPUT_DIR"
        )
    return f"The run before ({who}) has ended and left {path} behind: it is taken over"


def _lives(lock: dict[str, Any]) -> bool:
    """Whether the process of a lock of this host has not ended."""
    return lock["began"] == start_time(lock["pid"])


def _this_process() -> dict[str, Any]:
    pid = os.getpid()
    return {
        "host": socket.gethostname(),
        "pid": pid,
        "time": time.strftime("%Y-%m-%d %H:%M:%S"),
        "began": start_time(pid),
    }


def _read(path: Path) -> dict[str, Any]:
    """Who has locked a folder; nothing if the file does not say."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: kind(found[name]) for name, kind in _ENTRIES.items()}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Within, no other process of this machine takes over the lock of the folder, if the disk allows it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
