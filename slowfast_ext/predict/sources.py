"""Where frames come from: a video file, or frames that are in memory, with one face.

Legend: V frames of a video, H, W their height and width.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch

from slowfast_ext.video import VideoReader
from vtn.errors import InputError

T = TypeVar("T")


class FrameInfo(Protocol):
    """What is known of a video before its frames are read; see VideoInfo."""

    num_frames: int
    fps: float
    pixel_aspect: float
    present: np.ndarray | None

    def on_screen(self, frame_indices: torch.Tensor) -> torch.Tensor:
        """Frames that are shown when evenly spaced ones would be."""

    def seconds_of(self, frame_indices: torch.Tensor) -> torch.Tensor:
        """When frames are shown, float64."""


class FrameSource(Protocol):
    """Frames by their number; see VideoReader."""

    info: FrameInfo

    @property
    def missing(self) -> str:
        """What is lacking, in words."""

    def decode(self, frame_indices: Sequence[int]) -> Iterator[tuple[int, torch.Tensor]]:
        """Number and picture, (H, W, 3) uint8, of rising distinct numbers."""

    def with_repair(self, work: Callable[[], T]) -> T:
        """Do work; again, if frames turn out to be missing."""


@dataclass(frozen=True)
class _ArrayInfo:
    num_frames: int
    fps: float
    pixel_aspect: float = 1.0
    present: None = None  # all of them are

    def on_screen(self, frame_indices: torch.Tensor) -> torch.Tensor:
        return frame_indices

    def seconds_of(self, frame_indices: torch.Tensor) -> torch.Tensor:
        return frame_indices.double() / self.fps


class FrameArray:
    """Frames in memory.

    Args:
        frames: (V, H, W, 3) uint8, RGB.
        fps: Frames per second.

    Raises:
        InputError: If the frames are of another kind or shape, or there is none, or the rate is not positive.
    """

    missing = ""

    def __init__(self, frames: torch.Tensor, fps: float | None) -> None:
        if frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape or frames.dtype != torch.uint8:
            raise InputError(
                f"frames are {tuple(frames.shape)} of {frames.dtype}: they must be (T, H, W, 3) of uint8, at "
                "least one"
            )
        if fps is None or not 0 < fps < math.inf:
            raise InputError(f"fps is {fps}: frames that are no file need their rate, frames per second")
        self._frames, self.info = frames, _ArrayInfo(len(frames), float(fps))

    def decode(self, frame_indices: Sequence[int]) -> Iterator[tuple[int, torch.Tensor]]:
        """As VideoReader.decode."""
        for index in frame_indices:
            yield index, self._frames[index]

    def with_repair(self, work: Callable[[], T]) -> T:
        """Nothing is ever missing."""
        return work()


def source_of(video: Any, fps: float | None = None) -> tuple[str, FrameSource]:
    """What Predictor takes as a video, and what to call it.

    Args:
        video: A path, a binary file object that can seek, an array or tensor (T, H, W, 3) of uint8, or an
            iterable of such frames, which are gathered: where to look depends on how many there are.
        fps: Frames per second, of frames only: a file knows its own.

    Raises:
        InputError: If it is none of these.
        VideoError: If the file cannot be read.
    """
    if isinstance(video, str) or hasattr(video, "__fspath__") or hasattr(video, "read"):
        if fps is not None:
            raise InputError(f"fps is {fps}, but a video file has a rate of its own: leave fps out")
        reader = VideoReader(video)
        return str(reader.video), reader
    if isinstance(video, np.ndarray):
        video = torch.from_numpy(np.ascontiguousarray(video))
    if not isinstance(video, torch.Tensor):
        if not isinstance(video, Iterable):
            raise InputError(f"a {type(video).__name__} is no video: give a path, a file or frames")
        video = _gathered(video)
    return "the frames", FrameArray(video.cpu(), fps)


def _gathered(frames: Iterable[Any]) -> torch.Tensor:
    pictures = [torch.as_tensor(frame) for frame in frames]
    shapes = {tuple(picture.shape) for picture in pictures}
    if len(shapes) > 1:
        raise InputError(f"frames are of different shapes: {', '.join(map(str, sorted(shapes)))}")
    return torch.stack(pictures) if pictures else torch.empty((0, 0, 0, 3), dtype=torch.uint8)
