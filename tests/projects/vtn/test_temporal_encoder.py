"""Windows per layer, the last layer's shortcut, initialisation."""

import pytest
import torch

from vtn import InputError, temporal_encoder
from vtn.temporal_encoder import TemporalEncoder

OPTIONS = {
    "num_layers": 2,
    "num_heads": 2,
    "attention_window": 4,
    "ffn_dim": 16,
    "position_embedding": "none",
    "max_position_embeddings": 288,
    "attention_dropout": 0.1,
    "hidden_dropout": 0.1,
}


def encoder(**options) -> TemporalEncoder:
    return TemporalEncoder(8, **(OPTIONS | options)).eval()


def test_last_layer_for_cls_alone_gives_the_full_layers_cls():
    model, tokens, indices = encoder(), torch.randn(2, 12, 8), torch.arange(11).expand(2, -1)
    torch.testing.assert_close(model(tokens, indices)[0], model.hidden_states(tokens, indices)[:, -1, 0])


def test_last_layer_works_for_cls_alone():
    model, seen = encoder(), []
    for layer in model.layers:
        layer.ffn_in.register_forward_pre_hook(lambda module, args: seen.append(tuple(args[0].shape)))
        layer.attention.query.register_forward_pre_hook(lambda module, args: seen.append("window"))
    model(torch.randn(2, 12, 8), torch.arange(11).expand(2, -1))
    assert seen == [(2, 1, 8), "window", (2, 11, 8), (2, 1, 8)]


@pytest.mark.parametrize("position_embedding", ["learned", "fixed", "none"])
@pytest.mark.parametrize("part", [1, 3, 4, 11])
def test_parts_give_what_the_whole_gives(monkeypatch, part, position_embedding):
    model = encoder(num_layers=3, attention_window=[4, 2, 6], position_embedding=position_embedding)
    tokens, indices = torch.randn(2, 12, 8), torch.randint(0, 500, (2, 11))
    whole = [
        *model(tokens, indices, need_weights=True),
        model.hidden_states(tokens, indices),
    ]  # gradients on: in one piece
    monkeypatch.setattr(temporal_encoder, "FRAMES_PER_PART", part)
    with torch.no_grad():
        parts = [*model(tokens, indices, need_weights=True), model.hidden_states(tokens, indices)]
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-6)


def test_memory_between_input_and_output_does_not_grow_with_the_number_of_frames():
    model, longest = encoder(), []
    model.layers[0].ffn_in.register_forward_hook(lambda module, args, out: longest.append(out.shape[1]))
    for num_frames in (2048, 4096):
        with torch.no_grad():
            model(torch.randn(1, 1 + num_frames, 8), torch.arange(num_frames)[None])
        assert max(longest) == 1024


def test_what_a_frame_can_reach_grows_by_half_a_window_per_layer():
    # CLS sees all, so that information could take that way: the first layer must not let it come back.
    model, indices = encoder(), torch.arange(20)[None]
    tokens = torch.randn(1, 21, 8, requires_grad=True)
    first_layer = model.hidden_states(tokens, indices)[:, 1]
    gradient = torch.autograd.grad(first_layer[0, 1 + 10].square().sum(), tokens)[0]
    touched = gradient[0].abs().sum(-1).nonzero().flatten().tolist()
    assert touched == [0, *(1 + frame for frame in range(8, 13))]


def test_one_layer_ignores_the_window_and_more_do_not():
    tokens, indices = torch.randn(2, 31, 8), torch.arange(30).expand(2, -1)
    for num_layers, same in ((1, True), (2, False)):
        narrow = encoder(num_layers=num_layers, attention_window=2)
        wide = encoder(num_layers=num_layers, attention_window=20)
        wide.load_state_dict(narrow.state_dict())
        difference = (narrow(tokens, indices)[0] - wide(tokens, indices)[0]).abs().max()
        assert (difference == 0) == same


def test_attention_of_cls_sums_to_one_in_every_layer():
    weights = encoder()(torch.randn(3, 6, 8), torch.arange(5).expand(3, -1), need_weights=True)[1]
    assert weights.shape == (3, 2, 2, 6)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, 2))


def test_windows_can_differ_by_layer():
    model = encoder(attention_window=[2, 6])
    assert [layer.attention.attention_window for layer in model.layers] == [2, 6]


def test_hidden_dropout_is_on_embeddings_and_on_both_branches_of_a_layer():
    model, tokens = encoder(hidden_dropout=1.0).train(), torch.randn(2, 6, 8)
    cls, frames = model.embed(tokens, torch.arange(5).expand(2, -1))
    assert not any(part.any() for part in [cls, *frames])
    layer = model.layers[0]
    only_residuals = layer.ffn_norm(layer.attention_norm(tokens))
    torch.testing.assert_close(layer.encode_frames(tokens, 0, 5), only_residuals[:, 1:])
    torch.testing.assert_close(layer.encode_cls(tokens[:, :1], [tokens[:, 1:]])[0], only_residuals[:, :1])


def test_initialisation():
    model = TemporalEncoder(64, **(OPTIONS | {"position_embedding": "learned", "ffn_dim": 256}))
    for name, parameter in model.named_parameters():
        if "norm" in name:
            assert torch.equal(parameter, torch.full_like(parameter, float(name.endswith("weight")))), name
        elif name.endswith("bias"):
            assert not parameter.any(), name
        else:
            assert 0.015 < parameter.std() < 0.025, name
            assert parameter.mean().abs() < 0.006, name


def test_only_the_last_layers_local_projections_ask_for_no_gradient():
    frozen = [name for name, parameter in encoder().named_parameters() if not parameter.requires_grad]
    parts = ("query", "key", "value")
    assert frozen == [f"layers.1.attention.{part}.{kind}" for part in parts for kind in ("weight", "bias")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention_window": [4]}, r"attention_window \[4\] has 1 entries, but num_layers is 2"),
        ({"attention_window": [4, 3]}, r"attention_window must be even .*, not 3"),
        ({"attention_window": 3.5}, r"attention_window must be a positive integer, not 3\.5"),
        (
            {"attention_window": [4, 10], "position_embedding": "learned", "max_position_embeddings": 11},
            r"attention_window 10 is wider than the table of positions: of max_position_embeddings 11 the "
            r"frames have 9",
        ),
        ({"num_layers": 0}, r"num_layers must be a positive integer, not 0"),
        ({"num_heads": 3}, r"num_heads is 3: it must be a divisor of .*, 8, such as 2"),
        ({"ffn_dim": -1}, r"ffn_dim must be a positive integer, not -1"),
        ({"attention_dropout": -0.1}, r"attention_dropout must be a probability from 0 to 1, not -0\.1"),
        ({"hidden_dropout": 2}, r"hidden_dropout must be a probability from 0 to 1, not 2"),
    ],
)
def test_errors(options, message):
    with pytest.raises(InputError, match=message):
        encoder(**options)
