"""Whole videos with the segments in which something happens: data set `vtnsegments`, decoded or stored.

Legend: T frames of an item, S segments, the most of any video of the list.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode

from slowfast_ext.data.annotations import Segment, beyond_end, like_frames
from slowfast_ext.data.dataset import Vtnkinetics
from slowfast_ext.data.feature_files import VideoFeatures
from slowfast_ext.data.segments import read_segments
from slowfast_ext.data.stored_videos import StoredVideos
from slowfast_ext.video import VideoError
from slowfast_ext.video.probing import VideoInfo
from slowfast_ext.video.sampling import places_of_moments

_NONE = (0.0, 0.0, -1.0)  # a row without a segment


class _WithSegments:
    """Adds segments to a data set, and looks at whole videos in every split.

    The meta of each item has more. Frames are counted evenly in time: number k stands for k / fps seconds,
    and so do the frame_indices of the item, also of a video whose frames do not come evenly.

        segments: (S, 3) float64, rows [begin, end, class] in frames, not rounded, by their beginning; rows
                  beyond those of the video are [0, 0, -1]. None reaches beyond the last frame.
        video: (2,) float64, number of frames and frames per second.

    Of a video that cannot be read there are no segments, and `video` is zeros.

    For a model with a localization head, the inputs of an item have a third entry: the segments as (S, 3)
    float32 rows [begin, end, class], begin and end as places among the T frames, see places_of_moments.

    Attributes:
        segments: Of each video, in seconds.
    """

    whole_videos = True

    def __init__(self, cfg: CfgNode, mode: str, videos: Sequence[str] | None = None) -> None:
        super().__init__(cfg, mode, videos)
        self.segments: list[tuple[Segment, ...]] = [()] * len(self.paths)
        if videos is None:
            self.segments = read_segments(
                Path(cfg.DATA.PATH_TO_DATA_DIR),
                self.paths,
                num_classes=cfg.MODEL.NUM_CLASSES,
                path_prefix=cfg.DATA.PATH_PREFIX,
            )
        self._most = max(map(len, self.segments))
        self._timeline = 0, 0.0  # frames and rate of the video that was read last
        self._found: dict[str, torch.Tensor] = {}

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """As Vtnkinetics.__getitem__."""
        self._found = _meta((), self._most, 0, 0.0)
        item = super().__getitem__(index)
        if self.num_samples > 1:
            self._found = {
                name: value.expand(self.num_samples, *value.shape) for name, value in self._found.items()
            }
        item[-1].update(self._found)
        if self.cfg.VTN.LOCALIZATION_SCALES:
            item[0].append(self._in_places(**self._found))
        return item

    def _in_places(self, segments: torch.Tensor, video: torch.Tensor) -> torch.Tensor:
        """Segments (..., S, 3) in frames of a video, as places among the T frames."""
        num_frames = int(video.flatten()[0])
        if not num_frames:
            return segments.float()
        places = places_of_moments(segments[..., :2], num_frames, self._num_frames)
        return torch.cat([places, segments[..., 2:]], dim=-1).float()

    def _sample(self, info: VideoInfo | VideoFeatures, start: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames to show, and the numbers that they stand for, (T,) each."""
        self._timeline = info.num_frames, info.fps
        return super()._sample(info, start)

    def _load(self, video: int, view: int) -> tuple[Any, torch.Tensor, str]:
        """As Vtnkinetics._load.

        Raises:
            VideoError: If a segment lies beyond the end of the video.
        """
        loaded = super()._load(video, view)
        num_frames, fps = self._timeline
        length = num_frames / fps
        late = beyond_end(self.segments[video], length)
        if late is not None:
            hint = " (are its times numbers of frames?)" if like_frames(late.end, length) else ""
            raise VideoError(
                f"{self.paths[video]}: its segment from {late.begin:g} to {late.end:g} s does not fit into "
                f"the {length:.2f} s that can be read{hint}."
            )
        self._found = _meta(self.segments[video], self._most, num_frames, fps)
        return loaded


class Vtnsegments(_WithSegments, Vtnkinetics):
    """As Vtnkinetics, of whole videos, with segments.json; see _WithSegments for the meta of an item.

    train: DATA.NUM_FRAMES frames, uniformly over the whole video; scaled, cropped, flipped and augmented as
           by Vtnkinetics.
    val, test: TRAIN.EVAL_NUM_FRAMES frames.

    Raises:
        InputError: As Vtnkinetics and read_segments.
    """


class StoredSegments(_WithSegments, StoredVideos):
    """As Vtnsegments, with features (T, D) in the place of Frames."""


def _meta(segments: Sequence[Segment], most: int, num_frames: int, fps: float) -> dict[str, torch.Tensor]:
    rows = [(s.begin * fps, min(s.end * fps, num_frames), s.label) for s in segments]
    rows += [_NONE] * (most - len(rows))
    return {
        "segments": torch.tensor(rows, dtype=torch.float64).reshape(most, 3),
        "video": torch.tensor((num_frames, fps), dtype=torch.float64),
    }
