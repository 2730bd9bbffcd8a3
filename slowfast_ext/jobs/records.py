"""What a job has done: rows in files of each process, and for each bucket records of where they are.

A row is on the disk before its record is written, and the record before the bucket is marked as finished. So
what a record says holds after any end of any process; a record whose row is not there counts for nothing.
"""

import contextlib
import json
import os
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from slowfast_ext.files import reason_of
from slowfast_ext.jobs.names import public_name
from slowfast_ext.jobs.plan import JobPlan
from slowfast_ext.jobs.work import FAILED, REPAIRED, VideoResult
from vtn.errors import InputError

# Seconds of work that may be lost: so long rows are gathered before they are written out.
_GATHER = 1.0
DIED, LOST = "died", "lost"
_OPEN = 64  # files of rows


class BucketMark(NamedTuple):
    """Of a finished bucket.

    Attributes:
        plan: Digest of the plan whose videos of it are done.
        videos, repaired, failed: How many.
        ends: Of each file with their rows, where the last of these ends.
    """

    plan: str
    videos: int
    repaired: int
    failed: int
    ends: dict[str, int]


class JobRecords:
    """The records of a job.

    Args:
        folder: Of the job.
        model: Fingerprint; records of another one count for nothing.
    """

    def __init__(self, folder: Path, model: str) -> None:
        self._rows, self._records = folder / "rows", folder / "records"
        self._finished, self.model = folder / "finished", model

    def read(
        self, bucket: str, died: list[dict[str, Any]] | None = None
    ) -> tuple[dict[str, dict[str, Any]], dict[str, list[str]]]:
        """Of each video that has a row its last record, and why processes ended at a video since then.

        Args:
            bucket: Which.
            died: Receives the records of all ends of processes.
        """
        found: dict[str, dict[str, Any]] = {}
        deaths: dict[str, list[str]] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in (self._records / bucket).read_bytes().split(b"\n"):
                try:
                    record = json.loads(line)
                    path, state, model = record["path"], record["state"], record["model"]
                except (ValueError, KeyError, TypeError):
                    continue  # half a line, of a process that was killed
                if model != self.model:
                    continue
                if state == DIED:
                    if died is not None:
                        died.append(record)
                    deaths.setdefault(path, []).append(record["why"])
                elif state == LOST:
                    found.pop(path, None)
                else:
                    found[path] = record
                    deaths.pop(path, None)
        return found, deaths

    def append(self, bucket: str, records: list[dict[str, Any]]) -> None:
        """Write records out.

        Raises:
            OSError: If that is not possible.
        """
        path = self._records / bucket
        text = b"".join(json.dumps(record | {"model": self.model}).encode() + b"\n" for record in records)
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":  # half a line must not swallow the next
                text = b"\n" + text
            _write_all(file, text)
            os.fsync(file)
        finally:
            os.close(file)
        if not size:
            sync_folder(self._records)

    def sizes(self) -> Callable[[str], int]:
        """A function that gives the size of a file of rows, which it asks the disk for once."""
        known: dict[str, int] = {}

        def size(part: str) -> int:
            if part not in known:
                try:
                    known[part] = (self._rows / part).stat().st_size
                except OSError:
                    known[part] = -1
            return known[part]

        return size

    def mark(self, bucket: str, mark: BucketMark) -> None:
        """Note that a bucket is finished."""
        path = self._finished / bucket
        part = path.with_name(f".{bucket}.{os.getpid()}")
        part.write_text(json.dumps(mark._asdict()))
        part.replace(path)

    def unmark(self, bucket: str) -> None:
        """Note that it is not."""
        (self._finished / bucket).unlink(missing_ok=True)

    def mark_of(self, bucket: str, plan: JobPlan, size: Callable[[str], int]) -> BucketMark | None:
        """The mark of a bucket if the videos of a plan are done and their rows are as long as they were."""
        try:
            mark = BucketMark(**json.loads((self._finished / bucket).read_text()))
        except (OSError, ValueError, TypeError):
            return None
        there = mark.plan == plan.digest and all(size(part) >= end for part, end in mark.ends.items())
        return mark if there else None


class RowReader:
    """Rows of all processes, by their records. Few files are open at a time.

    Args:
        folder: Of the job.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._open = folder / "rows", {}

    def __enter__(self) -> "RowReader":
        return self

    def __exit__(self, *error: object) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def row(self, record: dict[str, Any]) -> str | None:
        """The row of a record; None if it is gone or damaged."""
        try:
            content = os.pread(self._file(record["part"]), record["length"], record["offset"])
        except OSError:
            return None
        whole = len(content) == record["length"] and zlib.crc32(content) == record["crc"]
        return content.decode().rstrip("\n") if whole else None

    def _file(self, part: str) -> int:
        file = self._open.pop(part, None)
        if file is None:
            file = os.open(self._folder / part, os.O_RDONLY)
        self._open[part] = file  # the last of them was used last
        if len(self._open) > _OPEN:
            os.close(self._open.pop(next(iter(self._open))))
        return file


class RowWriter:
    """Rows of one process, and their records.

    Args:
        folder: Of the job.
        records: Of the job.
        by: Name of the process, and of its file.
    """

    def __init__(self, folder: Path, records: JobRecords, by: str) -> None:
        self._folder, self._records, self._by = folder / "rows", records, by
        self._file, self._end, self._gathered = -1, 0, time.monotonic()
        self._text, self._waiting = [], []

    def add(
        self, bucket: str, name: str, state: tuple[int, int], result: VideoResult, took: float = 0.0
    ) -> dict[str, Any]:
        """Take a row; it is done after `commit`, which this calls now and then. `took` is in seconds.

        Returns:
            Its record.
        """
        text = result.row.encode() + b"\n"
        record = {
            "path": public_name(name),
            "state": result.state,
            "why": result.why,
            "bytes": state[0],
            "mtime_ns": state[1],
            "seconds": round(result.seconds, 3),
            "took": round(took, 3),
            "by": self._by,
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "part": self._by,
            "offset": self._end,
            "length": len(text),
            "crc": zlib.crc32(text),
        }
        self._end += len(text)
        self._text.append(text)
        self._waiting.append((bucket, record))
        if time.monotonic() - self._gathered > _GATHER:
            self.commit()
        return record

    def commit(self) -> None:
        """Write all rows out, then their records.

        Raises:
            InputError: If that is not possible, as when the disk is full.
        """
        if not self._waiting:
            return
        try:
            if self._file < 0:
                self._file = os.open(self._folder / self._by, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
                sync_folder(self._folder)
            _write_all(self._file, b"".join(self._text))
            os.fsync(self._file)
            for bucket in dict.fromkeys(bucket for bucket, _ in self._waiting):
                self._records.append(bucket, [record for of, record in self._waiting if of == bucket])
        except OSError as error:
            raise InputError(f"cannot write {self._folder.parent}: {reason_of(error)}.") from error
        self._text, self._waiting, self._gathered = [], [], time.monotonic()

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)


def is_done(record: dict[str, Any] | None, state: tuple[int, int], size: Callable[[str], int]) -> bool:
    """Whether the row of a record is there, and of the file as it is now."""
    if record is None or (record["bytes"], record["mtime_ns"]) != state:
        return False
    return size(record["part"]) >= record["offset"] + record["length"]


def mark_from(plan: JobPlan, records: list[dict[str, Any]]) -> BucketMark:
    """The mark of a bucket with these records."""
    states, ends = Counter(record["state"] for record in records), {}
    for record in records:
        end = record["offset"] + record["length"]
        ends[record["part"]] = max(end, ends.get(record["part"], 0))
    return BucketMark(plan.digest, len(records), states[REPAIRED], states[FAILED], ends)


def sync_folder(folder: Path) -> None:
    """See to it that the names of new files outlive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]
