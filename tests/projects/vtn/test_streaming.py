"""Answers while a video runs, against the answer for the frames so far, and against the definition."""

import copy
import pickle

import pytest
import torch

import vtn
from vtn import InputError, temporal_encoder
from vtn.streaming import Seen

CHOICES = [
    *({"position_embedding": "learned", "position_overflow": word} for word in ("wrap", "none")),
    {"position_embedding": "fixed"},
    {"position_embedding": "none"},
]
IDS = ["wrap", "beyond", "fixed", "none"]


@pytest.fixture
def lively(small_model):
    """options -> a small model in evaluation, with attention that depends much on what it sees."""

    def build(**options) -> vtn.VTN:
        settings = {"num_layers": 1, "max_position_embeddings": 22} | options
        model = small_model(**settings).eval()
        for name, parameter in model.named_parameters():
            if "norm" not in name and not name.startswith("backbone"):
                torch.nn.init.normal_(parameter, std=0.4)
        return model

    return build


def offline(model: vtn.VTN, features: torch.Tensor, indices: torch.Tensor | None = None) -> torch.Tensor:
    with torch.no_grad():
        return model.classify(features[None], None if indices is None else indices[None])[0]


@pytest.mark.parametrize("attention", ["learned", "uniform"])
@pytest.mark.parametrize("choice", CHOICES, ids=IDS)
def test_every_prefix_is_answered_as_offline(lively, choice, attention):
    model = lively(attention=attention, attention_window=2, **choice)
    features, indices = torch.randn(40, 12), torch.arange(40) * 3
    stream = vtn.Streaming(model)
    answers = []
    for count in range(1, 41):
        stream.push_features(features[count - 1 : count], indices[count - 1 : count])
        answers.append(stream.logits())
        expected = offline(model, features[:count], indices[:count])
        torch.testing.assert_close(answers[-1], expected, rtol=0, atol=1e-5)
        assert stream.num_pushed == count
    assert answers[0].shape == (5,)
    assert (answers[10] - answers[30]).abs().max() > 1e-3  # there is something to get wrong


@pytest.mark.parametrize("kind", [vtn.Streaming, vtn.CausalStreaming])
@pytest.mark.parametrize("sizes", [[1] * 17, [17], [5, 1, 11]])
def test_parts_give_the_same(lively, monkeypatch, kind, sizes):
    monkeypatch.setattr(temporal_encoder, "FRAMES_PER_PART", 4)
    model = lively(num_layers=1 if kind is vtn.Streaming else 3)
    frames, indices = torch.randn(17, 3, 8, 8), torch.arange(17) * 2 + 1
    whole, parts = kind(model), kind(model)
    with torch.no_grad():
        whole.push_features(model.frame_features(frames.transpose(0, 1)[None])[0], indices)
    for some, numbers in zip(frames.split(sizes), indices.split(sizes), strict=True):
        parts.push(some, numbers)
    torch.testing.assert_close(parts.logits(), whole.logits(), rtol=0, atol=1e-5)


def test_frames_are_counted_on_from_the_last_one(lively):
    model, features = lively(), torch.randn(9, 12)
    stream = vtn.Streaming(model)
    stream.push_features(features[:2])
    stream.push_features(features[2:4])
    stream.push_features(features[4:6], torch.tensor([10, 15]))
    stream.push_features(features[6:])
    indices = torch.tensor([0, 1, 2, 3, 10, 15, 16, 17, 18])
    torch.testing.assert_close(stream.logits(), offline(model, features, indices), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", [vtn.Streaming, vtn.CausalStreaming])
def test_reset_forgets_everything(lively, kind):
    model, features = lively(), torch.randn(9, 12)
    stream = kind(model)
    stream.push_features(torch.randn(30, 12))
    stream.reset()
    assert stream.num_pushed == 0
    stream.push_features(features)
    torch.testing.assert_close(stream.logits(), offline(model, features), rtol=0, atol=1e-5)


def test_reading_changes_nothing_and_high_scores_do_not_overflow(lively):
    model = lively()
    torch.nn.init.normal_(model.temporal_encoder.layers[0].attention.query_global.weight, std=60.0)
    features = torch.randn(20, 12)
    stream = vtn.Streaming(model)
    for feature in features:
        stream.push_features(feature[None])
        assert torch.equal(stream.logits(), stream.logits())
    assert stream.logits().isfinite().all()
    torch.testing.assert_close(stream.logits(), offline(model, features), rtol=0, atol=1e-5)


def kept_bytes(stream) -> int:
    """What a stream keeps beside the model, whole storages of its tensors included."""
    return len(pickle.dumps({name: value for name, value in vars(stream).items() if name != "model"}))


@pytest.mark.parametrize("attention", ["learned", "uniform"])
def test_a_very_long_stream_stays_exact(lively, attention):
    """200,000 frames, two hours at 25 fps, against float64; the last 500 come one by one."""
    count, drift = 200_000, torch.linspace(-1, 1, 200_000)[:, None] * torch.randn(12)
    model = lively(attention=attention, position_embedding="fixed")
    features = torch.randn(count, 12) + drift
    stream, kept = vtn.Streaming(model), []
    for part in [*features[:-500].split(997), *features[-500:].split(1)]:
        stream.push_features(part)
        kept.append(kept_bytes(stream))
    assert max(kept) <= kept[0] + 16  # digits of the count
    exact = copy.deepcopy(model).double().classify(features.double()[None])[0]
    torch.testing.assert_close(stream.logits().double(), exact, rtol=0, atol=1e-5)
    first_half = offline(model, features[: count // 2])
    assert (first_half - stream.logits()).abs().max() > 1e-2


def test_equal_weights_are_added_beyond_what_float32_can_count():
    """2^24 + 1 is no float32: a stream of a week at 25 fps would stop listening there."""
    seen = Seen.nothing(1, torch.zeros(1))
    zero, one = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    seen = seen._replace(highest=zero, total=one * 2**24)
    seen = seen.plus(zero, one)
    assert (seen.total.item(), seen.summed.item()) == (2**24 + 1, 1)


def test_scaled_positions_need_the_length(lively):
    model, features = lively(position_overflow="scale"), torch.randn(50, 12)
    for kind in (vtn.Streaming, vtn.CausalStreaming):
        with pytest.raises(
            InputError, match=f"^{kind.__name__} needs num_frames, the length of the video, bec"
        ):
            kind(model)
    stream = vtn.Streaming(model, num_frames=100)
    stream.push_features(features[:30], torch.arange(0, 60, 2))
    stream.push_features(features[30:], torch.arange(60, 100, 2) + 1)
    indices = torch.cat([torch.arange(0, 60, 2), torch.arange(60, 100, 2) + 1])
    torch.testing.assert_close(stream.logits(), offline(model, features, indices), rtol=0, atol=1e-5)
    with pytest.raises(InputError, match="frame_indices must be below num_frames, 100, not 100"):
        stream.push_features(features[:1])


def causal_answers(model: vtn.VTN, features: torch.Tensor) -> torch.Tensor:
    """The definition of CausalStreaming with everything kept: logits (T, K) after each frame."""
    encoder, heads = model.temporal_encoder, 3
    cls_start, parts = encoder.embed(
        torch.cat([model.cls_token[0], features])[None], torch.arange(99)[None, : len(features)]
    )
    embedded = torch.cat(list(parts), dim=1)[0]

    def split(x: torch.Tensor) -> torch.Tensor:
        return x.view(-1, heads, x.shape[-1] // heads)  # (n, h, E)

    scores, frames, answers = [[] for _ in encoder.layers], [[] for _ in encoder.layers], []
    for x in embedded:
        cls = cls_start[0, 0]
        for number, layer in enumerate(encoder.layers):
            attention, scale = layer.attention, 4**-0.5
            asks = split(attention.query_global(cls)) * scale
            scores[number].append((asks * split(attention.key_global(x))).sum(-1)[0])
            frames[number].append(x)
            own = (asks * split(attention.key_global(cls))).sum(-1)[0]
            weights = torch.stack([*scores[number], own]).softmax(0)[..., None]  # (n + 1, h, 1)
            context = (weights * split(attention.value_global(torch.stack([*frames[number], cls])))).sum(0)
            near = torch.stack([cls, *frames[number][-1 - attention.attention_window // 2 :]])
            close = (split(attention.query(x)) * scale * split(attention.key(near))).sum(-1).softmax(0)
            around = (close[..., None] * split(attention.value(near))).sum(0)
            cls, x = layer.update(cls, context.flatten()), layer.update(x, around.flatten())
        answers.append(model.mlp_head(cls[None])[0])
    return torch.stack(answers)


@pytest.mark.parametrize("num_layers", [1, 3])
def test_the_approximation_is_what_it_says(lively, num_layers):
    model = lively(num_layers=num_layers, attention_window=[4, 2, 6][:num_layers])
    features = torch.randn(15, 12)
    stream = vtn.CausalStreaming(model)
    with torch.no_grad():
        expected = causal_answers(model, features)
    for feature, answer in zip(features, expected, strict=True):
        stream.push_features(feature[None])
        torch.testing.assert_close(stream.logits(), answer, rtol=0, atol=1e-5)
    exact = offline(model, features)
    assert torch.allclose(exact, stream.logits(), atol=1e-5) == (num_layers == 1)


def test_the_approximation_keeps_half_a_window_for_each_layer(lively):
    stream, kept = vtn.CausalStreaming(lively(num_layers=3, attention_window=[4, 6, 2])), []
    for count in (5, 200, 40):
        stream.push_features(torch.randn(count, 12))
        kept.append(kept_bytes(stream))
    assert max(kept) - min(kept) <= 16
    assert [len(past) for past in stream._past] == [2, 3]


def test_what_cannot_be_had_is_refused(lively):
    three = lively(num_layers=3)
    with pytest.raises(
        InputError, match="^Streaming is for models with one temporal layer, but this one has 3"
    ):
        vtn.Streaming(three)
    for kind in (vtn.Streaming, vtn.CausalStreaming):
        with pytest.raises(InputError, match=f"^{kind.__name__} cannot be had with shuffle_frames"):
            kind(lively(shuffle_frames=True))
        with pytest.raises(
            InputError, match=f"^{kind.__name__} needs a model in evaluation: call model.eval"
        ):
            kind(lively().train())
        stream = kind(lively())
        with pytest.raises(InputError, match=r"^logits needs a frame at least: push one first\.$"):
            stream.logits()
        with pytest.raises(InputError, match=r"features must be floats of shape \(N, 12\) with N >= 1"):
            stream.push_features(torch.randn(3, 11))
        with pytest.raises(InputError, match=r"frames must be floats of shape \(N, 3, H, W\)"):
            stream.push(torch.randn(3, 8, 8))
        with pytest.raises(InputError, match=r"must have shape \(2,\), one for each frame, not \(1, 2\)"):
            stream.push_features(torch.randn(2, 12), torch.arange(2)[None])
        with pytest.raises(InputError, match="frame_indices must be 0 or more, but -1 is among them"):
            stream.push_features(torch.randn(2, 12), torch.tensor([-1, 0]))
        assert stream.num_pushed == 0
        stream.model.train()
        with pytest.raises(InputError, match="needs a model in evaluation"):
            stream.push_features(torch.randn(2, 12))


def test_other_sequence_encoders_are_refused(small_model):
    pytest.importorskip("transformers")
    model = small_model(sequence_encoder="bert", num_layers=1).eval()
    with pytest.raises(
        InputError, match="^Streaming cannot be had with sequence_encoder 'bert', which sees all"
    ):
        vtn.Streaming(model)


def test_inside_and_outside_of_inference_mode(lively):
    model, features = lively(num_layers=2), torch.randn(9, 12)
    stream = vtn.CausalStreaming(model)
    with torch.inference_mode():
        stream.push_features(features[:4])
    stream.push_features(features[4:])
    again = vtn.CausalStreaming(model)
    again.push_features(features)
    assert not stream.logits().requires_grad
    torch.testing.assert_close(stream.logits(), again.logits(), rtol=0, atol=1e-6)
