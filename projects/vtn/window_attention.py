"""Sliding-window attention over frames, with one token (CLS) that sees all and is seen by all.

Shape legend: B batch, T frames, N = 1 + T tokens (CLS first), D width, H heads, E = D / H head width,
G blocks of C queries each, M keys that a block may see (CLS first).
"""

import itertools
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import nn

from .checks import check_positive_int, check_probability
from .errors import InputError

# Queries per block, unless the window is wider. Smaller blocks waste less arithmetic, larger ones make better
# matrix products; at width 768 and window 32 a CPU is fastest around this.
MIN_BLOCK_FRAMES = 64


def key_layout(
    num_queries: int, num_frames: int, reach: int, device: torch.device, *, first: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut the band of visible (query, key) pairs into G equal blocks.

    A block holds C neighbouring queries and the frames from `reach` before its first to `reach` after
    its last, so that cost grows with the number of queries and not with its square. Frames that fit one
    block need no blocks: it is one dense product under a mask.

        5 queries, reach=1, C=2 (as an example): block 0 asks for frames 0 1 and sees CLS -1 0 1 2,
        where frame -1 does not exist and is hidden.

    Args:
        num_queries: Frames that ask, at least 1.
        num_frames: T, frames that can be seen.
        reach: Frames visible on each side, half the attention window.
        device: Where to build the two tensors.
        first: Which of the T frames asks first; the others follow it.

    Returns:
        columns (G, M) int64: which of the N tokens each key slot shows, 0 is CLS.
        visible (G, C, M) bool: whether a query may use a slot. CLS always is, so that no row is empty.
    """
    block = max(2 * reach, MIN_BLOCK_FRAMES)
    num_blocks = -(-num_queries // block)
    if num_frames <= block:
        block = num_queries
        frames = torch.arange(num_frames, device=device)[None]
    else:
        starts = first + torch.arange(num_blocks, device=device)[:, None] * block
        frames = starts + torch.arange(-reach, block + reach, device=device)
    queries = first + torch.arange(num_blocks * block, device=device).view(num_blocks, block)
    return shown_to(queries, frames, num_frames, reach)


def shown_to(
    queries: torch.Tensor, frames: torch.Tensor, num_frames: int, reach: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The columns and what is visible of them, see `key_layout`.

    Args:
        queries: (G, C), frames that ask.
        frames: (G or 1, M - 1), frames that a block holds; some may not exist.
        num_frames, reach: As there.
    """
    near = (queries[:, :, None] - frames[:, None, :]).abs() <= reach
    exists = (frames >= 0) & (frames < num_frames)
    visible = F.pad(near & exists[:, None, :], (1, 0), value=True)
    columns = F.pad(frames.clamp(0, num_frames - 1) + 1, (1, 0), value=0)
    return columns, visible


def window_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_window: int,
    *,
    first: int = 0,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Attention of neighbouring frames to CLS and to the frames within half a window of each.

    One softmax covers both, and CLS is counted once. Distance is counted in tokens, not in frame indices:
    window 18 means 9 on each side and the frame itself. At the ends the window is cut.

    Args:
        query: (B, H, Q, E), frames only.
        key: (B, H, N, E), CLS first.
        value: (B, H, N, any), CLS first.
        attention_window: Total width in tokens, even.
        first: Which of the T frames of key asks first; the other queries are the frames after it.
        dropout: Probability of dropping an attention weight, 0 in evaluation.

    Returns:
        (B, H, Q, last dimension of value). Time and memory grow linearly with Q.

    Source: Longformer (arXiv:2004.05150) Sec. 3.1 as VTN (arXiv:2102.00719) Sec. 3.2 uses it.
    """
    batch, _, num_queries, _ = query.shape
    columns, visible = key_layout(
        num_queries, key.shape[2] - 1, attention_window // 2, query.device, first=first
    )
    num_blocks, block, _ = visible.shape
    query = F.pad(query, (0, 0, 0, num_blocks * block - num_queries)).unflatten(2, (num_blocks, block))
    # One block of one video is one item of the batch: (B * G, H, C or M, E).
    blocks = (x.transpose(1, 2).flatten(0, 1) for x in (query, key[:, :, columns], value[:, :, columns]))
    mask = visible[None, :, None].expand(batch, -1, -1, -1, -1).flatten(0, 1)  # (B * G, 1, C, M)
    context = F.scaled_dot_product_attention(*blocks, attn_mask=mask, dropout_p=dropout)
    return context.unflatten(0, (batch, -1)).transpose(1, 2).flatten(2, 3)[:, :, :num_queries]


def linear(layer: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    """layer(x), also fast for a single vector on a CPU.

    There the time goes into reading the weight from memory, and for a single row one thread reads it all.
    Cut into a block of rows for each thread, it is read about twice as fast.
    """
    # Compiled code would be broken off below, to ask for the number of threads, and a trace for that of rows.
    if torch.compiler.is_compiling() or torch.is_grad_enabled():
        return layer(x)
    if x.numel() != layer.in_features or x.device.type != "cpu" or type(layer) is not nn.Linear:
        return layer(x)
    blocks = torch.get_num_threads()
    if layer.out_features % blocks or torch.is_autocast_enabled("cpu"):
        return layer(x)
    weights = layer.weight.view(blocks, -1, layer.in_features).transpose(1, 2)
    parts = torch.bmm(x.view(1, 1, -1).expand(blocks, -1, -1), weights)  # (blocks, 1, out / blocks)
    return parts.view(*x.shape[:-1], -1) + layer.bias


ATTENTION_KINDS = ("learned", "uniform")
USUAL_HEADS = 12


def usual_num_heads(embed_dim: int) -> int:
    """The paper's 12 heads, or where 12 do not divide the width the most below 12 that do."""
    return max(heads for heads in range(1, USUAL_HEADS + 1) if embed_dim % heads == 0)


def check_num_heads(num_heads: int, embed_dim: int) -> None:
    """Raise InputError unless the heads are equal parts of the width."""
    check_positive_int("num_heads", num_heads)
    if embed_dim % num_heads:
        divisors = [heads for heads in range(1, embed_dim + 1) if embed_dim % heads == 0]
        near = min(divisors, key=lambda heads: abs(heads - num_heads))
        raise InputError(
            f"num_heads is {num_heads}: it must be a divisor of the width of the frame features, "
            f"{embed_dim}, such as {near}.",
            arguments=("num_heads",),
        )


def check_window(attention_window: int) -> None:
    """Raise InputError unless a window has two equal halves."""
    check_positive_int("attention_window", attention_window)
    if attention_window % 2:
        raise InputError(
            f"attention_window must be even (half on each side), not {attention_window}.",
            arguments=("attention_window",),
        )


class WindowAttention(nn.Module):
    """Multi-head attention of one layer: frames through a window, CLS over everything.

    Frames use `query`, `key`, `value` (also for the key and value of CLS); CLS asks with `query_global`
    and meets keys and values of `key_global` and `value_global`. One `output` projection, applied by the
    layer, serves both.

    Args:
        embed_dim: D.
        num_heads: H, must divide D.
        attention_window: Total width in tokens, even, at least 2.
        attention_dropout: Probability of dropping an attention weight in training.
        attention: "learned", or "uniform": every token that is visible weighs the same, whatever it holds
            (VTN, arXiv:2102.00719, Sec. 5.1 and Fig. 4). Queries and keys then have no effect.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        attention_window: int,
        attention_dropout: float,
        attention: str = "learned",
    ) -> None:
        super().__init__()
        check_num_heads(num_heads, embed_dim)
        check_window(attention_window)
        check_probability("attention_dropout", attention_dropout)
        if attention not in ATTENTION_KINDS:
            kinds = ", ".join(ATTENTION_KINDS)
            raise InputError(
                f"attention must be one of {kinds}, not {attention!r}.", arguments=("attention",)
            )
        self.num_heads = num_heads
        self.attention_window = attention_window
        self.attention_dropout = attention_dropout
        self.uniform = attention == "uniform"
        self.query = nn.Linear(embed_dim, embed_dim)
        self.key = nn.Linear(embed_dim, embed_dim)
        self.value = nn.Linear(embed_dim, embed_dim)
        self.query_global = nn.Linear(embed_dim, embed_dim)
        self.key_global = nn.Linear(embed_dim, embed_dim)
        self.value_global = nn.Linear(embed_dim, embed_dim)
        self.output = nn.Linear(embed_dim, embed_dim)
        if self.uniform:
            for unused in (self.query, self.key, self.query_global, self.key_global):
                unused.requires_grad_(False)

    def from_frames(self, hidden: torch.Tensor, *, first: int, count: int) -> torch.Tensor:
        """What `count` neighbouring frames see through the window.

        Args:
            hidden: (B, N, D), CLS first; frames that no query can see may be left out.
            first: Which of its frames asks first.
            count: How many ask.

        Returns:
            (B, count, D), before the output projection.
        """
        asking = hidden[:, 1 + first : 1 + first + count]
        query = torch.zeros_like(asking) if self.uniform else self.query(asking)
        key = torch.zeros_like(hidden) if self.uniform else self.key(hidden)
        heads = (
            x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in (query, key, self.value(hidden))
        )
        dropout = self.attention_dropout if self.training else 0.0
        context = window_attention(*heads, self.attention_window, first=first, dropout=dropout)
        return context.transpose(1, 2).flatten(2)

    def from_cls(
        self, cls: torch.Tensor, frames: Iterable[torch.Tensor], need_weights: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What CLS sees in all tokens, in O(N D H) instead of O(N D D), one part at a time.

        q . (Wk x + bk) = (Wk^T q) . x + q . bk and
        sum_n w_n (Wv x_n + bv) = Wv (sum_n w_n x_n) + bv sum_n w_n,
        so neither keys nor values of the N tokens are ever formed. q . bk is the same for all tokens and
        cannot change the softmax; it is added (H numbers) so that bk still gets its gradient of zero.
        Dropout makes the weights' sum differ from 1, hence the factor at bv. What was summed is scaled down
        whenever a part brings a higher score, so that no exponential overflows.

        Args:
            cls: (B, 1, D).
            frames: Their hidden states in order, in parts (B, any, D).
            need_weights: Also return the weights.

        Returns:
            (B, 1, D), before the output projection; and with need_weights the weights (B, H, N), before
            dropout, each row summing to 1.
        """
        folded, constant = self.fold_query(cls)
        scores, highest = [], torch.full_like(constant, float("-inf"))
        total, kept_total, summed = torch.zeros_like(constant), torch.zeros_like(constant), None
        for part in itertools.chain([cls], frames):
            score = folded @ part.transpose(1, 2) + constant  # (B, H, n)
            if need_weights:
                scores.append(score)
            previous, highest = highest, torch.maximum(highest, score.detach().amax(-1, keepdim=True))
            decay, weights = (previous - highest).exp(), (score - highest).exp()
            kept = F.dropout(weights, self.attention_dropout, self.training)
            total = total * decay + weights.sum(-1, keepdim=True)
            kept_total = kept_total * decay + kept.sum(-1, keepdim=True)
            seen = kept.to(part.dtype) @ part  # (B, H, D)
            summed = seen if summed is None else summed * decay + seen
        weights = (torch.cat(scores, dim=-1) - highest).exp() / total if need_weights else None
        return self.value_of_mean(summed / total, kept_total / total), weights

    def value_of_mean(self, mean: torch.Tensor, kept: torch.Tensor | float = 1.0) -> torch.Tensor:
        """(B, H, D), tokens averaged by their weights, -> (B, 1, D), those weights applied to their values.

        `kept`, (B, H, 1), is what the weights sum to after dropout.
        """
        split = (self.num_heads, -1)
        value_weight = self.value_global.weight.unflatten(0, split)  # (H, E, D)
        value_bias = self.value_global.bias.unflatten(0, split)
        context = torch.einsum("bhd,hed->bhe", mean, value_weight) + value_bias * kept
        return context.flatten(1)[:, None]

    def fold_query(self, cls: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, H, D) and (B, H, 1): what gives the score of a token x as folded . x + constant."""
        split = (self.num_heads, -1)
        if self.uniform:
            folded = cls.new_zeros(cls.shape[0], self.num_heads, cls.shape[2])
            return folded, folded[..., :1]
        query = linear(self.query_global, cls[:, 0]).unflatten(-1, split)  # (B, H, E)
        query = query * query.shape[-1] ** -0.5
        folded = torch.einsum("bhe,hed->bhd", query, self.key_global.weight.unflatten(0, split))
        return folded, (query * self.key_global.bias.unflatten(0, split)).sum(-1, keepdim=True)
