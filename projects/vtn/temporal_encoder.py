"""The temporal encoder of VTN (arXiv:2102.00719) Sec. 3.2: a small Longformer over frame features.

Post-norm layers as in BERT. Every LayerNorm here has epsilon 1e-12, the value behind the authors' results.

Shape legend: B batch, T frames, N = 1 + T tokens (CLS first), D width, H heads, L layers.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from .checks import check_positive_int, check_probability
from .errors import InputError
from .positions import build_positions
from .window_attention import WindowAttention

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

    def forward(self, hidden: torch.Tensor, cls_only: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, N, D) -> (B, N, D), or (B, 1, D) with cls_only; and the weights of CLS, (B, H, N)."""
        context, cls_weights = self.attention.from_cls(hidden)
        cls = self._update(hidden[:, :1], context)
        if cls_only:
            return cls, cls_weights
        return _cls_and_frames(cls, hidden.shape[1] - 1, partial(self._encode_frames, hidden)), cls_weights

    def _encode_frames(self, hidden: torch.Tensor, first: int, count: int) -> torch.Tensor:
        """(B, N, D) -> (B, count, D), the frames from the first on."""
        num_frames, reach = hidden.shape[1] - 1, self.attention.attention_window // 2
        begin, end = max(first - reach, 0), min(first + count + reach, num_frames)
        near = hidden
        if end - begin < num_frames:
            near = torch.cat([hidden[:, :1], hidden[:, 1 + begin : 1 + end]], dim=1)
        context = self.attention.from_frames(near, first=first - begin, count=count)
        return self._update(hidden[:, 1 + first : 1 + first + count], context)

    def _update(self, hidden: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Everything in the layer that treats each token by itself, (B, any, D) both."""
        attended = self.attention.output(context)
        hidden = self.attention_norm(self.dropout(attended) + hidden)
        update = self.ffn_out(F.gelu(self.ffn_in(hidden)))
        return self.ffn_norm(self.dropout(update) + hidden)


class TemporalEncoder(nn.Module):
    """Embeddings and L layers; what leaves is the state of CLS.

    Only CLS is used after the last layer, so there only CLS attends and passes the feed-forward network.
    The `query`, `key` and `value` of that layer are then without effect: they exist, because the authors'
    checkpoints hold them, but do not ask for a gradient, which would never come.

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
    ) -> None:
        super().__init__()
        check_probability("hidden_dropout", hidden_dropout)
        windows = window_per_layer(attention_window, num_layers)
        self.positions = build_positions(position_embedding, embed_dim, max_position_embeddings)
        self.token_types = nn.Embedding(2, embed_dim)  # row 0: frames, row 1: CLS
        self.norm = nn.LayerNorm(embed_dim, eps=NORM_EPS)
        self.dropout = nn.Dropout(hidden_dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(embed_dim, num_heads, window, ffn_dim, attention_dropout, hidden_dropout, attention)
            for window in windows
        )
        if position_embedding == "learned" and max(windows) > max_position_embeddings - 2:
            raise InputError(
                f"attention_window {max(windows)} is wider than the table of positions: of "
                f"max_position_embeddings {max_position_embeddings} the frames have "
                f"{max_position_embeddings - 2}, and neighbours further apart share one."
            )
        self._init_weights()
        last = self.layers[-1].attention
        for unused in (last.query, last.key, last.value):
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

    def embed(self, tokens: torch.Tensor, frame_indices: torch.Tensor) -> torch.Tensor:
        """Add position and token type, then normalise: (B, N, D), (B, T) -> (B, N, D)."""
        frame_type, cls_type = self.token_types.weight

        def embed_frames(first: int, count: int) -> torch.Tensor:
            positions = self.positions(frame_indices[:, first : first + count])[:, 1:]
            # In this order, as the authors add them: where features are nearly equal, rounding shows.
            return self.norm((tokens[:, 1 + first : 1 + first + count] + positions).add_(frame_type))

        cls = self.norm(tokens[:, :1] + self.positions(frame_indices[:, :0]) + cls_type)
        return self.dropout(_cls_and_frames(cls, frame_indices.shape[1], embed_frames))

    def forward(self, tokens: torch.Tensor, frame_indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode CLS and frames.

        Args:
            tokens: (B, N, D), CLS first, then the frame features in order of time.
            frame_indices: (B, T) int64, >= 0.

        Returns:
            The final state of CLS (B, D), and its attention weights in every layer (B, L, H, N).
        """
        hidden = self.embed(tokens, frame_indices)
        cls_weights = []
        for layer in self.layers:
            hidden, weights = layer(hidden, cls_only=layer is self.layers[-1])
            cls_weights.append(weights)
        return hidden[:, 0], torch.stack(cls_weights, dim=1)

    def hidden_states(self, tokens: torch.Tensor, frame_indices: torch.Tensor) -> torch.Tensor:
        """All tokens after the embeddings and after each layer, (B, 1 + L, N, D): for looking inside.

        Here the last layer is computed in full, which `forward` never does.
        """
        states = [self.embed(tokens, frame_indices)]
        for layer in self.layers:
            states.append(layer(states[-1])[0])
        return torch.stack(states, dim=1)


def _cls_and_frames(
    cls: torch.Tensor, num_frames: int, encode: Callable[[int, int], torch.Tensor]
) -> torch.Tensor:
    """Put CLS before what encode(first, count) gives for the frames: (B, 1, D) -> (B, N, D).

    Without gradients the frames are taken in parts: what lies between input and output then fits a CPU's
    cache, and its memory does not grow with their number. With gradients all of it is kept anyway, and the
    gradient of each part would be as long as the whole.
    """
    if torch.is_grad_enabled():
        return torch.cat([cls, encode(0, num_frames)], dim=1)
    out = cls.new_empty(cls.shape[0], 1 + num_frames, cls.shape[2])
    out[:, :1] = cls
    for first in range(0, num_frames, FRAMES_PER_PART):
        count = min(FRAMES_PER_PART, num_frames - first)
        out[:, 1 + first : 1 + first + count] = encode(first, count)
    return out


def window_per_layer(attention_window: int | list[int] | tuple[int, ...], num_layers: int) -> list[int]:
    """One window for each layer; whether a window itself is usable, its layer checks."""
    check_positive_int("num_layers", num_layers)
    if not isinstance(attention_window, (list, tuple)):
        return [attention_window] * num_layers
    windows = list(attention_window)
    if len(windows) != num_layers:
        raise InputError(
            f"attention_window {windows} has {len(windows)} entries, but num_layers is {num_layers}."
        )
    return windows
