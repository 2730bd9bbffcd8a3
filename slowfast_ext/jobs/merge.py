"""All rows of a job as one file, in an order that follows from the names of the videos alone."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from slowfast_ext.files import reason_of
from slowfast_ext.jobs.names import public_name
from slowfast_ext.jobs.plan import JobPlan
from slowfast_ext.jobs.records import LOST, JobRecords
from slowfast_ext.jobs.work import FAILED, VideoJob
from vtn.errors import InputError
from vtn.weight_files import whole_file

# What of a record the manifest says.
_SAID = ("path", "state", "why", "bytes", "mtime_ns", "model", "by", "at")


@dataclass
class Merged:
    """What was merged.

    Attributes:
        reasons: How many failed for each reason, without their names.
        damaged: How many rows were not as they were written: their videos are to be done anew.
    """

    reasons: Counter = field(default_factory=Counter)
    damaged: int = 0


class _Damaged(Exception):
    """Rows are not as they were written."""


def merge_rows(job: VideoJob, plan: JobPlan, records: JobRecords) -> Merged:
    """Write the output and the manifest of a job whose buckets are finished, each whole or not at all.

    Args:
        job: The job.
        plan: Its videos.
        records: What was done.

    Returns:
        If rows are damaged, nothing was written, and their buckets are no longer finished.

    Raises:
        InputError: If a file cannot be written.
    """
    merged = Merged()
    part = job.manifest.with_name(f".{job.manifest.name}.part")
    try:
        with whole_file(job.manifest, part) as file:
            job.output.write(_rows(job, plan, records, merged, file))
    except _Damaged:
        pass
    except OSError as error:
        raise InputError(f"cannot write {job.manifest}: {reason_of(error)}.") from error
    return merged


def _rows(job: VideoJob, plan: JobPlan, records: JobRecords, merged: Merged, manifest) -> Iterator[str]:
    for bucket in plan.buckets:
        found, _ = records.read(bucket)
        lost = []
        for path in map(public_name, plan.names(bucket)):
            record = found.get(path)
            row = None if record is None else records.row(record)
            if row is None or not job.output.is_sound(row):
                lost.append({"path": path, "state": LOST})
                continue
            manifest.write(json.dumps({key: record[key] for key in _SAID}).encode() + b"\n")
            if record["state"] == FAILED:
                merged.reasons[_without(path, record["why"])] += 1
            yield row
        if lost:
            merged.damaged += len(lost)
            records.append(bucket, lost)
            records.unmark(bucket)
    if merged.damaged:
        raise _Damaged


def _without(path: str, why: str) -> str:
    """A reason without the video's name."""
    return why.replace(f"{path}: ", "").replace(path, "a video").rstrip(".")


class LinesOutput:
    """Rows as JSON Lines.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, rows: Iterator[str]) -> None:
        """As JobOutput."""
        try:
            with whole_file(self.path, self.path.with_name(f".{self.path.name}.part")) as file:
                self._put(file, rows)
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {reason_of(error)}.") from error

    def is_current(self) -> bool:
        """As JobOutput."""
        return self.path.exists()

    def is_sound(self, row: str) -> bool:
        """As JobOutput."""
        return True

    def _put(self, file: BinaryIO, rows: Iterator[str]) -> None:
        for row in rows:
            file.write(row.encode() + b"\n")
