"""Answers while a video runs: frames are pushed as they come, and the answer so far can be read at any time.

What is kept does not grow with the number of frames. `Streaming` is exact, for models with one temporal
layer; `CausalStreaming` is an approximation, for models with any number of them.

Shape legend: N frames that are pushed together, H and W their height and width in pixels, D width of a frame
feature, K classes, h heads.
"""

from collections import deque
from typing import NamedTuple

import torch

from . import temporal_encoder
from .backbone import fixed_img_size
from .checks import check_below, check_feature_rows, check_positive_int, checked_frames, checked_row_indices
from .errors import InputError
from .model import VTN
from .temporal_encoder import EncoderLayer, TemporalEncoder


class Seen(NamedTuple):
    """What one token has seen of others: the softmax-weighted mean of them, of which none is kept.

    Weights are relative to the highest score so far; what was summed is scaled down when a higher one comes.
    The sums are in float64, so that millions of frames can be added.

    Attributes:
        highest: (h, 1).
        total: (h, 1), sum of the weights.
        summed: (h, D), weighted sum.
    """

    highest: torch.Tensor
    total: torch.Tensor
    summed: torch.Tensor

    @classmethod
    def nothing(cls, num_heads: int, like: torch.Tensor) -> "Seen":
        """Before the first token; `like` (..., D) has the width and the device."""
        zeros = torch.zeros(num_heads, like.shape[-1], dtype=torch.float64, device=like.device)
        return cls(torch.full_like(zeros[:, :1], float("-inf")), zeros[:, :1], zeros)

    def plus(self, scores: torch.Tensor, tokens: torch.Tensor) -> "Seen":
        """With tokens (N, D) of which the heads think `scores` (h, N), float64 both."""
        highest = torch.maximum(self.highest, scores.amax(1, keepdim=True))
        decay, weights = (self.highest - highest).exp(), (scores - highest).exp()
        total = self.total * decay + weights.sum(1, keepdim=True)
        return Seen(highest, total, self.summed * decay + weights @ tokens)


class Question:
    """What CLS asks in one layer, by its state (1, 1, D) below that layer."""

    def __init__(self, layer: EncoderLayer, cls: torch.Tensor) -> None:
        self.layer, self.cls = layer, cls
        folded, constant = layer.attention.fold_query(cls)
        self._folded, self._constant = folded[0].double(), constant[0].double()

    def add(self, seen: Seen, tokens: torch.Tensor) -> Seen:
        """What is seen with tokens (1, N, D) too."""
        rows = tokens[0].double()
        return seen.plus(self._folded @ rows.T + self._constant, rows)

    def answer(self, seen: Seen) -> torch.Tensor:
        """State of CLS (1, 1, D) after the layer, if it has seen these frames, and itself."""
        _, total, summed = self.add(seen, self.cls)
        mean = (summed / total).to(self.cls.dtype)[None]
        return self.layer.update(self.cls, self.layer.attention.value_of_mean(mean))


class _Stream:
    """What both have in common; see there."""

    def __init__(self, model: VTN, *, num_frames: int | None = None) -> None:
        check_in_parts(model, type(self).__name__)
        check_positive_int("num_frames", num_frames, optional=True)
        if num_frames is None:
            check_not_scaled(model, type(self).__name__)
        self.model, self._num_frames = model, num_frames
        self.reset()

    def reset(self) -> None:
        """Forget all frames: the next one is the first of another video."""
        self.num_pushed = 0
        self._next_index = torch.zeros((), dtype=torch.long, device=self.model.cls_token.device)

    @torch.no_grad()
    def push(self, frames: torch.Tensor, frame_indices: torch.Tensor | None = None) -> None:
        """Go on with the next frames of the video.

        Args:
            frames: (N, 3, H, W) float RGB, normalised as for `VTN.forward`. With `reuse_frames` the first of
                them is always encoded.
            frame_indices: (N,) integers >= 0, the frames' numbers in their video. If left out, they go on
                after the last one, from 0 at the beginning.

        Raises:
            InputError: If a shape or a type is wrong, an index is negative or not below `num_frames`, or the
                model was put into training.
        """
        checked_frames(frames, fixed_img_size(self.model.backbone))
        indices = self._checked(frame_indices, len(frames))  # before the expensive part
        self._add(self.model.frame_features(frames.transpose(0, 1)[None])[0], indices)

    @torch.no_grad()
    def push_features(self, features: torch.Tensor, frame_indices: torch.Tensor | None = None) -> None:
        """The same with features (N, D) of frames, as `VTN.frame_features` gives them for a clip."""
        check_feature_rows(features, self.model.embed_dim)
        self._add(features, self._checked(frame_indices, len(features)))

    @torch.no_grad()
    def logits(self) -> torch.Tensor:
        """The answer for all frames so far, (K,).

        Raises:
            InputError: If there are none.
        """
        if not self.num_pushed:
            raise InputError("logits needs a frame at least: push one first.")
        return self.model.mlp_head(self._cls_state()[:, 0])[0]

    def _checked(self, frame_indices: torch.Tensor | None, count: int) -> torch.Tensor:
        """(N,) int64 on the model's device."""
        check_in_parts(self.model, type(self).__name__)
        device = self.model.cls_token.device
        if frame_indices is None:
            indices = self._next_index + torch.arange(count, device=device)
        else:
            indices = checked_row_indices(frame_indices, count, device)
        if device.type == "cpu":  # a GPU would be waited for
            check_below(indices, self._num_frames)
        return indices

    def _add(self, features: torch.Tensor, indices: torch.Tensor) -> None:
        encoder = self.model.temporal_encoder
        length = None if self._num_frames is None else indices.new_full((1, 1), self._num_frames)
        size = temporal_encoder.FRAMES_PER_PART
        for part, numbers in zip(features.split(size), indices.split(size), strict=True):
            self._take(encoder.embed_frames(part[None].to(indices.device), numbers[None], length))
        self.num_pushed += len(features)
        self._next_index = indices[-1] + 1

    def _take(self, frames: torch.Tensor) -> None:
        """Go on with embedded frames (1, N, D)."""
        raise NotImplementedError

    def _cls_state(self) -> torch.Tensor:
        """Final state of CLS, (1, 1, D)."""
        raise NotImplementedError


class Streaming(_Stream):
    """The exact answer of a model with one temporal layer, while the video runs.

    In that layer CLS alone attends, and its question does not depend on the frames. So a highest score, a sum
    of weights and a weighted sum of frames for each head give what `VTN.classify` gives for all frames so
    far. After a change of the model's weights or device, call `reset`.

    Args:
        model: In evaluation, with one temporal layer.
        num_frames: Length of the video, its last index + 1; needed only with position_overflow "scale".

    Attributes:
        num_pushed: Frames so far.

    Raises:
        InputError: If the model cannot be used; the sentence says why.
    """

    def __init__(self, model: VTN, *, num_frames: int | None = None) -> None:
        encoder = model.temporal_encoder
        if isinstance(encoder, TemporalEncoder) and len(encoder.layers) > 1:
            raise InputError(
                f"Streaming is for models with one temporal layer, but this one has {len(encoder.layers)}: "
                "use vtn.CausalStreaming, an approximation, or vtn.classify_stored."
            )
        super().__init__(model, num_frames=num_frames)

    @torch.no_grad()
    def reset(self) -> None:
        """Forget all frames: the next one is the first of another video."""
        super().reset()
        encoder = self.model.temporal_encoder
        self._question = Question(encoder.layers[0], encoder.embed_cls(self.model.cls_token))
        self._seen = Seen.nothing(encoder.layers[0].attention.num_heads, self.model.cls_token)

    def _take(self, frames: torch.Tensor) -> None:
        self._seen = self._question.add(self._seen, frames)

    def _cls_state(self) -> torch.Tensor:
        return self._question.answer(self._seen)


class CausalStreaming(_Stream):
    """An approximation of the answer of a model with any number of temporal layers, while the video runs.

    In `VTN.classify` a frame attends to half a window of later frames, and to CLS, which has seen the whole
    video. Neither is known while it runs. Here, in every layer,

    - a frame attends to itself, to the half of its window that lies before it, and to CLS as the layer below
      gives it once this frame has come;
    - CLS weighs a frame by what it asked when that frame came, and itself by what it asks now. Weights of
      earlier frames are not corrected when the question changes.

    With one layer this is exact, and `Streaming` is faster. Frames are taken one at a time, so pushing them
    together or one by one gives the same. Kept are half a window of states for each layer.

    Args:
        model: In evaluation.
        num_frames: Length of the video, its last index + 1; needed only with position_overflow "scale".

    Attributes:
        num_pushed: Frames so far.

    Raises:
        InputError: If the model cannot be used; the sentence says why.
    """

    @torch.no_grad()
    def reset(self) -> None:
        """Forget all frames: the next one is the first of another video."""
        super().reset()
        encoder, token = self.model.temporal_encoder, self.model.cls_token
        attentions = [layer.attention for layer in encoder.layers]
        self._first = Question(encoder.layers[0], encoder.embed_cls(token))
        self._last = self._first
        self._seen = [Seen.nothing(attention.num_heads, token) for attention in attentions]
        self._past = [deque(maxlen=attention.attention_window // 2) for attention in attentions[:-1]]

    def _take(self, frames: torch.Tensor) -> None:
        for frame in frames.split(1, dim=1):
            self._take_one(frame)

    def _take_one(self, frame: torch.Tensor) -> None:
        """Take a frame (1, 1, D) through all layers."""
        layers, question = self.model.temporal_encoder.layers, self._first
        for number, past in enumerate(self._past):
            self._seen[number] = question.add(self._seen[number], frame)
            near = torch.cat([question.cls, *past, frame], dim=1)
            past.append(frame.clone())  # a view would keep all that were pushed with it
            frame = layers[number].encode_frames(near, first=near.shape[1] - 2, count=1)
            question = Question(layers[number + 1], question.answer(self._seen[number]))
        self._seen[-1] = question.add(self._seen[-1], frame)
        self._last = question

    def _cls_state(self) -> torch.Tensor:
        return self._last.answer(self._seen[-1])


def check_in_parts(model: VTN, what: str) -> None:
    """Raise InputError unless the model can be given a video in parts; `what` is asked for."""
    if model.training:
        raise InputError(f"{what} needs a model in evaluation: call model.eval() first.")
    if not isinstance(model.temporal_encoder, TemporalEncoder):
        name = model.temporal_encoder.model_type
        raise InputError(
            f"{what} cannot be had with sequence_encoder {name!r}, which sees all frames at once."
        )
    if model.shuffle_frames:
        raise InputError(f"{what} cannot be had with shuffle_frames, which needs all frames at once.")


def check_not_scaled(model: VTN, what: str) -> None:
    """Raise InputError if positions depend on the length of the video, which is not known."""
    rows = getattr(model.temporal_encoder.positions, "rows", None)
    if rows is not None and rows.overflow == "scale":
        raise InputError(
            f"{what} needs num_frames, the length of the video, because position_overflow is 'scale'."
        )
