"""Who is at work in the folder of a job, and at what: one process at a time for each bucket, as a rule.

A claim is a symbolic link whose target is the name of its owner: made at once or not at all, on any disk that
several machines share. It only saves work. If two processes should hold one, as after a pause of minutes,
both write rows of their own, and one of each is taken.
"""

import contextlib
import json
import os
import re
import secrets
import socket
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from slowfast_ext.files import reason_of
from slowfast_ext.processes import start_time
from vtn.errors import InputError

# Seconds between signs of life, and without one after which a process of another machine counts as dead.
_BEAT, LEASE = 20.0, 300.0


class Member:
    """A process that works in the folder of a job.

    Args:
        folder: Of the job.
        name: Of this process, if another one has chosen it; no two have the same.
        parent: Process that has started this one. Until it has written down at which video this one died,
            or ends too, nobody takes over what this one has. 0 is none.

    Raises:
        InputError: If the folder cannot be written.
    """

    def __init__(self, folder: Path, name: str | None = None, parent: int = 0) -> None:
        self.name = new_name() if name is None else name
        self._claims, self._members = folder / "claims", folder / "members"
        self._path, self._held = self._members / self.name, set()
        pids = [os.getpid(), *([parent] if parent else [])]
        self._owner = json.dumps({"host": this_host(), "processes": [[pid, start_time(pid)] for pid in pids]})
        part = self._members / f".{self.name}"
        try:
            part.write_text(self._owner + "\n", encoding="utf-8")
            part.replace(self._path)
            self._file = os.open(self._path, os.O_RDWR)
        except OSError as error:
            raise InputError(f"cannot write {folder}: {reason_of(error)}.") from error
        self._left = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def take(self, what: str) -> bool:
        """Claim a bucket or another task; false if somebody who is alive has it."""
        link = self._claims / what
        for _ in range(2):
            with contextlib.suppress(FileExistsError):
                os.symlink(self.name, link)
                self._held.add(what)
                return True
            if not self._remove_dead(link):
                return False
        return False

    def give_back(self, what: str) -> None:
        """Let others claim it."""
        self._held.discard(what)
        link = self._claims / what
        with contextlib.suppress(OSError):
            if os.readlink(link) == self.name:
                link.unlink()

    def note(self, bucket: str = "", video: str = "", done: int = 0, failed: int = 0, new: int = 0) -> None:
        """Write down what this process is at, for whoever finds it dead, or wants to know how far it is.

        Args:
            bucket, video: Where it is; empty if nowhere.
            done, failed: Videos of the bucket.
            new: Videos that this process has done, of all buckets.
        """
        line = (json.dumps([bucket, video, time.time(), done, failed, new]) + "\n").encode()
        begin = len(self._owner) + 1
        os.pwrite(self._file, line, begin)
        os.ftruncate(self._file, begin + len(line))

    def close(self) -> None:
        """Leave the folder."""
        self._left.set()
        for what in list(self._held):
            self.give_back(what)
        os.close(self._file)
        self._path.unlink(missing_ok=True)

    def others(self) -> list[str]:
        """Names of the other processes that are alive."""
        names = [path.name for path in self._members.iterdir() if not path.name.startswith(".")]
        return sorted(name for name in names if name != self.name and self.is_alive(name))

    def is_alive(self, name: str) -> bool:
        """Whether a process may still be at work: known of this machine, else told from its signs of life."""
        try:
            owner, _ = read_member(self._members / name)
            if owner["host"] == this_host():
                return any(
                    began is not None and began == start_time(pid) for pid, began in owner["processes"]
                )
            os.utime(self._path)  # so that both times are of the clock of the disk
            age = self._path.stat().st_mtime - (self._members / name).stat().st_mtime
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return age < LEASE

    def at_work(self) -> list["AtWork"]:
        """Processes that are alive and have come to a bucket, of all machines; each is looked at once."""
        found = []
        with contextlib.suppress(OSError):
            os.utime(self._path)  # so that all times are of the clock of the disk
            now = self._path.stat().st_mtime
            for entry in os.scandir(self._members):
                with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                    if not entry.name.startswith(".") and now - entry.stat().st_mtime < LEASE:
                        owner, at = _read(self._members / entry.name)
                        pid, began = owner["processes"][0]
                        here = owner["host"] == this_host()
                        if at[0] and not (here and began != start_time(pid)):
                            found.append(AtWork(entry.name, owner["host"], at[0], *at[3:]))
        return found

    def _remove_dead(self, link: Path) -> bool:
        """Whether a claim is gone, or was of a process that is."""
        try:
            owner = os.readlink(link)
            if self.is_alive(owner):
                return False
            aside = link.with_name(f".{self.name}")
            link.rename(aside)
            found = os.readlink(aside)
            aside.unlink()
        except FileNotFoundError:
            return True
        if found != owner:  # another process was faster, and this is its claim
            with contextlib.suppress(FileExistsError):
                os.symlink(found, link)
            return False
        return True

    def _beat(self) -> None:
        while not self._left.wait(_BEAT):
            with contextlib.suppress(OSError):
                os.utime(self._path)


class AtWork(NamedTuple):
    """A process that is at work.

    Attributes:
        name: Its name.
        machine: Where it runs.
        bucket: Where it is, or was last.
        done, failed: Videos of that bucket.
        new: Videos that it has done, of all buckets.
    """

    name: str
    machine: str
    bucket: str
    done: int = 0
    failed: int = 0
    new: int = 0


def new_name() -> str:
    """A name for a process that no other has."""
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', socket.gethostname())}-{os.getpid()}-{secrets.token_hex(3)}"


def read_member(path: Path) -> tuple[dict[str, Any], tuple[str, str, float]]:
    """Who a process is, and what it was at: bucket, video, time.

    Raises:
        OSError: If it is gone.
        ValueError: If the file says nothing.
    """
    owner, (bucket, video, since, *_) = _read(path)
    return owner, (bucket, video, since)


def machine_of(name: str) -> str:
    """Where a process ran, from its name."""
    return name.rsplit("-", 2)[0]


def _read(path: Path) -> tuple[dict[str, Any], list]:
    owner, at, *_ = [*path.read_text(encoding="utf-8").split("\n"), ""]
    return json.loads(owner), json.loads(at) if at else ["", "", 0.0]


def this_host() -> str:
    """This machine; containers that share a name have other numbers for processes."""
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    return socket.gethostname()
