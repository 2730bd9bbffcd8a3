"""A video file: a path, or an object to read bytes from. Its structure is looked at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from io import SEEK_END
from pathlib import Path
from typing import BinaryIO, Union

from slowfast_ext.video.mp4_boxes import Mp4Boxes, read_mp4_boxes

# What stands for a video wherever one is read.
VideoLike = Union[str, Path, BinaryIO, "VideoFile"]


class VideoFile:
    """A file of bytes, wherever they are.

    Args:
        video: A path; or a file object that is open in binary mode and can seek, such as io.BytesIO. It is
            read from its start. While frames are read from it, nothing else may move its position.
    """

    def __init__(self, video: str | Path | BinaryIO) -> None:
        self._video = video

    @classmethod
    def of(cls, video: VideoLike) -> "VideoFile":
        """The same if it is one already."""
        return video if isinstance(video, VideoFile) else cls(video)

    def __str__(self) -> str:
        """What a message calls it."""
        return "the file object" if self.path is None else str(self.path)

    @property
    def path(self) -> Path | None:
        """Where it is; None of a file object."""
        return Path(self._video) if isinstance(self._video, (str, Path)) else None

    @property
    def for_av(self) -> str | BinaryIO:
        """What av.open takes."""
        if self.path is not None:
            return f"file:{self._video}"  # else a colon in the name would be taken for a protocol
        self._video.seek(0)
        return self._video

    @cached_property
    def size(self) -> int:
        """Bytes."""
        if self.path is not None:
            return self.path.stat().st_size
        self._video.seek(0, SEEK_END)
        return self._video.tell()

    @cached_property
    def boxes(self) -> Mp4Boxes | None:
        """What the boxes of an MP4 or QuickTime file show; None of another file."""
        with self.opened() as file:
            return read_mp4_boxes(file, self.size)

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """The bytes, from the first one on."""
        if self.path is None:
            self._video.seek(0)
            yield self._video
        else:
            with self.path.open("rb") as file:
                yield file
