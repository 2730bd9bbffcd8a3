"""The temporal encoder of VTN (arXiv:2102.00719) Sec. 3.2: a small Longformer over frame features.

Post-norm layers as in BERT. Every LayerNorm here has epsilon 1e-12, the value behind the authors' results.

Shape legend: B batch, T frames, N = 1 + T tokens (CLS first), D width, H heads, L layers.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from .checks import check_positive_int, check_probability
from .errors import InputError
from .positions import build_positions, check_position_rows
from .window_attention import WindowAttention, check_window, linear

NORM_EPS = 1e-12
# Frames that are encoded at a time without gradients.
FRAMES_PER_PART = 1024


class EncoderLayer(nn.Module):
    """Attention and feed-forward, each followed by dropout, residual and LayerNorm.

    Args:
        embed_dim: D.
        num_heads: H, must divide D.
        attention_window: Total width in tokens, even.
        ffn_dim: Hidden width of the feed-forward network.
        attention_dropout: Probability of dropping an attention weight.
        hidden_dropout: Probability of dropping an output of attention or feed-forward.
        attention: "learned" or "uniform", see WindowAttention.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        attention_window: int,
        ffn_dim: int,
        attention_dropout: float,
        hidden_dropout: float,
        attention: str,
    ) -> None:
        super().__init__()
        check_positive_int("ffn_dim", ffn_dim)
        self.attention = WindowAttention(embed_dim, num_heads, attention_window, attention_dropout, attention)
        self.attention_norm = nn.LayerNorm(embed_dim, eps=NORM_EPS)
        self.ffn_in = nn.Linear(embed_dim, ffn_dim)
        self.ffn_out = nn.Linear(ffn_dim, embed_dim)
        self.ffn_norm = nn.LayerNorm(embed_dim, eps=NORM_EPS)
        self.dropout = nn.Dropout(hidden_dropout)

    def encode_cls(
        self, cls: torch.Tensor, frames: Iterable[torch.Tensor], need_weights: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(B, 1, D) and all frames in parts -> CLS (B, 1, D); its weights (B, H, N) with need_weights."""
        context, cls_weights = self.attention.from_cls(cls, frames, need_weights)
        return self.update(cls, context), cls_weights

    def encode_frames(self, hidden: torch.Tensor, first: int, count: int) -> torch.Tensor:
        """(B, N, D) -> (B, count, D), the frames from the first on."""
        num_frames, reach = hidden.shape[1] - 1, self.attention.attention_window // 2
        begin, end = max(first - reach, 0), min(first + count + reach, num_frames)
        near = hidden
        if end - begin < num_frames:
            near = torch.cat([hidden[:, :1], hidden[:, 1 + begin : 1 + end]], dim=1)
        context = self.attention.from_frames(near, first=first - begin, count=count)
        return self.update(hidden[:, 1 + first : 1 + first + count], context)

    def update(self, hidden: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Everything in the layer that treats each token by itself, (B, any, D) both."""
        attended = linear(self.attention.output, context)
        hidden = self.attention_norm(self.dropout(attended) + hidden)
        update = linear(self.ffn_out, F.gelu(linear(self.ffn_in, hidden)))
        return self.ffn_norm(self.dropout(update) + hidden)


class TemporalEncoder(nn.Module):
    """Embeddings and L layers, which return the state of CLS.

    Only CLS is used after the last layer, so there only CLS attends and passes the feed-forward network.
    The `query`, `key` and `value` of that layer then have no effect. They exist because the authors'
    checkpoints hold them, but require no gradient, since none would ever arrive. `all_tokens` is the path
    for whoever needs the frames' states too: it computes the last layer in full.

    Args:
        embed_dim: D.
        num_layers: L.
        num_heads: H, must divide D.
        attention_window: Total width in tokens, even; one number, or one for each layer.
        ffn_dim: Hidden width of the feed-forward networks.
        position_embedding: "learned", "fixed" or "none".
        max_position_embeddings: Rows of the learned table; unused by the other two.
        attention_dropout: Probability of dropping an attention weight.
        hidden_dropout: Probability of dropping an embedding, or an output of attention or feed-forward.
        attention: "learned", or "uniform": all visible tokens weigh the same.
        position_overflow: "wrap", "scale" or "none": the position of frames beyond the learned table, see
            FrameRows.
        train_all_tokens: Let the last layer's `query`, `key` and `value` be trained, through `all_tokens`.

    Raises:
        InputError: If an argument cannot be used; the sentence names it and its value.
    """

    def __init__(
        self,
        embed_dim: int,
        *,
        num_layers: int,
        num_heads: int,
        attention_window: int | list[int] | tuple[int, ...],
        ffn_dim: int,
        position_embedding: str,
        max_position_embeddings: int,
        attention_dropout: float,
        hidden_dropout: float,
        attention: str = "learned",
        position_overflow: str = "wrap",
        train_all_tokens: bool = False,
    ) -> None:
        super().__init__()
        check_probability("hidden_dropout", hidden_dropout)
        windows = window_per_layer(attention_window, num_layers)
        self.positions = build_positions(
            position_embedding, embed_dim, max_position_embeddings, position_overflow
        )
        self.token_types = nn.Embedding(2, embed_dim)  # row 0: frames, row 1: CLS
        self.norm = nn.LayerNorm(embed_dim, eps=NORM_EPS)
        self.dropout = nn.Dropout(hidden_dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(embed_dim, num_heads, window, ffn_dim, attention_dropout, hidden_dropout, attention)
            for window in windows
        )
        if position_embedding == "learned":
            check_position_rows(max_position_embeddings, windows)
        self._init_weights()
        last = self.layers[-1].attention
        for unused in () if train_all_tokens else (last.query, last.key, last.value):
            unused.requires_grad_(False)

    def _init_weights(self) -> None:
        """N(0, 0.02) for matrices, tables and the position of CLS; 0 for biases; LayerNorm keeps 1 and 0."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        for name, parameter in self.positions.named_parameters():
            if name == "cls_position":
                nn.init.normal_(parameter, std=0.02)

    def embed(
        self, tokens: torch.Tensor, frame_indices: torch.Tensor
    ) -> tuple[torch.Tensor, Iterator[torch.Tensor]]:
        """Add position and type, normalise: (B, N, D), (B, T) -> CLS (B, 1, D) and the frames in parts."""
        length = self.positions.length_of(frame_indices)

        def embed_part(first: int, count: int) -> torch.Tensor:
            features = tokens[:, 1 + first : 1 + first + count]
            return self.embed_frames(features, frame_indices[:, first : first + count], length)

        return self.embed_cls(tokens[:, :1]), _in_parts(embed_part, frame_indices.shape[1])

    def embed_cls(self, cls_token: torch.Tensor) -> torch.Tensor:
        """Add position and type, normalise: (B, 1, D) both."""
        no_frames = torch.empty(cls_token.shape[0], 0, dtype=torch.long, device=cls_token.device)
        position = self.positions(no_frames, no_frames)
        return self.dropout(self.norm(cls_token + position + self.token_types.weight[1]))

    def embed_frames(
        self, features: torch.Tensor, frame_indices: torch.Tensor, length: torch.Tensor | None
    ) -> torch.Tensor:
        """The same for frames, or a part of them: (B, any, D), (B, any) -> (B, any, D). Length: FrameRows."""
        # In this order, as the authors add them: where features are nearly equal, rounding shows.
        embedded = self.positions(frame_indices, length)[:, 1:]
        embedded.add_(features).add_(self.token_types.weight[0])
        return self.dropout(self.norm(embedded))

    def forward(
        self, tokens: torch.Tensor, frame_indices: torch.Tensor, need_weights: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Encode CLS and frames.

        Args:
            tokens: (B, N, D), CLS first, then the frame features in order of time.
            frame_indices: (B, T) int64, >= 0.
            need_weights: Also return how much CLS attends to each token.

        Returns:
            The final state of CLS (B, D); with need_weights also its weights in every layer (B, L, H, N).
        """
        cls, frames = self.embed(tokens, frame_indices)
        return self.encode(cls, frames, frame_indices.shape[1], need_weights)

    def encode(
        self, cls: torch.Tensor, frames: Iterable[torch.Tensor], num_frames: int, need_weights: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The layers alone, for CLS (B, 1, D) and T >= 0 embedded frames in parts; returns as `forward`."""
        cls_weights = []
        for layer in self.layers[:-1]:
            hidden = _collect(cls, frames, 1 + num_frames)
            below = [hidden[:, 1:]] if num_frames else []
            cls, weights = layer.encode_cls(hidden[:, :1], below, need_weights)
            cls_weights.append(weights)
            frames = _in_parts(partial(layer.encode_frames, hidden), num_frames) if num_frames else []
        cls, weights = self.layers[-1].encode_cls(cls, frames, need_weights)
        return cls[:, 0], torch.stack([*cls_weights, weights], dim=1) if need_weights else None

    def all_tokens(self, tokens: torch.Tensor, frame_indices: torch.Tensor) -> torch.Tensor:
        """CLS and all frames after the last layer, (B, N, D); arguments as for `forward`."""
        *_, last = self._states(tokens, frame_indices)
        return last

    def hidden_states(self, tokens: torch.Tensor, frame_indices: torch.Tensor) -> torch.Tensor:
        """All tokens after the embeddings and after each layer, (B, 1 + L, N, D), for inspection."""
        return torch.stack([*self._states(tokens, frame_indices)], dim=1)

    def _states(self, tokens: torch.Tensor, frame_indices: torch.Tensor) -> Iterator[torch.Tensor]:
        """All tokens after the embeddings, then after each layer, (B, N, D); the last one in full too."""
        num_tokens = tokens.shape[1]
        hidden = _collect(*self.embed(tokens, frame_indices), num_tokens)
        yield hidden
        for layer in self.layers:
            cls, _ = layer.encode_cls(hidden[:, :1], [hidden[:, 1:]])
            frames = _in_parts(partial(layer.encode_frames, hidden), num_tokens - 1)
            hidden = _collect(cls, frames, num_tokens)
            yield hidden


def _in_parts(encode: Callable[[int, int], torch.Tensor], num_frames: int) -> Iterator[torch.Tensor]:
    """What encode(first, count) gives for all frames, (B, count, D) at a time.

    Without gradients a part is FRAMES_PER_PART frames: what lies between input and output then fits a CPU's
    cache, and its memory does not grow with the number of frames. With gradients all of it is kept anyway,
    and the gradient of each part would be as long as the whole.
    """
    if torch.is_grad_enabled() or num_frames <= FRAMES_PER_PART:
        yield encode(0, num_frames)  # apart from the loop, which compiled code unrolls for each length anew
        return
    for first in range(0, num_frames, FRAMES_PER_PART):
        yield encode(first, min(FRAMES_PER_PART, num_frames - first))


def _collect(cls: torch.Tensor, frames: Iterable[torch.Tensor], num_tokens: int) -> torch.Tensor:
    """(B, 1, D) and the frames in parts -> (B, N, D)."""
    if torch.is_grad_enabled():
        return torch.cat([cls, *frames], dim=1)
    out = cls.new_empty(cls.shape[0], num_tokens, cls.shape[2])
    end = 0
    for part in itertools.chain([cls], frames):
        begin, end = end, end + part.shape[1]
        out[:, begin:end] = part
    return out


def window_per_layer(attention_window: int | list[int] | tuple[int, ...], num_layers: int) -> list[int]:
    """One window for each layer, each of them usable."""
    check_positive_int("num_layers", num_layers)
    several = isinstance(attention_window, (list, tuple))
    windows = list(attention_window) if several else [attention_window] * num_layers
    if len(windows) != num_layers:
        raise InputError(
            f"attention_window {windows} has {len(windows)} entries, but num_layers is {num_layers}.",
            arguments=("attention_window", "num_layers"),
        )
    for window in windows:
        check_window(window)
    return windows
