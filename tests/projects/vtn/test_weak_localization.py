"""Yardsticks of localization, on models whose answers are known by hand."""

import pytest
import torch
from torch import nn

import vtn
from vtn.weak_localization import _stretches, attention_segments, evidence_segments, window_segments

WIDTH, CLASSES = 12, 3


def test_stretches_of_a_line_at_its_heights():
    line = torch.tensor([0.0, 0.5, 1.0, 0.4, 0.0, 0.6])
    # At 0.5: frames 1-2 and 5; at 0.9 frame 2; at 0.3 frames 1-3 and 5.
    assert _stretches(line, [0.5]) == [(1, 3), (5, 6)]
    assert _stretches(line, [0.3, 0.5, 0.9]) == [(1, 3), (1, 4), (2, 3), (5, 6)]
    assert _stretches(torch.zeros(4), [0.5]) == []
    assert _stretches(torch.ones(4), [0.5]) == [(0, 4)]


@pytest.fixture
def model():
    """Learns in a second that a video is of class c where some frames are means[c]."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    arguments = {"num_heads": 3, "attention_window": 4, "num_layers": 1, "position_embedding": "none"}
    dropout = {"attention_dropout": 0.0, "hidden_dropout": 0.0, "head_dropout": 0.0}
    model = vtn.VTN(backbone, CLASSES, **arguments, **dropout)
    means = 3 * torch.eye(WIDTH)[:CLASSES]
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(200):
        labels, length = torch.randint(CLASSES, (16,)), int(torch.randint(2, 20, (1,)))
        features = 0.3 * torch.randn(16, 20, WIDTH)
        features[:, :length] += means[labels, None]
        loss = nn.functional.cross_entropy(model.classify(features), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval(), means


def planted(means) -> torch.Tensor:
    """40 frames: class 1 on frames 5 to 12, class 2 on frames 25 to 34."""
    generator = torch.Generator().manual_seed(5)
    features = 0.3 * torch.randn(40, WIDTH, generator=generator)
    features[5:13] += means[1]
    features[25:35] += means[2]
    return features


def overlap(span, begin, end) -> float:
    both = max(0.0, min(span[1], end) - max(span[0], begin))
    return both / (max(span[1], end) - min(span[0], begin))


@pytest.mark.parametrize("find", [evidence_segments, attention_segments])
def test_planted_actions_are_found(model, find):
    model, means = model
    found = find(model, planted(means))
    assert (found.scores[:-1] >= found.scores[1:]).all()
    for label, begin, end in ((1, 4.5, 12.5), (2, 24.5, 34.5)):
        spans = found.spans[found.labels == label].tolist()
        assert max(overlap(span, begin, end) for span in spans) > 0.75, (find, label)


def test_windows_ask_nothing_of_the_model(model):
    model, means = model
    found = window_segments(model, planted(means), lengths=[8, 40])
    windows = {(begin - 0.5, begin + 7.5) for begin in range(0, 33, 4)} | {(-0.5, 39.5)}
    assert {tuple(span) for span in found.spans.tolist()} <= windows
    scores = {
        tuple(span): score
        for span, label, score in zip(
            found.spans.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True
        )
        if label == 2
    }
    assert max(scores.get((begin, begin + 8), 0) for begin in (23.5, 27.5)) > 0.9  # in the second action
    assert scores.get((3.5, 11.5), 0) < 0.1  # in the first
    short = window_segments(model, planted(means)[:3], lengths=[8])
    assert {tuple(span) for span in short.spans.tolist()} == {(-0.5, 2.5)}
