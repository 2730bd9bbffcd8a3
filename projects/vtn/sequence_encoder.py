"""Sequence encoders of the `transformers` library in the temporal encoder's place.

VTN (arXiv:2102.00719) Sec. 1: the parts can be replaced.

Shape legend: B batch, T frames, N = 1 + T tokens (CLS first), D width.
"""

import copy
import difflib
import inspect

import torch
from torch import nn

from .errors import InputError
from .positions import FrameRows, WithoutTable, check_position_rows
from .temporal_encoder import TemporalEncoder
from .window_attention import check_num_heads


class SequenceEncoder(nn.Module):
    """Any encoder of `transformers` that takes `inputs_embeds`, with random weights and without its words.

    It is called like `TemporalEncoder`. How it uses a frame's number depends on the encoder: one that takes
    `position_ids` (BERT, Longformer, ...) gets those of `LearnedPositions`; for one that does not (RoFormer,
    ...) only the order of the frames counts. CLS has token type 1 and frames 0, and only CLS has global
    attention, in encoders that know such a thing.

    Args:
        model_type: The library's name of an architecture, such as "longformer", "bert" or "roformer".
        embed_dim: D.
        num_layers, num_heads, ffn_dim: Size of the encoder.
        attention_window: Total width in tokens, one for each layer; only Longformer uses it.
        max_position_embeddings: Rows of the table of positions.
        attention_dropout, hidden_dropout: As in `TemporalEncoder`.

    Raises:
        InputError: If `transformers` is not installed, has no such architecture, or the architecture cannot
            be used here: it fails on three tokens of width D, or its first token cannot see the others.
    """

    def __init__(
        self,
        model_type: str,
        embed_dim: int,
        *,
        num_layers: int,
        num_heads: int,
        attention_window: list[int],
        ffn_dim: int,
        max_position_embeddings: int,
        attention_dropout: float,
        hidden_dropout: float,
    ) -> None:
        super().__init__()
        check_num_heads(num_heads, embed_dim)
        check_position_rows(max_position_embeddings, attention_window)
        self.model_type = model_type
        size = {
            "hidden_size": embed_dim,
            "embedding_size": embed_dim,
            "num_hidden_layers": num_layers,
            "num_attention_heads": num_heads,
            "intermediate_size": ffn_dim,
            "attention_window": attention_window,
            "max_position_embeddings": max_position_embeddings,
            "attention_probs_dropout_prob": attention_dropout,
            "hidden_dropout_prob": hidden_dropout,
            "layer_norm_eps": 1e-12,
            "type_vocab_size": 2,
        }
        self.model = _create(model_type, size)
        self._arguments = frozenset(inspect.signature(self.model.forward).parameters)
        self._rows = FrameRows(max_position_embeddings)
        self.positions = self._rows if "position_ids" in self._arguments else WithoutTable()
        if next(self.model.parameters()).is_meta:
            _try_narrow(model_type, num_heads, attention_window[0], max_position_embeddings)
        else:
            self._try(embed_dim)

    def forward(
        self, tokens: torch.Tensor, frame_indices: torch.Tensor, need_weights: bool = False
    ) -> tuple[torch.Tensor, None]:
        """Encode CLS and frames.

        Args:
            tokens: (B, N, D), CLS first.
            frame_indices: (B, T) int64, >= 0.
            need_weights: Must be False.

        Returns:
            The final state of CLS (B, D); and None where `TemporalEncoder` has its attention weights.

        Raises:
            InputError: With need_weights; these encoders return attention in different formats.
        """
        if need_weights:
            raise InputError(
                f"return_attention cannot be had with sequence_encoder {self.model_type!r}: only our own "
                "temporal encoder returns its attention."
            )
        if tokens.is_meta:
            return self._on_values(tokens, frame_indices), None
        is_cls = torch.zeros(tokens.shape[:2], dtype=torch.long, device=tokens.device)
        is_cls[:, 0] = 1
        offered = {
            "position_ids": nn.functional.pad(self._rows(frame_indices), (1, 0), value=self._rows.count),
            "token_type_ids": is_cls,
            "global_attention_mask": is_cls,
        }
        inputs = {name: value for name, value in offered.items() if name in self._arguments}
        return self.model(inputs_embeds=tokens, **inputs).last_hidden_state[:, 0], None

    def _on_values(self, tokens: torch.Tensor, frame_indices: torch.Tensor) -> torch.Tensor:
        """Run for the shapes alone: some of these encoders read values, which meta tensors lack."""
        twin = copy.deepcopy(self).to_empty(device="cpu")
        for tensor in (*twin.parameters(), *twin.buffers()):
            tensor.detach().zero_()  # uninitialised memory may hold no valid index
        inputs = (torch.zeros_like(x, device="cpu") for x in (tokens, frame_indices))
        return twin(*inputs)[0].to("meta")

    def _try(self, embed_dim: int) -> None:
        """Run three tokens, and freeze the parameters that get no gradient (DDP would wait for them)."""
        device = next(self.model.parameters()).device
        tokens = torch.randn(1, 3, embed_dim, device=device, requires_grad=True)
        twin = copy.deepcopy(self).eval()  # BigBird remembers that it once saw a short sequence
        try:
            with torch.enable_grad():
                cls_state = twin(tokens, torch.arange(2, device=device)[None])[0]
            # Of random direction: the sum of what a LayerNorm gives has no gradient.
            (cls_state * torch.randn_like(cls_state)).sum().backward()
        except Exception as error:  # whatever the library raises; the sentence quotes it
            raise _unusable(self.model_type, error) from error
        if cls_state.shape != (1, embed_dim):
            raise InputError(
                f"sequence_encoder {self.model_type!r} gives vectors of width {cls_state.shape[-1]}, "
                f"not {embed_dim} as the frame features.",
                arguments=("sequence_encoder",),
            )
        if not tokens.grad[:, 1:].abs().sum(-1).gt(0).all():
            raise InputError(
                f"sequence_encoder {self.model_type!r} cannot be used: its first token, CLS, does not see "
                "the frames after it.",
                arguments=("sequence_encoder",),
            )
        for parameter, tried in zip(self.model.parameters(), twin.model.parameters(), strict=True):
            parameter.requires_grad_(tried.grad is not None)


class _NoWords(nn.Module):
    """Takes the place of the table of words: some encoders pad a sequence with words that no token sees."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.embed_dim = embed_dim

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return torch.zeros(*words.shape, self.embed_dim, device=words.device)


def _try_narrow(model_type: str, num_heads: int, attention_window: int, max_position_embeddings: int) -> None:
    """For a model without memory, which cannot be tried: try a small one of its kind."""
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        SequenceEncoder(
            model_type,
            8 * num_heads,
            num_layers=1,
            num_heads=num_heads,
            attention_window=[attention_window],
            ffn_dim=8,
            max_position_embeddings=max_position_embeddings,
            attention_dropout=0.0,
            hidden_dropout=0.0,
        )


def _create(model_type: str, size: dict) -> nn.Module:
    """The architecture in that size; settings that it does not have are left out."""
    try:
        from transformers import CONFIG_MAPPING, AutoModel
    except ImportError:
        raise InputError(
            f"sequence_encoder {model_type!r} needs the transformers library: "
            "pip install 'transformers>=5.0'.",
            arguments=("sequence_encoder",),
        ) from None
    if model_type not in CONFIG_MAPPING:
        close = difflib.get_close_matches(str(model_type), list(CONFIG_MAPPING), n=3)
        hint = f"; close names are {', '.join(close)}." if close else "."
        raise InputError(
            f"sequence_encoder is {model_type!r}, which transformers does not have{hint}",
            arguments=("sequence_encoder",),
        )
    try:
        config_class = CONFIG_MAPPING[model_type]
        known = config_class()
        # The only word is padding; its number is also that of the unused row of positions.
        rows = size["max_position_embeddings"]
        words = {"vocab_size": rows, "pad_token_id": rows - 1}
        words |= dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"))
        config = config_class(**{name: x for name, x in (size | words).items() if hasattr(known, name)})
        try:
            model = AutoModel.from_config(config, add_pooling_layer=False)
        except TypeError:
            model = AutoModel.from_config(config)
        model.set_input_embeddings(_NoWords(size["hidden_size"]))
    except Exception as error:  # whatever the library raises; the sentence quotes it
        raise _unusable(model_type, error) from error
    return model


def _unusable(model_type: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200].rstrip(".")
    return InputError(
        f"sequence_encoder {model_type!r} cannot be used for frame features: {reason}.",
        arguments=("sequence_encoder",),
    )


def build_temporal_encoder(
    embed_dim: int,
    sequence_encoder: str | None,
    *,
    position_embedding: str,
    position_overflow: str,
    attention: str,
    train_all_tokens: bool = False,
    **size,
) -> TemporalEncoder | SequenceEncoder:
    """Make our temporal encoder, or a sequence encoder in its place.

    Args:
        embed_dim: D.
        sequence_encoder: Name for SequenceEncoder; None for TemporalEncoder.
        position_embedding, position_overflow, attention: Of TemporalEncoder; the others have their own.
        train_all_tokens: Of TemporalEncoder; the others return CLS alone.
        **size: The arguments that both take.

    Raises:
        InputError: If an argument cannot be used; the sentence names it and its value.
    """
    choices = {"position_embedding": position_embedding, "attention": attention}
    choices["position_overflow"] = position_overflow
    if sequence_encoder is None:
        return TemporalEncoder(embed_dim, train_all_tokens=train_all_tokens, **choices, **size)
    if train_all_tokens:
        raise InputError(
            f"localization_scales cannot be had with sequence_encoder {sequence_encoder!r}: only our own "
            "temporal encoder gives the states of all frames.",
            arguments=("localization_scales", "sequence_encoder"),
        )
    for name, value in choices.items():
        if value != ("wrap" if name == "position_overflow" else "learned"):
            raise InputError(
                f"{name} {value!r} cannot be had with sequence_encoder {sequence_encoder!r}, "
                "which has its own.",
                arguments=(name, "sequence_encoder"),
            )
    return SequenceEncoder(sequence_encoder, embed_dim, **size)
