"""All rows of a job as one file, in an order that follows from the names of the videos alone."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from slowfast_ext.files import reason_of, write_text
from slowfast_ext.jobs.claims import Member
from slowfast_ext.jobs.names import public_name
from slowfast_ext.jobs.plan import JobPlan
from slowfast_ext.jobs.records import LOST, BucketMark, JobRecords, RowReader
from slowfast_ext.jobs.summary import JobSummary
from slowfast_ext.jobs.work import VideoJob
from vtn.errors import InputError
from vtn.weight_files import whole_file

_MERGE, _MERGED = "merge", "merged.json"
# What of a record the manifest says.
_SAID = ("path", "state", "why", "bytes", "mtime_ns", "seconds", "took", "model", "by", "at")


@dataclass
class Merged:
    """What was merged.

    Attributes:
        summary: Of all videos.
        damaged: How many rows were not as they were written: their videos are to be done anew.
    """

    summary: JobSummary = field(default_factory=JobSummary)
    damaged: int = 0


def finish_job(
    job: VideoJob,
    plan: JobPlan,
    records: JobRecords,
    marks: dict[str, BucketMark],
    member: Member,
    again: str,
) -> dict[str, Any] | None:
    """Write the output, the manifest and the report of a job, unless they are those of these rows.

    Args:
        job, plan, records: As for merge_rows.
        marks: Of all buckets.
        member: This process.
        again: What to type to try again what failed.

    Returns:
        "reasons" why videos failed, how many rows are "damaged", and how many videos the output had "before";
        None if another process is at it.

    Raises:
        InputError: If a file cannot be written.
    """
    digest = hashlib.blake2b(f"{plan.digest} {job.output.path.name}".encode(), digest_size=16)
    for _, mark in sorted(marks.items()):
        digest.update(json.dumps(mark).encode())
    path, signature = job.folder / _MERGED, digest.hexdigest()
    if not member.take(_MERGE):
        return None
    try:
        try:
            told = json.loads(path.read_text())
        except (OSError, ValueError):
            told = {}
        before = told.get("videos", 0)
        written = job.output.is_current() and job.manifest.exists() and job.report.exists()
        if told.get("rows") != signature or not written:
            path.unlink(missing_ok=True)
            merged = merge_rows(job, plan, records)
            reasons = dict(merged.summary.failures.counts())
            told = {"rows": signature, "reasons": reasons, "damaged": merged.damaged}
            told["videos"] = plan.num_videos
            if not merged.damaged:
                from slowfast_ext.jobs.report import write_job_report  # which loads Matplotlib

                write_job_report(job, plan, merged.summary, again)
                write_text(path, json.dumps(told))
        return told | {"before": before}
    finally:
        member.give_back(_MERGE)


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
        with whole_file(job.manifest, part) as file, RowReader(job.folder) as reader:
            job.output.write(_rows(job, plan, records, reader, merged, file))
    except _Damaged:
        pass
    except OSError as error:
        raise InputError(f"cannot write {job.manifest}: {reason_of(error)}.") from error
    return merged


def _rows(
    job: VideoJob,
    plan: JobPlan,
    records: JobRecords,
    reader: RowReader,
    merged: Merged,
    manifest: BinaryIO,
) -> Iterator[str]:
    for bucket in plan.buckets:
        lost, ends = [], []
        found, _ = records.read(bucket, ends)
        for record in ends:
            merged.summary.add_end(record)
        for path in map(public_name, plan.names(bucket)):
            record = found.get(path)
            row = None if record is None else reader.row(record)
            if row is None or not job.output.is_sound(row):
                lost.append({"path": path, "state": LOST})
                continue
            said = {key: record[key] for key in _SAID if key in record}
            manifest.write(json.dumps(said).encode() + b"\n")
            merged.summary.add(record)
            yield row
        if lost:
            merged.damaged += len(lost)
            records.append(bucket, lost)
            records.unmark(bucket)
    if merged.damaged:
        raise _Damaged


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
