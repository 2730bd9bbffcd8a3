"""The banded attention against a loop over frames, and the folded CLS attention against its definition."""

import pytest
import torch
import torch.nn.functional as F

from vtn import InputError, window_attention
from vtn.window_attention import WindowAttention, key_layout


def slow_window_attention(query, key, value, attention_window):
    """One frame after the other, with exactly the keys that it may see."""
    rows = []
    for t in range(query.shape[2]):
        seen = [0] + [1 + u for u in range(query.shape[2]) if 2 * abs(u - t) <= attention_window]
        scores = key[:, :, seen] @ query[:, :, t, :, None] / query.shape[-1] ** 0.5
        rows.append((scores.softmax(2) * value[:, :, seen]).sum(2))
    return torch.stack(rows, dim=2)


def random_heads(num_frames):
    query = torch.randn(2, 2, num_frames, 3, dtype=torch.float64)
    return query, *(torch.randn(2, 2, 1 + num_frames, 3, dtype=torch.float64) for _ in range(2))


@pytest.mark.parametrize("min_block", [1, 5, 64])
@pytest.mark.parametrize("window", [2, 6, 18])
def test_equals_the_loop_for_every_length(monkeypatch, min_block, window):
    monkeypatch.setattr(window_attention, "MIN_BLOCK_FRAMES", min_block)
    for num_frames in (1, 2, window - 1, window, window + 1, 2 * window, 2 * window + 1, 63, 64, 65, 131):
        heads = random_heads(num_frames)
        found = window_attention.window_attention(*heads, window)
        torch.testing.assert_close(found, slow_window_attention(*heads, window), rtol=0, atol=1e-12)


def test_blocks_and_one_block_have_the_same_gradients(monkeypatch):
    gradients = []
    for min_block in (4, 1000):
        monkeypatch.setattr(window_attention, "MIN_BLOCK_FRAMES", min_block)
        torch.manual_seed(1)
        heads = [x.requires_grad_() for x in random_heads(70)]
        window_attention.window_attention(*heads, 6).square().sum().backward()
        gradients.append([x.grad for x in heads])
    for blocks, dense in zip(*gradients, strict=True):
        torch.testing.assert_close(blocks, dense, rtol=0, atol=1e-12)


def test_work_per_block_does_not_grow_with_the_number_of_frames():
    shapes = [tuple(key_layout(t, t, 16, torch.device("cpu"))[1].shape) for t in (640, 6400)]
    assert shapes == [(10, 64, 64 + 32 + 1), (100, 64, 64 + 32 + 1)]


def test_dropout_drops_weights_and_keeps_their_mean():
    query, key, _ = random_heads(40)
    values = torch.eye(41, dtype=torch.float64).expand(2, 2, -1, -1)  # weights come out
    plain = window_attention.window_attention(query, key, values, 6)
    torch.manual_seed(3)
    dropped = window_attention.window_attention(query, key, values, 6, dropout=0.5)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], 2 * plain[kept])
    assert 0.4 < kept.sum() / (plain != 0).sum() < 0.6


@pytest.mark.parametrize("min_block", [1, 8, 64])
def test_some_queries_give_their_rows_of_all(monkeypatch, min_block):
    monkeypatch.setattr(window_attention, "MIN_BLOCK_FRAMES", min_block)
    query, key, value = random_heads(50)
    everything = slow_window_attention(query, key, value, 6)
    for first, count in ((0, 50), (0, 7), (20, 1), (20, 11), (43, 7)):
        part = query[:, :, first : first + count]
        found = window_attention.window_attention(part, key, value, 6, first=first)
        torch.testing.assert_close(found, everything[:, :, first : first + count], rtol=0, atol=1e-12)


def test_frames_attend_with_dropout_in_training_only():
    layer, hidden = WindowAttention(12, 3, 4, attention_dropout=1.0), torch.randn(2, 9, 12)
    assert not layer.train().from_frames(hidden, first=0, count=8).any()
    assert (layer.eval().from_frames(hidden, first=0, count=8) != 0).all()


def test_uniform_attention_is_the_mean_of_the_visible_values():
    layer, hidden = WindowAttention(12, 3, 4, 0.0, "uniform").double(), torch.randn(2, 9, 12).double()
    value, value_global = layer.value(hidden), layer.value_global(hidden)
    frames = layer.from_frames(hidden, first=0, count=8)
    for frame in range(8):
        seen = [0, *range(1 + max(frame - 2, 0), 1 + min(frame + 3, 8))]
        torch.testing.assert_close(frames[:, frame], value[:, seen].mean(1))
    context, weights = layer.from_cls(hidden[:, :1], [hidden[:, 1:]], need_weights=True)
    torch.testing.assert_close(context[:, 0], value_global.mean(1))
    assert torch.equal(weights, torch.full((2, 3, 9), 1 / 9, dtype=torch.float64))
    asking = [name for name, parameter in layer.named_parameters() if parameter.requires_grad]
    assert {name.split(".")[0] for name in asking} == {"value", "value_global", "output"}


def cls_attention_by_definition(layer, hidden):
    """Weights (B, H, N) and values (B, H, N, E) of the one query, all projections done."""
    query, key, value = (
        projection(x).unflatten(-1, (3, 4)).transpose(1, 2)
        for projection, x in (
            (layer.query_global, hidden[:, :1]),
            (layer.key_global, hidden),
            (layer.value_global, hidden),
        )
    )
    return (query @ key.transpose(-1, -2) / 2).softmax(-1)[:, :, 0], value  # head width 4, whose root is 2


@pytest.mark.parametrize("sizes", [[8], [3, 5], [1] * 8])
@pytest.mark.parametrize("scale", [1.0, 30.0])  # large scores: later parts must not overflow earlier ones
def test_cls_attention_is_its_definition_in_any_parts(sizes, scale):
    layer = WindowAttention(12, 3, 4, attention_dropout=0.4).double().eval()
    hidden = scale * torch.randn(2, 9, 12, dtype=torch.float64)
    found, found_weights = layer.from_cls(hidden[:, :1], hidden[:, 1:].split(sizes, dim=1), True)
    weights, value = cls_attention_by_definition(layer, hidden)
    context = (weights[:, :, None] @ value).transpose(1, 2).flatten(2)
    torch.testing.assert_close(found, context, rtol=0, atol=1e-12 * scale)
    torch.testing.assert_close(found_weights, weights, rtol=0, atol=1e-12)


def test_dropout_of_cls_attention(monkeypatch):
    """Dropped weights are missing from the sum, the others are scaled up, and none changes another."""
    layer = WindowAttention(12, 3, 4, attention_dropout=0.5).double()
    hidden = torch.randn(2, 9, 12, dtype=torch.float64)
    masks = []

    def dropout(weights, probability, training):
        assert (probability, training) == (0.5, True)
        masks.append(torch.randint(0, 2, weights.shape) / 0.5)
        return weights * masks[-1]

    monkeypatch.setattr(F, "dropout", dropout)
    found, found_weights = layer.from_cls(hidden[:, :1], hidden[:, 1:].split([3, 5], dim=1), True)
    weights, value = cls_attention_by_definition(layer, hidden)
    kept = weights * torch.cat(masks, dim=-1)
    context = (kept[:, :, None] @ value).transpose(1, 2).flatten(2)
    torch.testing.assert_close(found, context, rtol=0, atol=1e-12)
    torch.testing.assert_close(found_weights, weights, rtol=0, atol=1e-12)


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_linear_of_one_vector(monkeypatch, threads):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)  # 12 rows are not cut into 5 blocks
    layer, x = torch.nn.Linear(7, 12).double(), torch.randn(1, 1, 7, dtype=torch.float64)
    calls = []
    layer.register_forward_hook(lambda *args: calls.append(1))
    with torch.no_grad():
        found = window_attention.linear(layer, x)
    assert len(calls) == (threads == 5)
    torch.testing.assert_close(found, layer(x), rtol=0, atol=1e-12)
    several = torch.randn(2, 1, 7, dtype=torch.float64)
    torch.testing.assert_close(window_attention.linear(layer, several), layer(several))


@pytest.mark.parametrize(
    ("heads", "window", "message"),
    [
        (5, 4, r"num_heads is 5: it must be a divisor of the width of the frame features, 12, such as 4"),
        (0, 4, r"num_heads must be a positive integer, not 0"),
        (3, 7, r"attention_window must be even .*, not 7"),
        (3, 1, r"attention_window must be even .*, not 1"),
        (3, 0, r"attention_window must be a positive integer, not 0"),
        (3, 4.0, r"attention_window must be a positive integer, not 4\.0"),
        (3, True, r"attention_window must be a positive integer, not True"),
    ],
)
def test_errors(heads, window, message):
    with pytest.raises(InputError, match=message):
        WindowAttention(12, heads, window, 0.1)


def test_unknown_kind_of_attention():
    with pytest.raises(InputError, match=r"attention must be one of learned, uniform, not 'flat'"):
        WindowAttention(12, 3, 4, 0.1, "flat")
