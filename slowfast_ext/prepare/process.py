"""What is done to a video: read all of it, and copy it if asked to."""

import errno
import os
from dataclasses import dataclass

import av

from slowfast_ext.prepare.copies import Copies
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
    def settings(self) -> dict[str, str | int]:
        """Those that decide what comes of a video: only the same work need not be done again."""
        if self.short_side:
            return {"verify": "full", "short_side": self.short_side, "crf": self.crf}
        return {"verify": self.verify, "short_side": 0}


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
    """

    reason: str = ""
    missing: str = ""
    num_frames: int = 0
    fps: float = 0.0
    width: int = 0
    height: int = 0

    @property
    def seconds(self) -> float:
        """Length of the video."""
        return self.num_frames / self.fps if self.fps else 0.0


def process_video(path: str, work: Work, copies: Copies | None = None) -> Outcome:
    """Do the work on one video.

    Args:
        path: The file.
        work: What to do.
        copies: Where copies go, if any are made.

    Returns:
        What became of it; whatever is wrong with the file is a reason, not an exception.

    Raises:
        InputError: If copies cannot be written; other videos would fare no better.
    """
    try:
        reader = VideoReader(path)
        if copies is not None:
            return _copy(reader, path, work, copies)
        if work.verify == "full":
            reader.verify()
    except VideoError as error:
        # FFmpeg's errors arrive as VideoErrors; the one behind it tells a full disk from a bad video.
        _check_disk(path, copies, error.__cause__)
        return Outcome(str(error))
    except (OSError, av.FFmpegError) as error:
        _check_disk(path, copies, error)
        return Outcome(f"{path} cannot be read or copied: {error.strerror}.")
    return _usable(reader, reader.info.width, reader.info.height)


def _check_disk(path: str, copies: Copies | None, error: BaseException | None) -> None:
    if copies is not None and getattr(error, "errno", None) in _DISK_ERRORS:
        raise InputError(f"cannot write {copies.of(path)}: {os.strerror(error.errno)}.") from error


def _usable(reader: VideoReader, width: int, height: int) -> Outcome:
    return Outcome("", reader.missing, len(reader.info.decodable), reader.fps, width, height)


def _copy(reader: VideoReader, path: str, work: Work, copies: Copies) -> Outcome:
    with copies.new(path) as part:
        reencode_video(reader, part, short_side=work.short_side, crf=work.crf)
    return _usable(reader, *copy_size(reader.info, work.short_side))
