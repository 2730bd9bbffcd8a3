"""What became of each video, noted at once, so that an interrupted run can continue."""

import fcntl
import json
import os
from dataclasses import asdict
from pathlib import Path

from slowfast_ext.prepare.process import Job, Outcome
from vtn.errors import InputError

NAME = "journal.jsonl"


class Journal:
    """A file of JSON lines in the folder that is written into; one run at a time holds it.

    Each line names a file as it was, by path, size and time of its last change, and the work that was done.
    """

    def __init__(self, out: Path) -> None:
        """Open the journal and read what earlier runs left.

        Raises:
            InputError: If it cannot be written, or another run holds it.
        """
        self._path = out / NAME
        try:
            self._file = self._path.open("a+", encoding="utf-8")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"Another run is writing into {out}: wait for it or end it.") from None
        except OSError as error:
            raise InputError(f"cannot write {self._path}: {error.strerror}.") from error
        # The lines as they are: parsed, those of half a million videos would fill the memory.
        self._lines: dict[str, str] = {}
        self._file.seek(0)
        line = "\n"
        for line in self._file:
            try:
                self._lines[json.loads(line)["path"]] = line
            except json.JSONDecodeError:
                continue  # a run was killed while it wrote this line: its video is done again
            except (KeyError, TypeError):
                raise InputError(f"{self._path} is not a journal of this program.") from None
        if not line.endswith("\n"):
            self._file.write("\n")

    def find(self, job: Job) -> Outcome | None:
        """What became of a video, if the file is still the same and this very work was done on it."""
        line = self._lines.get(job.path)
        if line is None:
            return None
        record = json.loads(line)
        if {**record, **self._identity(job)} != record:
            return None
        outcome = Outcome(**record["outcome"])
        if job.copy and not outcome.reason and _size(job.copy) != outcome.copy_bytes:
            return None
        return outcome

    def add(self, job: Job, outcome: Outcome) -> None:
        """Write down what became of a video.

        Raises:
            InputError: If it cannot be written, as when the disk is full.
        """
        record = {**self._identity(job), "outcome": asdict(outcome)}
        try:
            self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise InputError(f"cannot write {self._path}: {error.strerror}.") from error

    def close(self) -> None:
        """Let other runs write."""
        self._file.close()

    def _identity(self, job: Job) -> dict[str, str | int]:
        """What must be the same for a record to be true of a video; the folder may have been moved."""
        try:
            status = os.stat(job.path)
            size, changed = status.st_size, status.st_mtime_ns
        except OSError:
            size = changed = -1
        copy = os.path.relpath(job.copy, self._path.parent.absolute()) if job.copy else ""
        return {"path": job.path, "size": size, "mtime_ns": changed, "work": job.work.name, "copy": copy}


def _size(path: str) -> int:
    return os.path.getsize(path) if os.path.isfile(path) else -1
