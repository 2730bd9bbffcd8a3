"""Video Transformer Network (arXiv:2102.00719): 2D backbone -> temporal attention encoder -> MLP head.

Shape legend: B batch, T frames of a clip, H and W pixels, D width of a frame feature, N = 1 + T tokens
(CLS first), K classes.
"""

from collections.abc import Iterable

import torch
from torch import nn

from .backbone import (
    Normalization,
    create_backbone,
    encode_distinct_frames,
    encode_frames,
    feature_dim,
    fixed_img_size,
    normalization,
)
from .checks import check_positive_int, is_symbolic
from .errors import InputError
from .heads import ClassificationHead
from .recipe import Recipe
from .sequence_encoder import SequenceEncoder
from .temporal_encoder import TemporalEncoder, window_per_layer


class VTN(nn.Module):
    """Classify a clip, or a whole video, by its frames and where in the video they lie.

    The parts are `backbone`, `cls_token`, `temporal_encoder` and `mlp_head`. The output is logits, in
    training and in evaluation.

    `recipe` is what the model was trained with, once a checkpoint has told (see `load_checkpoint`).

    Args:
        backbone: A timm name, or a module (N, 3, H, W) -> (N, D).
        num_classes: K.
        num_layers: Layers of the temporal encoder.
        num_heads: Attention heads, must divide D.
        attention_window: Total width in frames, even; one number, or a list with one for each layer.
        ffn_dim: Hidden width of the encoder's feed-forward networks; 4 * D by default.
        mlp_dim: Hidden width of the head; D by default.
        position_embedding: "learned", "fixed" (temporal sine) or "none".
        max_position_embeddings: Rows of the learned table, two of which are not for frames.
        attention: "learned", or "uniform", where all visible tokens weigh the same (Fig. 4 of the paper).
        sequence_encoder: Name of an encoder of the `transformers` library ("bert", "longformer", ...) to put
            in place of the temporal encoder, see SequenceEncoder.
        shuffle_frames: In evaluation, put the frame features into a random order before positions are added,
            a new one for each clip (Table 2b of the paper).
        attention_dropout: On attention weights of the encoder.
        hidden_dropout: On embeddings and layer outputs of the encoder.
        head_dropout: Between the two linear layers of the head.
        pretrained: Load timm's weights of a named backbone.
        freeze_backbone: Keep the backbone as it is: no gradients, always in evaluation mode.
        drop_rate, drop_path_rate: timm's dropout and stochastic depth of a named backbone.
        img_size: Height and width of the frames, or one number for both, where a ViT should not use its own.
        frames_per_chunk: Encode at most so many frames at once while the backbone is in evaluation mode;
            all at once by default, as in training.

    Raises:
        InputError: If an argument cannot be used; the sentence names it and its value.
    """

    def __init__(
        self,
        backbone: str | nn.Module,
        num_classes: int,
        *,
        num_layers: int = 3,
        num_heads: int = 12,
        attention_window: int | list[int] | tuple[int, ...] = 32,
        ffn_dim: int | None = None,
        mlp_dim: int | None = None,
        position_embedding: str = "learned",
        max_position_embeddings: int = 288,
        attention: str = "learned",
        sequence_encoder: str | None = None,
        shuffle_frames: bool = False,
        attention_dropout: float = 0.1,
        hidden_dropout: float = 0.1,
        head_dropout: float = 0.5,
        pretrained: bool = False,
        freeze_backbone: bool = False,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        img_size: int | tuple[int, int] | None = None,
        frames_per_chunk: int | None = None,
    ) -> None:
        super().__init__()
        if frames_per_chunk is not None:
            check_positive_int("frames_per_chunk", frames_per_chunk)
        self.frames_per_chunk = frames_per_chunk
        self.freeze_backbone = freeze_backbone
        self.shuffle_frames = shuffle_frames
        self.num_classes = num_classes
        self.recipe: Recipe | None = None
        self._trained_with: Normalization | None = None
        timm_options = {"pretrained": pretrained, "drop_rate": drop_rate, "drop_path_rate": drop_path_rate}
        # Order in memory, not numbers: convolutions on a CPU run up to twice as fast.
        self.backbone = create_backbone(backbone, img_size=img_size, **timm_options).to(
            memory_format=torch.channels_last
        )
        if freeze_backbone:
            self.backbone.requires_grad_(False).eval()
        self.embed_dim = embed_dim = feature_dim(self.backbone, img_size)
        self.cls_token = nn.Parameter(torch.randn(1, 1, embed_dim))
        self.temporal_encoder = _build_temporal_encoder(
            embed_dim,
            sequence_encoder,
            position_embedding=position_embedding,
            attention=attention,
            num_layers=num_layers,
            num_heads=num_heads,
            attention_window=window_per_layer(attention_window, num_layers),
            ffn_dim=4 * embed_dim if ffn_dim is None else ffn_dim,
            max_position_embeddings=max_position_embeddings,
            attention_dropout=attention_dropout,
            hidden_dropout=hidden_dropout,
        )
        self.mlp_head = ClassificationHead(
            embed_dim, embed_dim if mlp_dim is None else mlp_dim, num_classes, head_dropout
        )

    def train(self, mode: bool = True) -> "VTN":
        """Switch to training, or to evaluation with mode=False; a frozen backbone stays in evaluation."""
        super().train(mode)
        if self.freeze_backbone:
            self.backbone.eval()
        return self

    @property
    def normalization(self) -> Normalization | None:
        """(mean, std), three numbers each, that pixels in [0, 1] are to be normalised with.

        Those of the checkpoint that was loaded, if it tells them; else timm's for the backbone; None for a
        module that timm did not make: its user knows.
        """
        return self._trained_with or normalization(self.backbone)

    @normalization.setter
    def normalization(self, mean_std: Normalization | None) -> None:
        self._trained_with = mean_std

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the K classes, by class; None if the checkpoint does not tell them, or none was loaded."""
        return self.recipe.class_names if self.recipe else None

    def forward(self, clip: torch.Tensor, frame_indices: torch.Tensor | None = None) -> torch.Tensor:
        """Classify clips.

        Args:
            clip: (B, 3, T, H, W) float RGB, normalised as the backbone expects: (pixels / 255 - mean) / std
                with `mean, std = model.normalization`.
            frame_indices: (B, T) integers >= 0, the frames' numbers in their video, counted from 0;
                0 .. T - 1 if left out.

        Returns:
            Logits (B, K).

        Raises:
            InputError: If a shape or a type is wrong, or an index is negative.
        """
        self._check_clip(clip)
        # Checked before the expensive part: reading values makes a GPU wait.
        frame_indices = _checked_indices(frame_indices, clip.shape[0], clip.shape[2], clip.device)
        return self._classify(self._frame_features(clip, frame_indices), frame_indices, False)[0]

    def frame_features(self, clip: torch.Tensor, frame_indices: torch.Tensor | None = None) -> torch.Tensor:
        """Encode every frame by itself: (B, 3, T, H, W) -> (B, T, D).

        With frame_indices (B, T) a frame that a short video repeats is encoded once; the result is the same.
        """
        self._check_clip(clip)
        if frame_indices is not None:
            frame_indices = _checked_indices(frame_indices, clip.shape[0], clip.shape[2], clip.device)
        return self._frame_features(clip, frame_indices)

    def distinct_frame_features(
        self, frames: torch.Tensor | Iterable[torch.Tensor], index: torch.Tensor
    ) -> torch.Tensor:
        """Encode frames that are known to be distinct, each once.

        Args:
            frames: (N, 3, H, W) float RGB, normalised as for `forward`; or parts of it, one behind the other:
                in evaluation each is encoded before the next is asked for, so that one is in memory.
            index: (B, T) integers in [0, N): which frame each clip shows when; each is shown at least once.

        Returns:
            (B, T, D), what `frame_features` gives for the clips with all their repetitions.
        """
        if isinstance(frames, torch.Tensor):
            frames = self._checked(frames)
        else:
            frames = (self._checked(part) for part in frames)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze_backbone):
            return encode_distinct_frames(self.backbone, frames, index, self.frames_per_chunk)

    def classify(
        self,
        frame_features: torch.Tensor,
        frame_indices: torch.Tensor | None = None,
        *,
        return_attention: bool = False,
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Classify from frame features, which may have been computed in parts or long ago.

        Args:
            frame_features: (B, T, D) from `frame_features`, in order of time.
            frame_indices: As for `forward`.
            return_attention: Also tell how much CLS looks at each frame.

        Returns:
            Logits (B, K); with return_attention also (B, num_layers, num_heads, T). What is missing from a
            sum of 1 over the T frames is the weight of CLS on itself.

        Raises:
            InputError: If a shape or a type is wrong, or an index is negative.
        """
        shape = tuple(frame_features.shape)
        if (
            len(shape) != 3
            or shape[1] < 1
            or shape[2] != self.embed_dim
            or not frame_features.is_floating_point()
        ):
            raise InputError(
                f"frame_features must be floats of shape (B, T, {self.embed_dim}) with T >= 1, "
                f"not {_dtype(frame_features)} of shape {shape}."
            )
        frame_indices = _checked_indices(frame_indices, shape[0], shape[1], frame_features.device)
        logits, attention = self._classify(frame_features, frame_indices, return_attention)
        return (logits, attention) if return_attention else logits

    def _checked(self, frames: torch.Tensor) -> torch.Tensor:
        self._check_clip(frames.transpose(0, 1)[None])
        return frames

    def _check_clip(self, clip: torch.Tensor) -> None:
        shape = tuple(clip.shape)
        if len(shape) != 5 or shape[1] != 3 or min(shape) < 1 or not clip.is_floating_point():
            raise InputError(
                "clip must be floats of shape (B, 3, T, H, W) with T >= 1, "
                f"not {_dtype(clip)} of shape {shape}."
            )
        fixed = fixed_img_size(self.backbone)
        if fixed is not None and shape[3:] != fixed:
            raise InputError(
                f"clip has frames of {shape[3:]} pixels, but the backbone was built for img_size {fixed}."
            )

    def _frame_features(self, clip: torch.Tensor, frame_indices: torch.Tensor | None) -> torch.Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze_backbone):
            return encode_frames(self.backbone, clip, frame_indices, self.frames_per_chunk)

    def _classify(
        self, features: torch.Tensor, frame_indices: torch.Tensor, return_attention: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        order = None
        if self.shuffle_frames and not self.training:
            order = torch.rand(features.shape[:2], device=features.device).argsort(1)  # (B, T)
            features = features.take_along_dim(order[..., None], dim=1)
        cls_token = self.cls_token.expand(features.shape[0], -1, -1)
        tokens = torch.cat([cls_token, features], dim=1)  # (B, N, D)
        cls_state, attention = self.temporal_encoder(tokens, frame_indices, return_attention)
        if return_attention:
            attention = attention[..., 1:]  # of the frames alone
            if order is not None:  # back to the frames' own order
                attention = attention.take_along_dim(order.argsort(1)[:, None, None], dim=-1)
        return self.mlp_head(cls_state), attention


def _build_temporal_encoder(
    embed_dim: int, sequence_encoder: str | None, *, position_embedding: str, attention: str, **size
) -> TemporalEncoder | SequenceEncoder:
    """Ours; or the sequence encoder of that name, with positions and attention of its own."""
    if sequence_encoder is None:
        choices = {"position_embedding": position_embedding, "attention": attention}
        return TemporalEncoder(embed_dim, **choices, **size)
    for name, value in (("position_embedding", position_embedding), ("attention", attention)):
        if value != "learned":
            raise InputError(
                f"{name} {value!r} cannot be had with sequence_encoder {sequence_encoder!r}, "
                "which has its own.",
                arguments=(name, "sequence_encoder"),
            )
    return SequenceEncoder(sequence_encoder, embed_dim, **size)


def _checked_indices(
    frame_indices: torch.Tensor | None, batch: int, num_frames: int, device: torch.device
) -> torch.Tensor:
    """(B, T) int64 on the model's device; 0 .. T - 1 for None."""
    if frame_indices is None:
        return torch.arange(num_frames, device=device).expand(batch, -1)
    if not isinstance(frame_indices, torch.Tensor):
        raise InputError(f"frame_indices must be a tensor, not a {type(frame_indices).__name__}.")
    if frame_indices.is_floating_point() or frame_indices.is_complex() or frame_indices.dtype == torch.bool:
        raise InputError(f"frame_indices must be integers, not {_dtype(frame_indices)}.")
    if frame_indices.shape != (batch, num_frames):
        raise InputError(
            f"frame_indices must have shape ({batch}, {num_frames}), one for each frame of the clip, "
            f"not {tuple(frame_indices.shape)}."
        )
    if not is_symbolic(frame_indices) and bool((frame_indices < 0).any()):
        raise InputError(f"frame_indices must be 0 or more, but {int(frame_indices.min())} is among them.")
    return frame_indices.to(device, torch.long)


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
