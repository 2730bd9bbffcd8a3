"""Frames on their way from a video through a model, some at a time: memory does not grow with the video.

Legend: N frames of a video that are looked at, T of a clip, P places of the crop, C its side, D width of a
feature, K classes.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
from fvcore.common.config import CfgNode
from torch import nn

from slowfast_ext.data.frames import Frames, concatenate
from slowfast_ext.distributed import device_of
from slowfast_ext.engine.precision import computing_in
from slowfast_ext.models import VTN
from slowfast_ext.predict.sources import FrameInfo, FrameSource
from slowfast_ext.predict.videos import Span, VideosToPredict, cut_squares
from slowfast_ext.video.transforms import normalize
from vtn.localization import Segments, candidates_of

# Frames that are decoded before a VTN encodes them, where VTN.FRAMES_PER_CHUNK does not say.
_CHUNK = 32
_Clip = tuple[torch.Tensor, torch.Tensor]
_Clips = Sequence[_Clip]
_Plans = Sequence[_Clips]


class SpanAnswer(NamedTuple):
    """What a model says of a part of a video.

    Attributes:
        scores: (K,), the mean over the views, on the CPU.
        candidates: Segments before soft-NMS, in tokens of its one clip; None of a model that finds none.
    """

    scores: torch.Tensor
    candidates: Segments | None = None


class FrameStream:
    """Scores of whole videos or of parts of them; each frame is decoded once, and by a VTN encoded once.

    Of a VTN at most `VTN.FRAMES_PER_CHUNK` frames (32 where it is 0) are held at a time, beside the features
    of those that are still needed; of other models the frames of one window, in bytes.

    Args:
        model: In evaluation mode, on the device of `cfg`.
        cfg: A complete configuration.
        batch_size: Views that a model other than VTN takes at once.
    """

    def __init__(self, model: nn.Module, cfg: CfgNode, batch_size: int) -> None:
        self._model, self._cfg, self._batch_size = model, cfg, batch_size
        self._device, self._videos = device_of(cfg), VideosToPredict(cfg, "test", [])
        self._chunk = cfg.VTN.FRAMES_PER_CHUNK or _CHUNK
        self._is_vtn = isinstance(model, VTN)

    @property
    def num_views(self) -> int:
        """Looks at each span."""
        return self._videos.num_views

    @property
    def num_clips(self) -> int:
        """Clips of each span, each looked at in `num_places` places."""
        return self.num_views // self.num_places

    def clips_of(self, info: FrameInfo) -> _Clips:
        """The clips of a whole video: frames to show and the frame_indices of the model, (T,) each."""
        return self._videos.clips_in(info, Span(0, info.num_frames))

    @torch.inference_mode()
    def answers(self, source: FrameSource, spans: Sequence[Span]) -> tuple[list[SpanAnswer], int]:
        """Look at parts of a video, which rise in time.

        Returns:
            The answer for each part; and how many frames were read.

        Raises:
            VideoError: If the video cannot be read.
        """
        plans = [self._videos.clips_in(source.info, span) for span in spans]
        wanted = torch.cat([shown for clips in plans for shown, _ in clips]).unique().tolist()
        look = self._look_once if self._is_vtn and len(plans) == 1 else self._look_often
        with self.computing():
            return look(source, plans, wanted), len(wanted)

    @torch.inference_mode()
    def look(self, source: FrameSource, clip: _Clip) -> tuple[SpanAnswer, torch.Tensor | None]:
        """Look at one clip as `answers` does, and keep what a VTN made of its frames.

        Returns:
            The answer; and of a VTN the features (P, T, D), on its device.

        Raises:
            VideoError: If the video cannot be read.
        """
        wanted = clip[0].unique().tolist()
        with self.computing():
            if self._is_vtn:
                held = self._features_of_all(source, wanted)
                features = torch.stack([held[number] for number in clip[0].tolist()], dim=1)
                return self._classify([clip], held), features
            (answer,) = self._look_often(source, [[clip]], wanted)
            return answer, None

    @torch.inference_mode()
    def features(self, source: FrameSource, wanted: list[int]) -> torch.Tensor:
        """Features of some frames of a video at the first place of the crop.

        Args:
            source: The video.
            wanted: Numbers of frames that are on the screen, rising, distinct.

        Returns:
            (len(wanted), D) float32, on the CPU.

        Raises:
            VideoError: If the video cannot be read.
        """
        found = {}
        for numbers, squares in self._chunks(source, wanted):
            found.update(zip(numbers, self._features(squares)[:, 0].float().cpu(), strict=True))
        return torch.stack([found[number] for number in wanted])

    @torch.inference_mode()
    def encode(self, frames: Frames) -> torch.Tensor:
        """Features of the distinct frames, (N, D) float32, on the CPU."""
        parts = frames.chunks(self._chunk)
        return torch.cat([self._features(pixels[:, None])[:, 0].float().cpu() for pixels in parts])

    @property
    def num_places(self) -> int:
        """P."""
        return self._videos.num_places

    def computing(self) -> AbstractContextManager:
        """For `with`: the precision of the test."""
        return computing_in(self._cfg.TEST.PRECISION, self._device)

    @torch.inference_mode()
    def features_of(self, picture: torch.Tensor, pixel_aspect: float) -> torch.Tensor:
        """Of one picture (H, W, 3) uint8 what a VTN makes of its squares, (P, D)."""
        squares = cut_squares(picture, self._videos.views_of(picture, pixel_aspect))
        with self.computing():
            return self._features(squares[None])[0]

    def _look_once(self, source: FrameSource, plans: _Plans, wanted: list[int]) -> list[SpanAnswer]:
        return [self._classify(plans[0], self._features_of_all(source, wanted))]

    def _features_of_all(self, source: FrameSource, wanted: list[int]) -> dict[int, torch.Tensor]:
        """Features (P, D) of each frame, in one pass that VTN.REUSE_FRAMES sees whole."""
        numbers: list[int] = []

        def images() -> Iterator[torch.Tensor]:
            for some, squares in self._chunks(source, wanted):
                numbers.extend(some)
                yield self._images(squares)

        places = self._videos.num_places
        index = torch.arange(len(wanted) * places, device=self._device)[None]
        features = self._model.distinct_frame_features(images(), index)[0]
        return dict(zip(numbers, features.unflatten(0, (-1, places)), strict=True))

    def _look_often(self, source: FrameSource, plans: _Plans, wanted: list[int]) -> list[SpanAnswer]:
        """Each window is scored as soon as its frames have come; those of no later one are let go."""
        held: dict[int, torch.Tensor] = {}
        waiting, scores = deque(plans), []
        for numbers, squares in self._chunks(source, wanted):
            held.update(zip(numbers, self._features(squares) if self._is_vtn else squares, strict=True))
            while waiting and _is_complete(waiting[0], held):
                clips = waiting.popleft()
                scores.append(self._classify(clips, held) if self._is_vtn else self._show(clips, held))
                first = min((int(shown[0]) for shown, _ in waiting[0]), default=0) if waiting else 0
                held = {number: value for number, value in held.items() if number >= first}
        return scores

    def _chunks(self, source: FrameSource, wanted: list[int]) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Numbers of some frames, and their squares, (n, P, C, C, 3) uint8."""
        numbers, squares, views = [], [], None
        for number, picture in source.decode(wanted):
            views = views or self._videos.views_of(picture, source.info.pixel_aspect)
            numbers.append(number)
            squares.append(cut_squares(picture, views))
            if len(numbers) == self._chunk:
                yield numbers, torch.stack(squares)
                numbers, squares = [], []
        if numbers:
            yield numbers, torch.stack(squares)

    def _images(self, squares: torch.Tensor) -> torch.Tensor:
        """(n, P, C, C, 3) to (n P, 3, C, C), normalised, on the device."""
        return normalize(squares.flatten(0, 1).to(self._device), *self._model.normalization)

    def _features(self, squares: torch.Tensor) -> torch.Tensor:
        """(n, P, C, C, 3) to (n, P, D)."""
        images = self._images(squares)
        index = torch.arange(len(images), device=self._device)[None]
        return self._model.distinct_frame_features(images, index)[0].unflatten(0, squares.shape[:2])

    def _classify(self, clips: _Clips, held: Mapping[int, torch.Tensor]) -> SpanAnswer:
        """The answer for one span from the features of its frames."""
        scores, found = [], None
        for shown, frame_indices in clips:
            features = torch.stack([held[number] for number in shown.tolist()], dim=1)  # (P, T, D)
            indices = frame_indices.to(self._device).expand(len(features), -1)
            if self._model.localization_head is None:
                logits = self._model.classify(features, indices)
            else:  # which looks at one place of one clip
                localized = self._model.localize(features, indices)
                logits = localized.logits
                (found,) = candidates_of(localized, self._model.points(len(shown)))
            scores.append(logits.float().softmax(dim=1))
        return SpanAnswer(torch.cat(scores).mean(dim=0).cpu(), found)

    def _show(self, clips: _Clips, held: Mapping[int, torch.Tensor]) -> SpanAnswer:
        """The answer for one span from its frames."""
        views = []
        for shown, _ in clips:
            distinct, index = shown.unique(return_inverse=True)
            squares = torch.stack([held[number] for number in distinct.tolist()], dim=1)  # (P, n, C, C, 3)
            views += [Frames((pixels,), index[None]) for pixels in squares]
        size, scores = self._batch_size, []
        for begin in range(0, len(views), size):
            frames = concatenate(views[begin : begin + size]).to(self._device)
            scores.append(self._model([frames]).float())
        return SpanAnswer(torch.cat(scores).mean(dim=0).cpu())


def _is_complete(clips: _Clips, held: Mapping[int, torch.Tensor]) -> bool:
    return all(number in held for shown, _ in clips for number in reversed(shown.tolist()))
