"""A process that works through buckets: first its own, then what nobody has done."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from slowfast_ext.data.supervisor import MOST_DEATHS
from slowfast_ext.jobs.claims import Member
from slowfast_ext.jobs.fetch import local_file
from slowfast_ext.jobs.names import file_state, public_name
from slowfast_ext.jobs.plan import JobPlan
from slowfast_ext.jobs.records import JobRecords, RowWriter, is_done, mark_from
from slowfast_ext.jobs.work import FAILED, VideoResult, VideoWork
from slowfast_ext.video import VideoError
from vtn.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class JobShare:
    """The buckets that one of several processes begins with; which they are matters to speed alone.

    Attributes:
        number: From 0.
        of: How many processes there are.
        retry_since: Do what failed before this time anew, as in records; none if empty.
    """

    number: int
    of: int
    retry_since: str = ""


class JobWorker:
    """One process of a job.

    Args:
        folder: Of the job.
        plan: Its videos.
        records: What was done.
        member: This process.
        work: What is done with a video.
    """

    def __init__(
        self, folder: Path, plan: JobPlan, records: JobRecords, member: Member, work: VideoWork
    ) -> None:
        self._plan, self._records, self._member, self._work = plan, records, member, work
        self._writer = RowWriter(folder, records, member.name)
        self._new = 0  # videos that this process has done

    def run(self, share: JobShare) -> None:
        """Work until nothing is left that nobody else is at.

        Raises:
            InputError: If it is no use to go on.
        """
        try:
            # Also those that are finished: a file may have changed since.
            for bucket in self._plan.buckets:
                if int(bucket, 16) % share.of == share.number:
                    self._take(bucket, share.retry_since)
            while sum(self._take(bucket, share.retry_since) for bucket in self._left(share)):
                pass
        finally:
            self._writer.close()

    def _left(self, share: JobShare) -> Iterator[str]:
        """Buckets that are not finished; each process begins elsewhere."""
        buckets = list(self._plan.buckets)
        first = len(buckets) * share.number // share.of
        for bucket in (*buckets[first:], *buckets[:first]):
            # Sizes as they are now: a pass may take hours, in which others go on.
            if self._records.mark_of(bucket, self._plan, self._records.sizes()) is None:
                yield bucket

    def _take(self, bucket: str, retry_since: str) -> bool:
        """Do what is left of a bucket, unless another process is at it; whether there was any video."""
        if not self._member.take(bucket):
            return False
        try:
            return self._do(bucket, retry_since)
        finally:
            self._member.give_back(bucket)

    def _do(self, bucket: str, retry_since: str) -> bool:
        records, left = left_in(self._plan, self._records, bucket, slice(None), retry_since)
        failed = sum(record["state"] == FAILED for record in records)
        for video in map(VideoLeft.as_now, left):
            self._member.note(bucket, video.path, len(records), failed, self._new)
            began = time.monotonic()
            result = result_of(self._work, video)
            took = time.monotonic() - began
            records.append(self._writer.add(bucket, video.name, video.state, result, took))
            failed += result.state == FAILED
            self._new += 1
        self._writer.commit()
        if left:
            self._member.note(bucket, "", len(records), failed, self._new)
        if left or self._records.mark_of(bucket, self._plan, self._records.sizes()) is None:
            self._records.mark(bucket, mark_from(self._plan, records))
        return bool(left)


class VideoLeft(NamedTuple):
    """A video that is to be done.

    Attributes:
        name: With credentials, where it has any.
        path: By which it is known.
        state: file_state(name).
        why: Why it is given up, if it has ended too many processes.
    """

    name: str
    path: str
    state: tuple[int, int]
    why: str = ""

    def as_now(self) -> "VideoLeft":
        """Its file may have changed while others were done."""
        return self._replace(state=file_state(self.name))


def left_in(
    plan: JobPlan, records: JobRecords, bucket: str, part: slice, retry_since: str
) -> tuple[list[dict[str, Any]], list[VideoLeft]]:
    """Records of those videos in a part of a bucket that are done, and the others.

    Args:
        plan: Of all videos.
        records: What was done.
        bucket: Which one.
        part: Of its names.
        retry_since: As in JobShare.
    """
    known, deaths = records.read(bucket)
    size, done, left = records.sizes(), [], []
    for name in plan.names(bucket)[part]:
        path, state = public_name(name), file_state(name)
        record = known.get(path)
        retried = record is not None and record["state"] == FAILED and record["at"] < retry_since
        if not retried and is_done(record, state, size):
            done.append(record)
            continue
        whys = deaths.get(path, [])
        why = f"{path}: {whys[-1]}." if len(whys) >= MOST_DEATHS else ""
        left.append(VideoLeft(name, path, state, why))
    return done, left


def result_of(work: VideoWork, video: VideoLeft) -> VideoResult:
    """What a work makes of a video, whatever that is."""

    def do() -> VideoResult:
        with local_file(video.name) as file:
            return work.do(file, video.path, video.state)

    return checked_result(work, video, *try_video(video, do))


def try_video(video: VideoLeft, do: Callable[[], T]) -> tuple[T | None, str]:
    """What a function gives of a video; or None, and why.

    Raises:
        InputError: If the job cannot go on.
    """
    if video.why:
        return None, video.why
    try:
        return do(), ""
    except VideoError as error:
        return None, str(error)
    except InputError:
        raise
    except Exception as error:
        # At this boundary whatever one file provokes must not end the work on all others.
        return None, f"{video.path}: {type(error).__name__}: {error}"


def checked_result(work: VideoWork, video: VideoLeft, result: VideoResult | None, why: str) -> VideoResult:
    """The result, or that of a video that has failed."""
    if result is not None and file_state(video.name) != video.state:
        result, why = None, f"{video.path}: it was changed while it was read."
    return work.fail(video.path, video.state, why) if result is None else result
