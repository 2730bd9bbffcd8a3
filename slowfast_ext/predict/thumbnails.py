"""Small pictures of some frames of a video, for a page: JPEG files in memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import cv2
import numpy as np
import torch

from slowfast_ext.predict.sources import FrameSource

T = TypeVar("T")

# Longest side in pixels and JPEG quality; where all pictures together are too large, the next pair is taken.
_FINE = (400, 80)
_COARSER = ((400, 60), (320, 60), (320, 40), (240, 40), (160, 40), (120, 30), (80, 20), (48, 10))


class WatchedFrames:
    """A source of frames that keeps small pictures of some of those that are decoded for somebody else.

    Args:
        source: The video.
    """

    def __init__(self, source: FrameSource) -> None:
        self._source, self._kept = source, dict[int, bytes]()
        self._wanted: frozenset[int] = frozenset()

    @property
    def info(self):
        """That of the source."""
        return self._source.info

    @property
    def missing(self) -> str:
        """That of the source."""
        return self._source.missing

    def watch(self, numbers: Iterable[int]) -> None:
        """Keep pictures of these frames, and of no others."""
        self._wanted, self._kept = frozenset(numbers), {}

    def decode(self, frame_indices: Sequence[int]) -> Iterator[tuple[int, torch.Tensor]]:
        """As that of the source."""
        for number, picture in self._source.decode(frame_indices):
            if number in self._wanted:
                small = _shrunk(picture.numpy(), _FINE[0], self.info.pixel_aspect)
                self._kept[number] = _to_jpeg(small[..., ::-1], _FINE[1])
            yield number, picture

    def with_repair(self, work: Callable[[], T]) -> T:
        """That of the source."""
        return self._source.with_repair(work)

    def pictures(self, most_bytes: int) -> list[bytes]:
        """The pictures that were kept, by the number of their frame, at most so large together."""
        found = [self._kept[number] for number in sorted(self._kept)]
        if sum(map(len, found)) <= most_bytes:
            return found
        fine = [cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR) for file in found]
        for side, quality in _COARSER:
            found = [_to_jpeg(_shrunk(picture, side), quality) for picture in fine]
            if sum(map(len, found)) <= most_bytes:
                break
        return found


def _shrunk(picture: np.ndarray, side: int, pixel_aspect: float = 1.0) -> np.ndarray:
    """(H, W, 3) with square pixels, and no side longer than `side`."""
    height, width = picture.shape[0], picture.shape[1] * pixel_aspect
    scale = min(1.0, side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if size == (picture.shape[1], picture.shape[0]):
        return picture
    return cv2.resize(np.ascontiguousarray(picture), size, interpolation=cv2.INTER_AREA)


def _to_jpeg(picture: np.ndarray, quality: int) -> bytes:
    """(H, W, 3) BGR to a file."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode(".jpg", np.ascontiguousarray(picture), options)[1].tobytes()
