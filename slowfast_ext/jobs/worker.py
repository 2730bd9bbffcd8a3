"""A process that works through buckets: first its own, then what nobody has done."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slowfast_ext.data.supervisor import MOST_DEATHS
from slowfast_ext.jobs.claims import Member
from slowfast_ext.jobs.fetch import local_file
from slowfast_ext.jobs.names import file_state, public_name
from slowfast_ext.jobs.plan import JobPlan
from slowfast_ext.jobs.records import JobRecords, RowWriter, is_done, mark_from
from slowfast_ext.jobs.work import FAILED, VideoResult, VideoWork
from slowfast_ext.video import VideoError
from vtn.errors import InputError


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
        known, deaths = self._records.read(bucket)
        size, records, failed, before = self._records.sizes(), [], 0, self._new
        for name in self._plan.names(bucket):
            path, state = public_name(name), file_state(name)
            record = known.get(path)
            retried = record is not None and record["state"] == FAILED and record["at"] < retry_since
            if not retried and is_done(record, state, size):
                records.append(record)
                failed += record["state"] == FAILED
                continue
            self._member.note(bucket, path, len(records), failed, self._new)
            began = time.monotonic()
            result = self._result(name, state, deaths.get(path, []))
            took = time.monotonic() - began
            records.append(self._writer.add(bucket, name, state, result, took))
            failed += result.state == FAILED
            self._new += 1
        self._writer.commit()
        new = self._new > before
        if new:
            self._member.note(bucket, "", len(records), failed, self._new)
        if new or self._records.mark_of(bucket, self._plan, size) is None:
            self._records.mark(bucket, mark_from(self._plan, records))
        return new

    def _result(self, name: str, state: tuple[int, int], deaths: list[str]) -> VideoResult:
        path = public_name(name)
        if len(deaths) >= MOST_DEATHS:
            return self._work.fail(path, state, f"{path}: {deaths[-1]}.")
        try:
            with local_file(name) as file:
                result = self._work.do(file, path, state)
        except VideoError as error:
            return self._work.fail(path, state, str(error))
        except InputError:
            raise
        except Exception as error:
            # At this boundary whatever one file provokes must not end the work on all others.
            return self._work.fail(path, state, f"{path}: {type(error).__name__}: {error}")
        if file_state(name) != state:
            return self._work.fail(path, state, f"{path}: it was changed while it was read.")
        return result
