"""What is done to each video, in a process of its own: read all of it, and copy it if asked to."""

import contextlib
import errno
import os
from dataclasses import dataclass
from pathlib import Path

import av

from slowfast_ext.prepare.reencode import copy_size, reencode_video
from slowfast_ext.video import VideoError, VideoReader
from vtn.errors import InputError

# Every further video would fail as well.
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@dataclass(frozen=True)
class Work:
    """What to do.

    Attributes:
        verify: "full" decodes every frame, "quick" reads packets and decodes the first frame. A copy reads
            every frame anyway.
        short_side: Of copies, pixels; 0 makes none.
        crf: Quality of copies.
    """

    verify: str = "full"
    short_side: int = 0
    crf: int = 20

    @property
    def name(self) -> str:
        """What was done to a video, for the journal: only the same work need not be done again."""
        return f"copy {self.short_side} crf {self.crf}" if self.short_side else f"verify {self.verify}"


@dataclass(frozen=True, slots=True)
class Job:
    """One video.

    Attributes:
        path: The file, absolute.
        copy: Where a copy is to be; empty for none.
        work: What to do.
    """

    path: str
    copy: str
    work: Work


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a video.

    Attributes:
        reason: Why it cannot be used; empty if it can.
        missing: A clause on what a usable file lacks; empty if nothing.
        num_frames: Frames that can be used.
        fps: Average rate, frames per second.
        width: As shown, of the file that is listed, pixels.
        height: Likewise.
        copy_bytes: Size of the copy; 0 if there is none.
    """

    reason: str = ""
    missing: str = ""
    num_frames: int = 0
    fps: float = 0.0
    width: int = 0
    height: int = 0
    copy_bytes: int = 0

    @property
    def seconds(self) -> float:
        """Length of the video."""
        return self.num_frames / self.fps if self.fps else 0.0


def part_of(copy: str) -> Path:
    """Where a copy is written until it is complete."""
    path = Path(copy)
    return path.with_name(f".{path.name}.part")


def process_video(job: Job) -> Outcome:
    """Do the work on one video.

    Returns:
        What became of it; whatever is wrong with the file is a reason, not an exception.

    Raises:
        InputError: If copies cannot be written; other videos would fare no better.
    """
    try:
        reader = VideoReader(job.path)
        if job.copy:
            return _copy(job, reader)
        if job.work.verify == "full":
            reader.verify()
    except VideoError as error:
        # FFmpeg's errors arrive as VideoErrors; the one behind it tells a full disk from a bad video.
        _check_disk(job, error.__cause__)
        return Outcome(str(error))
    except (OSError, av.FFmpegError) as error:
        _check_disk(job, error)
        return Outcome(f"{job.path} cannot be read or copied: {error.strerror}.")
    return _usable(reader, reader.info.width, reader.info.height)


def _check_disk(job: Job, error: BaseException | None) -> None:
    if job.copy and getattr(error, "errno", None) in _DISK_ERRORS:
        raise InputError(f"cannot write {job.copy}: {os.strerror(error.errno)}.") from error


def _usable(reader: VideoReader, width: int, height: int, copy_bytes: int = 0) -> Outcome:
    return Outcome("", reader.missing, len(reader.info.decodable), reader.fps, width, height, copy_bytes)


def _copy(job: Job, reader: VideoReader) -> Outcome:
    """Write the copy under a temporary name; it gets its own when it is complete."""
    part = part_of(job.copy)
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        reencode_video(reader, part, short_side=job.work.short_side, crf=job.work.crf)
        num_bytes = part.stat().st_size
        part.replace(job.copy)
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
    return _usable(reader, *copy_size(reader.info, job.work.short_side), num_bytes)
