"""The paper's two experiments on what attention and order are good for (Table 2b, Fig. 4)."""

import pytest
import torch


@pytest.mark.parametrize("position_embedding", ["learned", "none"])
def test_shuffling_permutes_the_features_and_leaves_the_positions(
    small_model, monkeypatch, position_embedding
):
    model = small_model(position_embedding=position_embedding, num_layers=1).eval()
    for table in model.temporal_encoder.positions.parameters():
        torch.nn.init.normal_(table)  # 0.02 hides what positions do
    features, indices = torch.randn(2, 6, 12), torch.arange(6).expand(2, -1) * 7
    plain, plain_attention = model.classify(features, indices, return_attention=True)
    draw = torch.tensor([[0.5, 0.1, 0.9, 0.3, 0.2, 0.4], [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]])
    order = [1, 4, 3, 5, 0, 2]  # of the first draw, from small to large; the second keeps the order
    monkeypatch.setattr(torch, "rand", lambda *shape, **options: draw)
    model.shuffle_frames = True
    logits, attention = model.classify(features, indices, return_attention=True)
    by_hand = features.clone()
    by_hand[0] = features[0, order]
    model.shuffle_frames = False
    expected, expected_attention = model.classify(by_hand, indices, return_attention=True)
    assert torch.equal(logits, expected)
    # Without positions one layer cannot tell; with them it can.
    assert torch.allclose(logits, plain, atol=1e-6) == (position_embedding == "none")
    # The weight that place j got belongs to frame order[j].
    assert torch.equal(attention[0, ..., order], expected_attention[0])
    assert torch.equal(attention[1], plain_attention[1])


def test_frames_are_shuffled_in_evaluation_only_and_anew_each_time(small_model):
    model = small_model(shuffle_frames=True, hidden_dropout=0.0, attention_dropout=0.0)
    features, indices = torch.randn(1, 9, 12), torch.arange(9)[None]
    model.mlp_head.eval()
    assert torch.equal(*(model.classify(features, indices) for _ in range(2)))
    model.eval()
    assert not torch.isclose(*(model.classify(features, indices) for _ in range(2))).all()


@pytest.mark.parametrize("attention", ["learned", "uniform"])
def test_uniform_attention_reads_no_similarity(small_model, attention):
    model = small_model(attention=attention, num_heads=1).eval()
    features, indices = torch.randn(1, 9, 12), torch.arange(9)[None]
    _, weights = model.classify(features, indices, return_attention=True)
    assert torch.allclose(weights, torch.tensor(1 / 10)) == (attention == "uniform")
