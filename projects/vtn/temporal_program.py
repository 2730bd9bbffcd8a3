"""The temporal part of a VTN as one graph for any number of frames, which can be traced and leaves Python.

The same weights and the same sums as `VTN.classify`, written without what a tracer cannot follow: loops over
parts of a video, and shapes that are asked for their size. Of a VTN nothing is changed.

Shape legend: B videos, T frames, N = 1 + T tokens (CLS first), D width, H heads, E = D / H, K classes, G
blocks of C frames that ask, M keys that a block may see (CLS first).
"""

import torch
from torch import nn

from .errors import InputError
from .model import VTN
from .temporal_encoder import TemporalEncoder
from .token_merging import MergingBlock
from .window_attention import MIN_BLOCK_FRAMES, WindowAttention, shown_to


def check_portable(model: VTN) -> None:
    """Raise InputError unless the answer of a model can be that of a graph."""
    if not isinstance(model.temporal_encoder, TemporalEncoder):
        raise InputError(
            "an encoder of `transformers` (sequence_encoder) cannot be exported: only VTN's own temporal "
            "encoder has a form for any number of frames.",
            arguments=("sequence_encoder",),
        )
    if model.shuffle_frames:
        raise InputError(
            "shuffle_frames cannot be exported: it gives another answer each time, with which no other "
            "program could agree; set it to False.",
            arguments=("shuffle_frames",),
        )
    if any(isinstance(module, MergingBlock) for module in model.backbone.modules()):
        raise InputError(
            "merge_tokens cannot be exported: which patches are joined hangs on differences so small that no "
            "other program would choose the same; set it to 0, which the weights fit too.",
            arguments=("merge_tokens",),
        )


class TemporalProgram(nn.Module):
    """From the features of frames to logits and scores, for one or several videos of any length.

    Memory and time grow linearly with T: frames attend in blocks, each of which sees its own neighbourhood.

    Args:
        model: In evaluation mode; its parts are shared, not copied.

    Raises:
        InputError: If the model is none that `check_portable` accepts.
    """

    def __init__(self, model: VTN) -> None:
        super().__init__()
        check_portable(model)
        self.cls_token, self.encoder, self.head = model.cls_token, model.temporal_encoder, model.mlp_head
        self.eval()

    def forward(
        self, frame_features: torch.Tensor, frame_indices: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Classify.

        Args:
            frame_features: (B, T, D) float32, T at least 1.
            frame_indices: (B, T) int64, 0 or more: the frames' numbers in their video.

        Returns:
            Logits (B, K), and scores (B, K) that sum to 1.
        """
        hidden = self._embed(frame_features, frame_indices)  # (B, N, D)
        for layer in self.encoder.layers[:-1]:
            contexts = _seen_by_cls(layer.attention, hidden), _seen_by_frames(layer.attention, hidden)
            hidden = layer.update(hidden, torch.cat(contexts, dim=1))
        last = self.encoder.layers[-1]
        cls = last.update(hidden[:, :1], _seen_by_cls(last.attention, hidden))
        logits = self.head(cls[:, 0])
        return logits, logits.softmax(dim=1)

    def _embed(self, features: torch.Tensor, frame_indices: torch.Tensor) -> torch.Tensor:
        """Add position and type, normalise: (B, T, D) -> (B, N, D)."""
        batch, num_frames, _ = features.shape
        tokens = torch.cat([self.cls_token.expand(batch, -1, -1), features], dim=1)
        of_types = self.encoder.token_types.weight  # row 0: frames, row 1: CLS
        types = torch.cat([of_types[1:], of_types[:1].expand(num_frames, -1)])
        return self.encoder.norm(self.encoder.positions(frame_indices) + tokens + types)


def _seen_by_cls(attention: WindowAttention, hidden: torch.Tensor) -> torch.Tensor:
    """(B, N, D) -> (B, 1, D), in the order of WindowAttention.from_cls, which needs no keys and no values."""
    folded, constant = attention.fold_query(hidden[:, :1])
    scores = folded @ hidden.transpose(1, 2) + constant  # (B, H, N)
    return attention.value_of_mean(scores.softmax(dim=-1) @ hidden)


def _seen_by_frames(attention: WindowAttention, hidden: torch.Tensor) -> torch.Tensor:
    """(B, N, D) -> (B, T, D), what frames see through the window and of CLS."""
    num_frames = hidden.shape[1] - 1
    rows, columns, visible = band(num_frames, attention.attention_window // 2, hidden.device)
    value = _to_heads(attention.value(hidden), attention.num_heads)
    if attention.uniform:
        scores = hidden.new_zeros(()).expand(visible.shape)  # (G, C, M)
    else:
        query = _to_heads(attention.query(hidden), attention.num_heads)[:, :, rows]  # (B, H, G, C, E)
        key = _to_heads(attention.key(hidden), attention.num_heads)[:, :, columns]  # (B, H, G, M, E)
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    weights = scores.masked_fill(~visible, float("-inf")).softmax(dim=-1)
    context = (weights @ value[:, :, columns]).flatten(2, 3)  # (B, H, G * C, E)
    # Not a slice: a tracer would ask whether there are T of them.
    context = context.index_select(2, torch.arange(num_frames, device=hidden.device))
    return context.transpose(1, 2).flatten(2)


def _to_heads(tokens: torch.Tensor, num_heads: int) -> torch.Tensor:
    """(B, N, D) -> (B, H, N, E)."""
    return tokens.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def band(
    num_frames: int, reach: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cut the band of visible (query, key) pairs into equal blocks, as `key_layout` does for an unknown T.

    There is always a block more than the frames need: where there might be a single one, a tracer takes it
    for the only case.

        3 frames, reach=1, C=2 (as an example): blocks ask for frames 0 1, 2 2 and 2 2; the first sees
        CLS 0 0 1 2, of which the first 0 stands for a frame -1 and is hidden.

    Args:
        num_frames: T, perhaps a symbol.
        reach: Frames visible on each side, half the attention window.
        device: Where to build the tensors.

    Returns:
        rows (G, C) int64: the token that asks; of rows beyond the last frame the last one, again.
        columns (G, M) int64: which token each key slot shows, 0 is CLS.
        visible (G, C, M) bool: whether a query may use a slot. CLS always is, so that no row is empty.
    """
    block = max(2 * reach, MIN_BLOCK_FRAMES)
    starts = torch.arange((num_frames - 1) // block + 2, device=device)[:, None] * block
    asking = starts + torch.arange(block, device=device)
    shown = starts + torch.arange(-reach, block + reach, device=device)
    return asking.clamp(max=num_frames - 1) + 1, *shown_to(asking, shown, num_frames, reach)
