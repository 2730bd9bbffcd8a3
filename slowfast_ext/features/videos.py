"""The test's data set, asked for the distinct frames of whole videos.

Legend: n frames that get a feature, V frames of the video.
"""

from collections.abc import Sequence
from typing import Any

import torch
from fvcore.common.config import CfgNode

from slowfast_ext.data.ledger import FAILED, OUTCOMES, USED, encode_outcome
from slowfast_ext.predict.videos import VideosToPredict
from slowfast_ext.video import VideoReader
from slowfast_ext.video.probing import VideoInfo

# Bytes of squares that a worker holds for one video; a longer one is read a few frames at a time.
_MOST_BYTES = 2**28


class VideosToExtract(VideosToPredict):
    """As VideosToPredict, one item for each video; the meta of each item has more.

    `numbers` (n,) are the frames in the item, `shown` (V,) is VideoInfo.on_screen of all. `long` says that a
    video has too many frames to be held, and that the item has none of them. Items are of different shapes.

    Args:
        cfg: A complete configuration of a test of full videos, with one crop.
        videos: The files.
        all_frames: Take every frame in place of those of a full video.
    """

    def __init__(self, cfg: CfgNode, videos: Sequence[str], *, all_frames: bool) -> None:
        super().__init__(cfg, "test", videos)
        self._all_frames = all_frames

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """As VideosToPredict.__getitem__."""
        try:
            item = super().__getitem__(index)
        except _TooLong:
            inputs = [self._nothing(), torch.zeros(1, dtype=torch.int64)]
            return inputs, self.labels[index], index, torch.zeros(1, 3), encode_outcome(USED) | {"long": True}
        meta = item[-1]
        failed = int(meta["outcome"]) == OUTCOMES.index(FAILED)
        empty = torch.zeros(0, dtype=torch.int64)
        meta["numbers"], meta["shown"] = (empty, empty) if failed else self._numbers
        meta["long"] = False
        return item

    def frames_of(self, info: VideoInfo) -> torch.Tensor:
        """Numbers of the frames that get a feature, rising, distinct, (n,)."""
        return self._sample(info, self._starts[0])[0].unique()

    def _read(self, video: int, reader: VideoReader):
        numbers = self.frames_of(reader.info)
        if len(numbers) * 3 * self._crop_size**2 > _MOST_BYTES:
            raise _TooLong
        decoded = super()._read(video, reader)
        self._numbers = numbers, shown_of(reader.info)
        return decoded

    def _sample(self, info: VideoInfo, start: float) -> tuple[torch.Tensor, torch.Tensor]:
        if not self._all_frames:
            return super()._sample(info, start)
        shown = shown_of(info)
        return shown, shown


class _TooLong(Exception):
    """A video has more frames than are held at once."""


def shown_of(info: VideoInfo) -> torch.Tensor:
    """For each number of a frame, the one that is on the screen then, (V,)."""
    return info.on_screen(torch.arange(info.num_frames))
