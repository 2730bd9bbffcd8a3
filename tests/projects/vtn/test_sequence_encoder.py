"""Encoders of another library in the temporal encoder's place."""

import pytest
import torch

from vtn import InputError
from vtn.authors_names import to_authors_names
from vtn.sequence_encoder import SequenceEncoder

SIZE = {
    "num_layers": 2,
    "num_heads": 3,
    "attention_window": [4, 4],
    "ffn_dim": 16,
    "max_position_embeddings": 288,
    "attention_dropout": 0.1,
    "hidden_dropout": 0.1,
}


def features_and_indices(num_frames=11):
    return torch.randn(2, num_frames, 12), torch.randint(0, 500, (2, num_frames)).sort().values


@pytest.mark.parametrize("num_frames", [1, 3, 11, 70])
def test_their_longformer_equals_ours(small_model, num_frames):
    settings = {"num_layers": 3, "attention_window": [4, 8, 4]}
    ours, theirs = (
        small_model(**settings).eval(),
        small_model(sequence_encoder="longformer", **settings).eval(),
    )
    torch.nn.init.normal_(ours.temporal_encoder.token_types.weight)  # 0.02 would hide a swap
    prefix = "temporal_encoder."
    state = {
        name.replace(prefix, prefix + "model.") if name.startswith(prefix) else name: value
        for name, value in to_authors_names(ours.state_dict()).items()
    }
    theirs.load_state_dict(state)
    features, indices = features_and_indices(num_frames)
    torch.testing.assert_close(
        ours.classify(features, indices), theirs.classify(features, indices), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(("name", "numbers_matter"), [("bert", True), ("roformer", False)])
def test_other_encoders_learn(small_model, name, numbers_matter):
    model = small_model(sequence_encoder=name, num_classes=2).eval()
    features, indices = features_and_indices()
    logits = model.classify(features, indices)
    assert torch.equal(logits, model.classify(features, indices + 3)) != numbers_matter
    reversed_frames = model.classify(features.flip(1), indices)
    assert not torch.isclose(logits, reversed_frames).all()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(model.classify(features, indices), torch.tensor([0, 1]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1


@pytest.mark.parametrize("name", ["longformer", "bert", "squeezebert"])
def test_every_parameter_that_asks_for_a_gradient_gets_one(name):
    encoder = SequenceEncoder(name, 12, **SIZE)
    encoder(torch.randn(1, 8, 12), torch.arange(7)[None])[0].norm().backward()
    assert [p for p in encoder.parameters() if p.requires_grad and p.grad is None] == []
    asking = sum(p.numel() for p in encoder.parameters() if p.requires_grad)
    assert asking > 0.9 * sum(p.numel() for p in encoder.parameters())


def test_no_table_of_words():
    names = [name for name, _ in SequenceEncoder("bert", 12, **SIZE).named_parameters()]
    assert not [name for name in names if "word" in name or "pooler" in name]


def test_dropout_arrives():
    encoder = SequenceEncoder("bert", 12, **(SIZE | {"hidden_dropout": 0.5}))
    tokens, indices = torch.randn(1, 8, 12), torch.arange(7)[None]
    assert not torch.equal(encoder(tokens, indices)[0], encoder(tokens, indices)[0])
    encoder.eval()
    assert torch.equal(encoder(tokens, indices)[0], encoder(tokens, indices)[0])


def test_shapes_alone_are_enough():
    with torch.device("meta"):
        encoder = SequenceEncoder("longformer", 12, **SIZE)
        state, attention = encoder(torch.zeros(2, 8, 12), torch.zeros(2, 7, dtype=torch.long))
    assert (state.shape, state.device.type, attention) == ((2, 12), "meta", None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "longforme",
            r"sequence_encoder is 'longforme', which transformers does not have; close names are longformer",
        ),
        ("gpt2", r"sequence_encoder 'gpt2' cannot be used: its first token, CLS, does not see the frames"),
        ("t5", r"sequence_encoder 't5' cannot be used for frame features: You must specify"),
    ],
)
def test_encoders_that_cannot_be_used(name, message):
    with pytest.raises(InputError, match=message):
        SequenceEncoder(name, 12, **SIZE)


def test_without_memory_the_same_are_refused_and_no_random_number_is_used():
    before = torch.get_rng_state()
    with torch.device("meta"):
        SequenceEncoder("bert", 12, **SIZE)
        with pytest.raises(InputError, match=r"'gpt2' cannot be used: its first token, CLS, does not see"):
            SequenceEncoder("gpt2", 12, **SIZE)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_heads": 5}, r"num_heads is 5: it must be a divisor of .*, 12, such as 4"),
        ({"max_position_embeddings": 2}, r"max_position_embeddings must be at least 3 .*, not 2"),
        ({"attention_window": [4, 288]}, r"attention_window 288 is wider than the table of positions"),
    ],
)
def test_sizes_that_do_not_go_together(changed, message):
    with pytest.raises(InputError, match=message):
        SequenceEncoder("bert", 12, **(SIZE | changed))


def test_a_missing_library_is_one_sentence(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(
        InputError, match=r"sequence_encoder 'bert' needs the transformers library: pip install"
    ):
        SequenceEncoder("bert", 12, **SIZE)


def test_what_only_our_encoder_has(small_model):
    for option, value in (("position_embedding", "fixed"), ("attention", "uniform")):
        with pytest.raises(
            InputError, match=rf"{option} '{value}' cannot be had with sequence_encoder 'bert'"
        ):
            small_model(sequence_encoder="bert", **{option: value})
    with pytest.raises(InputError, match=r"return_attention cannot be had with sequence_encoder 'bert'"):
        small_model(sequence_encoder="bert").classify(*features_and_indices(), return_attention=True)
