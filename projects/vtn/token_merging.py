"""Token merging in timm's ViTs: every layer joins patch tokens that look alike, and later ones have fewer.

Source: ToMe, arXiv:2210.09461, section 3 and appendix D. The network's parameters and their names stay as
they are: a checkpoint fits it with and without merging.

Shape legend: N images, L tokens of each, of which the first P are no patches (class, distillation, register)
and M = L - P are, D width, H heads, d width of a head.
"""

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from .backbone import network_name
from .checks import check_not_negative_int
from .errors import InputError

if TYPE_CHECKING:
    from timm.models.vision_transformer import Block


def merge_tokens_in(backbone: nn.Module, merge_tokens: int) -> None:
    """Let every layer of a ViT merge `merge_tokens` patch tokens, in place; 0 changes nothing.

    A layer never merges more than half of the patches that it has, as in the paper: the last ones may have
    so few. What follows the layers (norm, pooling) sees as many tokens as without merging, each with the
    values of the token that it has become part of, so a mean over patches weighs merged ones by their size.

    Args:
        backbone: timm's VisionTransformer with its usual layers; for 0 any module.
        merge_tokens: The paper's r.

    Raises:
        InputError: If the backbone is another network, or has too few patches.
    """
    check_not_negative_int("merge_tokens", merge_tokens)
    if merge_tokens == 0:
        return
    _check_mergeable(backbone, merge_tokens)
    blocks, num_prefix = backbone.blocks, backbone.num_prefix_tokens
    for number, block in enumerate(blocks):
        blocks[number] = MergingBlock(block, merge_tokens, num_prefix, is_last=number == len(blocks) - 1)


def _check_mergeable(backbone: nn.Module, merge_tokens: int) -> None:
    from timm.models.vision_transformer import Attention, Block, VisionTransformer  # see backbone.py

    arguments = ("merge_tokens", "backbone")
    blocks = list(backbone.blocks) if isinstance(backbone, VisionTransformer) else []
    # Others put norms or several branches elsewhere; this class stands for exactly these two.
    if not blocks or any(type(block) is not Block or type(block.attn) is not Attention for block in blocks):
        raise InputError(
            f"merge_tokens {merge_tokens}: backbone {network_name(backbone)} is no ViT with global attention "
            "(timm's VisionTransformer with its usual blocks), whose tokens alone can be merged.",
            arguments=arguments,
        )
    patches, layers = backbone.patch_embed.num_patches, len(blocks)
    if merge_tokens * layers >= patches:
        raise InputError(
            f"merge_tokens {merge_tokens}: backbone {network_name(backbone)} has {patches} patches and "
            f"{layers} layers, so at most {(patches - 1) // layers} can be merged in each, or none is left.",
            arguments=arguments,
        )


class MergingBlock(nn.Module):
    """A timm Block that merges tokens between its attention and its feed-forward network.

    The first block of a network takes tokens (N, L, D), each passes what the next one needs on to it, and the
    last gives tokens (N, L, D) again. So timm's ways to run blocks, checkpointing among them, need not know.

    Args:
        block: Whose parts become this one's, under the same names.
        merge_tokens: The paper's r.
        num_prefix: P.
        is_last: Whether no block follows.
    """

    def __init__(self, block: "Block", merge_tokens: int, num_prefix: int, *, is_last: bool) -> None:
        super().__init__()
        for name, part in block.named_children():
            self.add_module(name, part)
        self.training = block.training
        self.merge_tokens, self.num_prefix, self.is_last = merge_tokens, num_prefix, is_last
        self._keys: torch.Tensor | None = None
        # timm's attention keeps its keys to itself; they pass through this norm, or identity, as they are.
        self.attn.k_norm.register_forward_hook(self._take_keys)

    def extra_repr(self) -> str:
        """For printing."""
        return f"merge_tokens={self.merge_tokens}"

    def forward(self, tokens: "torch.Tensor | MergedTokens") -> "torch.Tensor | MergedTokens":
        """(N, L, D) or what the block before gave -> what the next takes, or (N, L, D) if there is none."""
        if not isinstance(tokens, MergedTokens):
            tokens = MergedTokens(tokens, None, None)
        x, keys = self._attend(tokens.values, tokens.sizes)
        tokens = tokens._replace(values=x)
        num_merged = min(self.merge_tokens, (x.shape[1] - self.num_prefix) // 2)
        if num_merged:  # of one patch, which a network for images of any size may be given, there is no half
            patches = match_tokens(keys[:, self.num_prefix :], num_merged) + self.num_prefix
            prefix = torch.arange(self.num_prefix, device=x.device).expand(len(x), -1)
            tokens = merge(tokens, torch.cat([prefix, patches], dim=1), num_merged)
        x = tokens.values
        tokens = tokens._replace(values=x + self.drop_path2(self.ls2(self.mlp(self.norm2(x)))))
        return tokens.unmerged() if self.is_last else tokens

    def _attend(self, x: torch.Tensor, sizes: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Attention, with the keys' mean over the heads: (N, L, D) and (N, L, d)."""
        # Proportional attention (eq. 1): a token of size s weighs as much as s tokens with its key.
        mask = None if sizes is None else sizes.log()[:, None, None].to(x.dtype)
        x = x + self.drop_path1(self.ls1(self.attn(self.norm1(x), attn_mask=mask)))
        keys, self._keys = self._keys, None
        return x, keys

    def _take_keys(self, norm: nn.Module, args: tuple, keys: torch.Tensor) -> None:
        self._keys = keys.detach().mean(1, dtype=torch.float32)  # (N, H, L, d) -> (N, L, d)


class MergedTokens(NamedTuple):
    """Tokens on their way from one layer to the next.

    Attributes:
        values: (N, L, D).
        sizes: (N, L) float32 or wider, how many of the network's own tokens each is; None while each is one.
        places: (N, L0) int64, which of the L each of the L0 tokens before any merging is part of; None while
            all are there.
    """

    values: torch.Tensor
    sizes: torch.Tensor | None
    places: torch.Tensor | None

    def unmerged(self) -> torch.Tensor:
        """(N, L0, D): every token before merging has the values of the one that it is part of."""
        if self.places is None:
            return self.values
        return self.values.take_along_dim(self.places[..., None], dim=1)


def merge(tokens: MergedTokens, places: torch.Tensor, num_merged: int) -> MergedTokens:
    """Merge tokens into their mean, weighted by their sizes.

    Args:
        tokens: L of each image.
        places: (N, L) int64, of each token its place among those that are left.
        num_merged: How many fewer are left.
    """
    x, sizes, before = tokens
    if sizes is None:
        precise = torch.promote_types(x.dtype, torch.float32)
        sizes = torch.ones(x.shape[:2], dtype=precise, device=x.device)
    left = sizes.new_zeros(len(x), x.shape[1] - num_merged).scatter_add(1, places, sizes)
    weighted = x * sizes[..., None]
    total = weighted.new_zeros(*left.shape, x.shape[2])
    total = total.scatter_add(1, places[..., None].expand_as(x), weighted)
    values = (total / left[..., None]).to(x.dtype)
    return MergedTokens(values, left, places if before is None else places.gather(1, before))


@torch.no_grad()
def match_tokens(keys: torch.Tensor, num_merged: int) -> torch.Tensor:
    """Bipartite soft matching: which tokens become one.

    Of the first, third, fifth … token each may join the most similar of the others, by the cosine of their
    keys; the num_merged most similar pairs do.

    Args:
        keys: (N, M, d) floats.
        num_merged: At most M // 2.

    Returns:
        (N, M) int64, the place of each token among the M - num_merged that are left: first those that might
        have joined another and do not, in their order, then the others.
    """
    keys = nn.functional.normalize(keys, dim=-1)
    joining, staying = keys[:, ::2], keys[:, 1::2]
    # In bfloat16 the cosines of most neighbours would be equal.
    with _without_autocast(keys.device):
        similarity, partner = (joining @ staying.transpose(1, 2)).max(dim=-1)  # (N, M - M // 2) each
    joined = similarity.topk(num_merged, dim=-1).indices
    alone = torch.ones_like(partner, dtype=torch.bool).scatter(1, joined, False)
    num_alone = partner.shape[1] - num_merged
    places = torch.arange(num_alone, num_alone + staying.shape[1], device=keys.device)
    places = places.expand(len(keys), -1)  # of those that stay
    found = torch.where(alone, alone.cumsum(1) - 1, num_alone + partner)  # of the others
    in_turn = torch.stack([found[:, : places.shape[1]], places], dim=2).flatten(1)
    return torch.cat([in_turn, found[:, places.shape[1] :]], dim=1)


def _without_autocast(device: torch.device) -> contextlib.AbstractContextManager:
    """A context in which matrix products have the precision of their factors."""
    if not torch.amp.is_autocast_available(device.type):  # the meta device
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)
