"""What actors of Ray do: some read videos, some have the model. Rows and records are as of other runners.

Nothing here asks Ray whether something was done: a video is done when its record is on the disk.
"""

import os
import pickle
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow
import torch

from slowfast_ext.data.workers import MOST_MEMORY
from slowfast_ext.files import reason_of
from slowfast_ext.jobs.claims import Member, new_name
from slowfast_ext.jobs.fetch import local_file
from slowfast_ext.jobs.plan import JobPlan
from slowfast_ext.jobs.records import DIED, JobRecords, RowWriter
from slowfast_ext.jobs.work import FAILED, ReadingWork, VideoResult, VideoWork
from slowfast_ext.jobs.worker import VideoLeft, checked_result, left_in, result_of, try_video
from slowfast_ext.processes import limit_memory
from vtn.errors import InputError

_NODE = 12  # digits of a node's name that are kept


@dataclass(frozen=True)
class RayOrders:
    """What all actors of a pass are told.

    Attributes:
        place: Working directory of the command.
        folder: Of the job.
        plan: Its videos.
        records: What was done.
        crew: Of which actors are; their names as members have it, and the beginning of that of their node.
        began: As JobShare.retry_since.
        timeout: Seconds after which a video has failed.
        make: Makes the work.
        reader: VideoJob.reader.
    """

    place: str
    folder: Path
    plan: JobPlan
    records: JobRecords
    crew: str
    began: str
    timeout: float
    make: Callable[[], VideoWork]
    reader: ReadingWork | None


def pieces_table(pieces: list[tuple[str, int, int]]) -> pyarrow.Table:
    """Parts of buckets, from one name to another, as a block of Ray Data."""
    bucket, begin, end = zip(*pieces, strict=True)
    return pyarrow.table({"bucket": bucket, "begin": begin, "end": end})


def crew_of(driver: str) -> str:
    """What the names of actors have in common, from the name of the process that asked for them."""
    return driver.rpartition("-")[2]


def node_of(member: str) -> str:
    """The beginning of the name of the node that an actor was on."""
    return member.rpartition(".")[2]


class _Actor:
    """One process of a pass.

    It never raises what ends a job, which Ray would take for the fault of a block: it tells the driver.
    """

    def __init__(self, orders: RayOrders) -> None:
        import ray

        self._orders, self._error, self._at = orders, "", None
        node = ray.get_runtime_context().get_node_id()[:_NODE]
        for fatal in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE):
            signal.signal(fatal, signal.SIG_DFL)
        # As many threads everywhere: sums of other parts could differ in their last digits.
        torch.set_num_threads(1)
        try:
            os.chdir(orders.place)
            self._member = Member(orders.folder, f"{new_name()}.{orders.crew}.{node}")
            self._begin()
            if not torch.cuda.is_initialized():  # which takes addresses without memory behind them
                limit_memory(MOST_MEMORY)
            threading.Thread(target=self._end_if_long, daemon=True).start()
        except (InputError, OSError) as error:
            self._error = self._told(error)

    def _begin(self) -> None:
        """Make what this kind of actor needs."""

    def _told(self, error: Exception) -> str:
        if isinstance(error, OSError):
            return f"cannot use {error.filename or self._orders.folder} on {os.uname().nodename}: " + (
                f"{reason_of(error)}."
            )
        return str(error)

    def _note(self, bucket: str = "", video: str = "") -> None:
        self._at = (bucket, video, time.monotonic()) if video else None
        self._member.note(bucket, video, *self._counts())

    def _counts(self) -> tuple[int, int, int]:
        """Of Member.note: videos of the bucket that are done, that failed, and all that this process did."""
        return 0, 0, 0

    def _left(self, piece: dict[str, Any]) -> Iterator[VideoLeft]:
        orders, part = self._orders, slice(piece["begin"], piece["end"])
        _, left = left_in(orders.plan, orders.records, piece["bucket"], part, orders.began)
        return map(VideoLeft.as_now, left)

    def _end_if_long(self) -> None:
        """Give up a video that takes too long, and this process with it."""
        while True:
            time.sleep(min(1.0, self._orders.timeout / 4))
            at = self._at
            if at is not None and time.monotonic() - at[2] > self._orders.timeout:
                why = f"it took longer than {self._orders.timeout:g} s"
                died = {"path": at[1], "state": DIED, "why": why, "by": self._member.name}
                self._orders.records.append(at[0], [died] * 2)
                self._member.note()  # so that it is not blamed again
                os.kill(os.getpid(), signal.SIGKILL)


class ReadVideos(_Actor):
    """Pieces to videos that were read."""

    def __call__(self, pieces: pyarrow.Table) -> Iterator[pyarrow.Table]:
        """Yields a row for each video, and for each piece how many these were."""
        if self._error:
            yield _on_the_way(error=self._error)
            return
        try:
            for piece in pieces.to_pylist():
                bucket, told = piece["bucket"], 0
                for video in self._left(piece):
                    self._note(bucket, video.path)
                    began = time.monotonic()
                    found, why = try_video(video, lambda video=video: self._read(video))
                    took = time.monotonic() - began
                    self._note(bucket)
                    told += 1
                    yield _on_the_way(bucket, video=pickle.dumps((video, found, why, took), 5))
                yield _on_the_way(bucket, told)
        except (InputError, OSError) as error:
            yield _on_the_way(error=self._told(error))

    def _read(self, video: VideoLeft) -> Any:
        with local_file(video.name) as file:
            return self._orders.reader.read(file, video.path, video.state)


class _Writing(_Actor):
    """Something to rows on the disk, and to how many these were."""

    def _begin(self) -> None:
        self._work = self._orders.make()
        torch.set_num_threads(1)
        self._writer = RowWriter(self._orders.folder, self._orders.records, self._member.name)
        self._at_bucket, self._written, self._failed = "", Counter(), Counter()  # videos of each bucket

    def __call__(self, given: pyarrow.Table) -> pyarrow.Table:
        """For each bucket: pieces that are through, videos they had, and rows that are on the disk."""
        pieces, told, done, error = Counter(), Counter(), Counter(), self._error
        try:
            if not error:
                error = self._do(given, pieces, told, done)
                self._writer.commit()
                self._note(self._at_bucket)
        except (InputError, OSError) as stop:
            error = self._told(stop)
        if error:
            return _given_back([""], [0], [0], [0], error)
        buckets = list(pieces | told | done)
        return _given_back(buckets, *([counts[name] for name in buckets] for counts in (pieces, told, done)))

    def _write(
        self, bucket: str, video: VideoLeft, make: Callable[[], VideoResult], before: float = 0.0
    ) -> None:
        """Make a row and write it; `before` are seconds that the video has taken elsewhere."""
        self._at_bucket = bucket
        self._note(bucket, video.path)
        began = time.monotonic()
        result = make()
        took = before + time.monotonic() - began
        self._writer.add(bucket, video.name, video.state, result, took)
        self._written[bucket] += 1
        self._failed[bucket] += result.state == FAILED

    def _counts(self) -> tuple[int, int, int]:
        bucket = self._at_bucket
        return self._written[bucket], self._failed[bucket], self._written.total()


class DoVideos(_Writing):
    """Pieces to rows, of work that has one half only."""

    def _do(self, given: pyarrow.Table, pieces: Counter, told: Counter, done: Counter) -> str:
        for piece in given.to_pylist():
            bucket = piece["bucket"]
            for video in self._left(piece):
                self._write(bucket, video, partial(result_of, self._work, video))
                told[bucket] += 1
                done[bucket] += 1
            pieces[bucket] += 1
        return ""


class AnswerVideos(_Writing):
    """Videos that were read to rows."""

    def _do(self, given: pyarrow.Table, pieces: Counter, told: Counter, done: Counter) -> str:
        for place, (bucket, count, error) in enumerate(
            zip(*(given[name].to_pylist() for name in ("bucket", "told", "error")), strict=True)
        ):
            if error:
                return error
            packed = given["video"][place].as_buffer()
            if not packed:
                pieces[bucket] += 1
                told[bucket] += count
                continue
            video, found, why, took = pickle.loads(packed)
            self._write(bucket, video, partial(self._result, video, found, why), took)
            done[bucket] += 1
        return ""

    def _result(self, video: VideoLeft, found: Any, why: str) -> VideoResult:
        if found is None and not why:
            return result_of(self._work, video)  # too large to be handed over
        result = None
        if not why:
            result, why = try_video(video, lambda: self._work.answer(found, video.path, video.state))
        return checked_result(self._work, video, result, why)


def _on_the_way(bucket: str = "", told: int = 0, video: bytes = b"", error: str = "") -> pyarrow.Table:
    return pyarrow.table(
        {
            "bucket": [bucket],
            "told": [told],
            "video": pyarrow.array([video], pyarrow.large_binary()),
            "error": [error],
        }
    )


def _given_back(
    buckets: list[str], pieces: list[int], told: list[int], done: list[int], error: str = ""
) -> pyarrow.Table:
    columns = {"pieces": pieces, "told": told, "done": done}
    whole = {name: pyarrow.array(counts, pyarrow.int64()) for name, counts in columns.items()}
    names = pyarrow.array(buckets, pyarrow.string())
    return pyarrow.table({"bucket": names, **whole, "error": [error] * len(buckets)})
