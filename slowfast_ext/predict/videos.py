"""The test's data set, asked for more than a test needs: facts on each video, and its parts one by one.

Legend: T frames of a clip, P places of the crop, C its side.
"""

from dataclasses import dataclass
from typing import Any

import torch

from slowfast_ext.data.dataset import Vtnkinetics
from slowfast_ext.data.feature_files import VideoFeatures
from slowfast_ext.data.ledger import FAILED, OUTCOMES
from slowfast_ext.data.stored_videos import StoredVideos
from slowfast_ext.predict.sources import FrameInfo
from slowfast_ext.video import VideoReader
from slowfast_ext.video.transforms import SpatialView, crop_frames, scale_frames, take_view
from vtn.errors import InputError


@dataclass(frozen=True)
class Span:
    """Consecutive frames of a video that are looked at as if they were all of it."""

    first: int
    num_frames: int


@dataclass(frozen=True)
class _FramesOfSpan:
    """What FrameInfo tells, of a span: frames count from its first one."""

    whole: FrameInfo
    span: Span

    @property
    def num_frames(self) -> int:
        return self.span.num_frames

    @property
    def fps(self) -> float:
        return self.whole.fps

    def on_screen(self, frame_indices: torch.Tensor) -> torch.Tensor:
        return self.whole.on_screen(frame_indices + self.span.first) - self.span.first


class _WithFacts:
    """Adds `facts` to the meta of each item of a data set.

    These are (frames of the video, distinct frames read, frames per second), (3,) float64; zeros of a video
    that cannot be read.
    """

    _facts: torch.Tensor

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """As Vtnkinetics.__getitem__."""
        item = super().__getitem__(index)
        meta = item[-1]
        failed = int(meta["outcome"]) == OUTCOMES.index(FAILED)
        meta["facts"] = torch.zeros(3, dtype=torch.float64) if failed else self._facts
        return item


class StoredVideosToPredict(_WithFacts, StoredVideos):
    """As StoredVideos in a test, with facts."""

    def _read_stored(self, video: int) -> VideoFeatures:
        stored = super()._read_stored(video)
        shown = torch.cat([self._sample(stored, start)[0] for start in self._starts]).unique()
        facts = stored.num_frames, len(shown), stored.fps
        self._facts = torch.tensor(facts, dtype=torch.float64)
        return stored


class VideosToPredict(_WithFacts, Vtnkinetics):
    """As Vtnkinetics in a test, with facts."""

    def _read(self, video: int, reader: VideoReader):
        decoded = super()._read(video, reader)
        facts = reader.info.num_frames, len(decoded.decoded_indices), reader.info.fps
        self._facts = torch.tensor(facts, dtype=torch.float64)
        return decoded

    def clips_in(self, info: FrameInfo, span: Span) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Of each clip, the frames of the video to show and the frame_indices within the span, (T,) each."""
        part = _FramesOfSpan(info, span)
        clips = [self._sample(part, start) for start in self._starts]
        # Where a frame before the span is still on the screen at its beginning, that is shown.
        return [(shown + span.first, indices.clamp(min=0)) for shown, indices in clips]

    def views_of(self, picture: torch.Tensor, pixel_aspect: float) -> list[SpatialView]:
        """Where to look in pictures (H, W, 3) of one size: P places."""
        height, width = picture.shape[0], picture.shape[1] * pixel_aspect
        return [self._spatial_view(height, width, position, None) for position in self._positions]

    @property
    def num_places(self) -> int:
        """P."""
        return len(self._positions)


def cut_squares(picture: torch.Tensor, views: list[SpatialView]) -> torch.Tensor:
    """(H, W, 3) to (P, C, C, 3), uint8, with the bits that the data set gives."""
    picture = picture[None]
    if len(views) == 1:
        return take_view(picture, views[0]).clone()
    scaled = scale_frames(picture, views[0].height, views[0].width)
    return torch.cat([crop_frames(scaled, view) for view in views])


def checked_windows(window: float | None, every: float | None) -> tuple[float | None, float | None]:
    """Both or none; of one the other.

    Raises:
        InputError: If one of them is no time.
    """
    window, every = (every if window is None else window), (window if every is None else every)
    check_seconds("window", window)
    check_seconds("every", every)
    return window, every


def check_seconds(name: str, seconds: float | None) -> None:
    """Raise InputError unless it is a time or is not given."""
    if seconds is not None and not 0 < seconds < 1e9:
        raise InputError(f"{name} is {seconds}: it must be more than 0 seconds")


def spans_of(info: FrameInfo, window: float | None, every: float | None) -> list[Span]:
    """The windows of a video, by their beginning; all of it where it is no longer than one.

    The last one ends with the video.

    Args:
        info: Of the video.
        window: Length, seconds; None for the whole video.
        every: Seconds from the beginning of one to that of the next.
    """
    total = info.num_frames
    length = total if window is None else max(1, round(window * info.fps))
    if length >= total:
        return [Span(0, total)]
    last = total - length
    step = max(every * info.fps, 1.0)
    starts = [round(number * step) for number in range(int(last / step) + 2)]
    return [Span(start, length) for start in dict.fromkeys(min(start, last) for start in starts)]
