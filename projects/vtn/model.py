"""Video Transformer Network (arXiv:2102.00719): 2D backbone -> temporal attention encoder -> MLP head.

Shape legend: B batch, T frames of a clip, H and W pixels, D width of a frame feature, N = 1 + T tokens
(CLS first), K classes.
"""

from collections import Counter
from collections.abc import Iterable
from functools import partial

import torch
from torch import nn

from .backbone import Normalization, create_backbone, feature_dim, fixed_img_size, normalization
from .checks import (
    check_clip,
    check_frame_features,
    check_not_negative_int,
    check_positive_int,
    checked_frames,
    checked_indices,
)
from .errors import InputError
from .frame_encoding import encode_distinct_frames, encode_frames
from .frame_reuse import FrameReuse, check_reuse_frames
from .heads import ClassificationHead
from .localization import Localized, Points, TemporalLocalizationHead, points_of
from .recipe import Recipe
from .sequence_encoder import build_temporal_encoder
from .temporal_encoder import window_per_layer
from .token_merging import merge_tokens_in
from .window_attention import usual_num_heads


class VTN(nn.Module):
    """Classify a clip, or a whole video, from its frames and their positions in the video.

    The parts are `backbone`, `cls_token`, `temporal_encoder` and `mlp_head`. The output is logits, in
    training and in evaluation.

    `recipe` says what the model was trained with, once a checkpoint that records it has been loaded (see
    `load_checkpoint`). `sizes` holds the `num_heads`, `ffn_dim` and `mlp_dim` in use, also where None was
    given.

    Args:
        backbone: A timm name, or a module (N, 3, H, W) -> (N, D).
        num_classes: K.
        num_layers: Layers of the temporal encoder.
        num_heads: Attention heads, must divide D; None for 12, or where 12 do not divide D for the most
            below 12 that do.
        attention_window: Total width in frames, even; one number, or a list with one for each layer.
        ffn_dim: Hidden width of the encoder's feed-forward networks; 4 * D by default.
        mlp_dim: Hidden width of the head; D by default.
        head_init: "release" or "paper", see ClassificationHead.
        position_embedding: "learned", "fixed" (temporal sine) or "none".
        max_position_embeddings: Rows of the learned table, two of which are not for frames.
        position_overflow: Position of frames beyond that table, "wrap", "scale" or "none", see FrameRows.
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
        img_size: Height and width of the frames, or one number for both; for a ViT, in place of its own.
        frames_per_chunk: The most frames to encode at once while the backbone is in evaluation mode; all at
            once by default, as always in training.
        merge_tokens: Patches that every layer of a ViT merges into others (ToMe), in training too.
        reuse_frames: In evaluation, a frame gets the features of the last encoded one up to this mean
            absolute difference of pixels in [0, 1]. `frame_counts` counts them, see FrameReuse.
        localization_scales: Scales of a `localization_head`, which finds when actions begin and end, see
            `localize` and TemporalLocalizationHead; 0 for none.

    Raises:
        InputError: If an argument cannot be used; the sentence names it and its value.
    """

    recipe: Recipe | None = None
    _trained_with: Normalization | None = None

    def __init__(
        self,
        backbone: str | nn.Module,
        num_classes: int,
        *,
        num_layers: int = 3,
        num_heads: int | None = 12,
        attention_window: int | list[int] | tuple[int, ...] = 32,
        ffn_dim: int | None = None,
        mlp_dim: int | None = None,
        head_init: str = "release",
        position_embedding: str = "learned",
        max_position_embeddings: int = 288,
        position_overflow: str = "wrap",
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
        merge_tokens: int = 0,
        reuse_frames: float = 0.0,
        localization_scales: int = 0,
    ) -> None:
        super().__init__()
        check_positive_int("frames_per_chunk", frames_per_chunk, optional=True)
        check_not_negative_int("localization_scales", localization_scales)
        check_reuse_frames(reuse_frames)
        self.num_classes, self.frames_per_chunk = num_classes, frames_per_chunk
        self.reuse_frames, self.frame_counts = reuse_frames, Counter()
        self.freeze_backbone, self.shuffle_frames = freeze_backbone, shuffle_frames
        rates = {"drop_rate": drop_rate, "drop_path_rate": drop_path_rate}
        options = {"pretrained": pretrained, "img_size": img_size, **rates}
        self.backbone = _build_backbone(backbone, freeze_backbone, merge_tokens, **options)
        self.embed_dim = feature_dim(self.backbone, img_size)
        self.sizes = _chosen_sizes(self.embed_dim, num_heads, ffn_dim, mlp_dim)
        self.cls_token = nn.Parameter(torch.randn(1, 1, self.embed_dim))
        self.temporal_encoder = build_temporal_encoder(
            self.embed_dim,
            sequence_encoder,
            num_layers=num_layers,
            num_heads=self.sizes["num_heads"],
            attention_window=window_per_layer(attention_window, num_layers),
            ffn_dim=self.sizes["ffn_dim"],
            position_embedding=position_embedding,
            max_position_embeddings=max_position_embeddings,
            position_overflow=position_overflow,
            attention=attention,
            attention_dropout=attention_dropout,
            hidden_dropout=hidden_dropout,
            train_all_tokens=localization_scales > 0,
        )
        widths = self.embed_dim, self.sizes["mlp_dim"], num_classes
        self.mlp_head = ClassificationHead(*widths, head_dropout, head_init)
        self.localization_head = None
        if localization_scales:
            self.localization_head = TemporalLocalizationHead(
                self.embed_dim, num_classes, localization_scales
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

        From the loaded checkpoint if it records them, else timm's for the backbone; None for a module that
        timm did not make.
        """
        return self._trained_with or normalization(self.backbone)

    @normalization.setter
    def normalization(self, mean_std: Normalization | None) -> None:
        self._trained_with = mean_std

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the K classes, in order; None unless a checkpoint that records them was loaded."""
        return self.recipe.class_names if self.recipe else None

    def forward(self, clip: torch.Tensor, frame_indices: torch.Tensor | None = None) -> torch.Tensor:
        """Classify clips.

        Args:
            clip: (B, 3, T, H, W) float RGB, normalised as the backbone expects: (pixels / 255 - mean) / std
                with `mean, std = model.normalization`.
            frame_indices: (B, T) integers >= 0, the frames' numbers in their video, counted from 0;
                0 .. T - 1 if left out. Values are looked at only on the CPU: it would make a GPU wait.

        Returns:
            Logits (B, K).

        Raises:
            InputError: If a shape or a type is wrong, or an index is negative.
        """
        check_clip(clip, fixed_img_size(self.backbone))
        # Before the expensive part.
        frame_indices = checked_indices(frame_indices, clip.shape[0], clip.shape[2], clip.device)

        with self._gradients_of_backbone():
            repeats = self._looked_at(frame_indices, clip)
            features = encode_frames(self.backbone, clip, repeats, **self._how_to_encode)  # (B, T, D)
        tokens, _ = self._tokens(features)  # (B, N, D)
        cls_state, _ = self.temporal_encoder(tokens, frame_indices)  # (B, D)
        return self.mlp_head(cls_state)  # (B, K)

    def frame_features(self, clip: torch.Tensor, frame_indices: torch.Tensor | None = None) -> torch.Tensor:
        """Encode every frame by itself: (B, 3, T, H, W) -> (B, T, D).

        With frame_indices (B, T) a frame that a short video repeats is encoded once, but not in training on
        a GPU, which would have to wait; the result is the same.
        """
        check_clip(clip, fixed_img_size(self.backbone))
        if frame_indices is not None:
            frame_indices = checked_indices(frame_indices, clip.shape[0], clip.shape[2], clip.device)
        with self._gradients_of_backbone():
            repeats = self._looked_at(frame_indices, clip)
            return encode_frames(self.backbone, clip, repeats, **self._how_to_encode)

    def distinct_frame_features(
        self, frames: torch.Tensor | Iterable[torch.Tensor], index: torch.Tensor
    ) -> torch.Tensor:
        """Encode frames that are known to be distinct, each once.

        Args:
            frames: (N, 3, H, W) float RGB, normalised as for `forward`; or consecutive parts of it: in
                evaluation each is encoded before the next is fetched, so only one is in memory.
            index: (B, T) integers in [0, N): the frame that a clip shows at a time; each is shown at least
                once.

        Returns:
            (B, T, D), what `frame_features` gives for the clips with all their repetitions.
        """
        checked = partial(checked_frames, img_size=fixed_img_size(self.backbone))
        frames = checked(frames) if isinstance(frames, torch.Tensor) else map(checked, frames)
        with self._gradients_of_backbone():
            return encode_distinct_frames(self.backbone, frames, index, **self._how_to_encode)

    def classify(
        self,
        frame_features: torch.Tensor,
        frame_indices: torch.Tensor | None = None,
        *,
        return_attention: bool = False,
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Classify from frame features, which may have been computed earlier or in parts.

        Args:
            frame_features: (B, T, D) from `frame_features`, in order of time.
            frame_indices: As for `forward`.
            return_attention: Also return how much CLS attends to each frame.

        Returns:
            Logits (B, K); with return_attention also (B, num_layers, num_heads, T). Over the T frames the
            weights sum to 1 minus the weight of CLS on itself.

        Raises:
            InputError: If a shape or a type is wrong, or an index is negative.
        """
        frame_indices = self._checked_indices(frame_features, frame_indices)
        tokens, order = self._tokens(frame_features)
        cls_state, weights = self.temporal_encoder(tokens, frame_indices, return_attention)
        logits = self.mlp_head(cls_state)
        return (logits, _on_frames(weights, order)) if return_attention else logits

    def localize(self, frame_features: torch.Tensor, frame_indices: torch.Tensor | None = None) -> Localized:
        """Find actions in time, from frame features, and classify as `classify` does.

        Args:
            frame_features, frame_indices: As for `classify`.

        Returns:
            Logits of the video, and class logits and offsets at the points of all scales, see `points`;
            `vtn.localization.segments_of` makes segments of them.

        Raises:
            InputError: As `classify`, or if the model has no localization head or shuffles its frames.
        """
        if self.localization_head is None:
            raise InputError("this model has no localization head: it is made with localization_scales.")
        if self.shuffle_frames:
            raise InputError("a model with shuffle_frames cannot say when something happens.")
        frame_indices = self._checked_indices(frame_features, frame_indices)
        tokens, _ = self._tokens(frame_features)
        states = self.temporal_encoder.all_tokens(tokens, frame_indices)  # (B, N, D)
        return Localized(self.mlp_head(states[:, 0]), *self.localization_head(states[:, 1:]))

    def points(self, num_frames: int) -> Points:
        """Where the localization head looks in T frames."""
        return points_of(num_frames, self.localization_head.num_scales, self.cls_token.device)

    def _checked_indices(self, features: torch.Tensor, frame_indices: torch.Tensor | None) -> torch.Tensor:
        """(B, T) of features (B, T, D); InputError if one of the two is not that."""
        check_frame_features(features, self.embed_dim)
        return checked_indices(frame_indices, *features.shape[:2], features.device)

    @property
    def _how_to_encode(self) -> dict[str, int | FrameReuse | None]:
        """The last arguments of encode_frames and encode_distinct_frames."""
        _, std = self.normalization or (None, None)
        used = self.reuse_frames and not self.training
        reuse = FrameReuse(self.reuse_frames, std, self.frame_counts) if used else None
        return {"frames_per_chunk": self.frames_per_chunk, "reuse": reuse}

    def _looked_at(self, frame_indices: torch.Tensor | None, clip: torch.Tensor) -> torch.Tensor | None:
        """The indices, to find repeated frames by; None in training on a GPU, which would wait for that."""
        return None if self.training and clip.device.type != "cpu" else frame_indices

    def _gradients_of_backbone(self) -> torch.set_grad_enabled:
        """For `with`: gradients if the caller wants them, and none if the backbone is frozen."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze_backbone)

    def _tokens(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """CLS followed by the features (B, T, D): (B, N, D); and their new order (B, T) if shuffled."""
        order = None
        if self.shuffle_frames and not self.training:
            order = torch.rand(features.shape[:2], device=features.device).argsort(1)
            features = features.take_along_dim(order[..., None], dim=1)
        return torch.cat([self.cls_token.expand(features.shape[0], -1, -1), features], dim=1), order


def _on_frames(cls_weights: torch.Tensor, order: torch.Tensor | None) -> torch.Tensor:
    """Weights of CLS on all tokens (B, L, H, N) -> on the frames (B, L, H, T), in the frames' own order."""
    on_frames = cls_weights[..., 1:]
    if order is None:
        return on_frames
    return on_frames.take_along_dim(order.argsort(1)[:, None, None], dim=-1)


def _build_backbone(backbone: str | nn.Module, freeze: bool, merge_tokens: int, **options) -> nn.Module:
    """The backbone, ready for convolutions, and frozen if asked for; options as for create_backbone."""
    backbone = create_backbone(backbone, **options)
    merge_tokens_in(backbone, merge_tokens)
    # Order in memory, not numbers: convolutions on a CPU run up to twice as fast.
    backbone.to(memory_format=torch.channels_last)
    return backbone.requires_grad_(False).eval() if freeze else backbone


def _chosen_sizes(
    embed_dim: int, num_heads: int | None, ffn_dim: int | None, mlp_dim: int | None
) -> dict[str, int]:
    """The three sizes by name: as given, or for None what the width calls for."""
    return {
        "num_heads": usual_num_heads(embed_dim) if num_heads is None else num_heads,
        "ffn_dim": 4 * embed_dim if ffn_dim is None else ffn_dim,
        "mlp_dim": embed_dim if mlp_dim is None else mlp_dim,
    }
