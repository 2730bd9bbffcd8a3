"""Localization: targets, losses and soft-NMS by hand and against ActionFormer's released code; the model."""

import math

import pytest
import torch
from torch import nn

import vtn
from vtn.localization import (
    Localized,
    Segments,
    TemporalLocalizationHead,
    _distance_iou_loss,
    _focal_loss,
    localization_loss,
    merge_segments,
    points_of,
    segments_of,
    soft_nms,
    targets_of,
    temporal_iou,
)

WIDTH, CLASSES = 12, 3


def make(scales: int = 2, **changes) -> vtn.VTN:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())  # WIDTH = 3 * 2 * 2
    arguments = {"num_heads": 3, "attention_window": 4, "num_layers": 2}
    return vtn.VTN(backbone, CLASSES, localization_scales=scales, **(arguments | changes)).eval()


def test_points_of_each_scale():
    points = points_of(5, 3)
    assert points.at.tolist() == [0, 1, 2, 3, 4, 0, 2, 4, 0, 4]
    assert points.step.tolist() == [1] * 5 + [2] * 3 + [4] * 2
    assert points.least.tolist() == [0] * 5 + [4] * 3 + [8] * 2
    assert points.most.tolist() == [4] * 5 + [8] * 3 + [math.inf] * 2


def test_the_head_gives_one_answer_for_each_point():
    head = TemporalLocalizationHead(WIDTH, CLASSES, 3)
    for num_frames in (1, 2, 5, 8):
        logits, offsets = head(torch.randn(2, num_frames, WIDTH))
        count = len(points_of(num_frames, 3).at)
        assert logits.shape == (2, count, CLASSES)
        assert offsets.shape == (2, count, 2)
        assert (offsets > 0).all()
        # Before training every class is unlikely everywhere, or all those points would drown the others.
        assert logits.sigmoid().mean() < 0.05


def test_offsets_of_a_coarse_scale_are_in_tokens():
    """Where all weights are 0, softplus gives log 2 steps, and a step of the next scale is two tokens."""
    head = TemporalLocalizationHead(WIDTH, CLASSES, 3)
    nn.init.zeros_(head.offsets.weight)
    nn.init.zeros_(head.offsets.bias)
    _, offsets = head(torch.randn(1, 4, WIDTH))
    wanted = [math.log(2)] * 4 + [2 * math.log(2)] * 2 + [4 * math.log(2)]
    assert offsets[0, :, 0].tolist() == pytest.approx(wanted)


def test_a_point_near_the_middle_answers_for_a_segment_in_the_reach_of_its_scale():
    # One segment of class 2 from 2 to 8: its middle is 5.
    points = points_of(10, 2)
    classes, offsets = targets_of(torch.tensor([[[2.0, 8.0, 2.0], [0.0, 0.0, -1.0]]]), points, CLASSES)
    answering = classes[0].nonzero().tolist()
    # Scale 0, up to 4: points nearer than 1.5 to the middle. Scale 1, from 4 on and nearer than 3: its points
    # 0 2 4 6 8 have the numbers 10 to 14, and 2 and 8 lie on the ends.
    assert answering == [[4, 2], [5, 2], [6, 2], [12, 2], [13, 2]]
    assert offsets[0, [4, 5, 12, 13]].tolist() == [[2, 4], [3, 3], [2, 4], [4, 2]]


def test_only_points_near_the_middle_of_a_long_segment_answer():
    classes, _ = targets_of(torch.tensor([[[0.0, 20.0, 1.0]]]), points_of(21, 1), CLASSES)
    assert classes[0, :, 1].nonzero().flatten().tolist() == [9, 10, 11]


def test_of_overlapping_segments_the_shortest_counts_and_equals_share():
    points = points_of(6, 1)
    same = torch.tensor([[[1.0, 4.0, 0.0], [1.0, 4.0, 1.0], [0.0, 5.0, 2.0]]])
    classes, offsets = targets_of(same, points, CLASSES)
    assert classes[0, 2].tolist() == [1.0, 1.0, 0.0]  # CliffDiving and Diving of THUMOS
    assert offsets[0, 2].tolist() == [1.0, 2.0]
    assert classes[0, 5].tolist() == [0.0, 0.0, 0.0]


def test_a_video_without_segments_is_background_and_has_a_finite_loss():
    points = points_of(7, 2)
    classes, _ = targets_of(torch.zeros(2, 1, 3) - 1, points, CLASSES)
    assert not classes.any()
    found = Localized(torch.zeros(2, CLASSES), torch.zeros(2, 11, CLASSES), torch.ones(2, 11, 2))
    loss = localization_loss(found, points, torch.zeros(2, 1, 3) - 1)
    # 66 logits of 0, each 0.75 * 0.5^2 * log 2, and no point to divide by.
    assert loss == pytest.approx(66 * 0.75 * 0.25 * math.log(2), rel=1e-5)


def test_losses_are_those_of_actionformers_released_code():
    """Numbers of actionformer 1.5.0 (PyPI): ctr_diou_loss_1d and sigmoid_focal_loss of its losses.py."""
    found = torch.tensor([[0.04, 0.95], [2.57, 0.24], [4.24, 0.54]])
    wanted = torch.tensor([[6.95, 6.69], [5.35, 7.99], [4.06, 7.20]])
    expected = [0.9292587637901306, 0.8240562677383423, 0.6872738599777222]
    assert _distance_iou_loss(found, wanted).tolist() == pytest.approx(expected, rel=1e-5)
    logits, labels = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([1.0, 0.0, 0.0])
    expected = [0.00045089112245477736, 0.01699354313313961, 0.2830587327480316]
    assert _focal_loss(logits, labels).tolist() == pytest.approx(expected, rel=1e-5)


def test_the_loss_is_the_mean_over_points_that_answer():
    points = points_of(10, 2)
    segments = torch.tensor([[[2.0, 8.0, 2.0]]])
    classes, offsets = targets_of(segments, points, CLASSES)
    perfect = Localized(torch.zeros(1, CLASSES), (classes * 2 - 1) * 50, offsets.clamp(min=0.1))
    assert localization_loss(perfect, points, segments) == pytest.approx(0, abs=1e-6)
    # Half as far to both ends at all five points: IoU 1/2 everywhere; middles are off where ends differ.
    half = perfect._replace(offsets=perfect.offsets / 2)
    expected = sum(0.5 + (apart / 6) ** 2 for apart in (0.5, 0, 0.5, 0.5, 0.5)) / 5
    assert localization_loss(half, points, segments) == pytest.approx(expected, rel=1e-4)


def test_temporal_iou_by_hand():
    one, other = torch.tensor([[0.0, 4.0], [5.0, 5.0]]), torch.tensor([[2.0, 6.0], [4.0, 8.0], [5.0, 5.0]])
    assert temporal_iou(one, other).tolist() == [[pytest.approx(1 / 3), 0, 0], [0, 0, 0]]


def test_soft_nms_lowers_what_overlaps_within_a_class_only():
    spans = torch.tensor([[0.0, 4.0], [2.0, 6.0], [0.0, 4.0], [10.0, 12.0]])
    found = soft_nms(Segments(spans, torch.tensor([0, 0, 1, 0]), torch.tensor([0.9, 0.8, 0.7, 0.1])))
    lowered = 0.8 * math.exp(-((1 / 3) ** 2) / 0.5)
    assert found.scores.tolist() == pytest.approx([0.9, 0.7, lowered, 0.1])
    assert found.spans.tolist()[0] == [0, 4]
    assert sorted(found.labels.tolist()) == [0, 0, 0, 1]
    twice = soft_nms(Segments(spans[[0, 0]], torch.tensor([0, 0]), torch.tensor([0.5, 0.5])))
    assert twice.scores.tolist() == pytest.approx([0.5, 0.5 * math.exp(-2)])
    assert len(soft_nms(Segments(spans, torch.zeros(4).long(), torch.ones(4)), most=2).scores) == 2
    assert len(soft_nms(Segments(spans[:0], torch.zeros(0).long(), torch.zeros(0))).scores) == 0


def test_points_become_segments_and_those_of_several_looks_one_list():
    points = points_of(10, 1)
    logits = torch.full((1, 10, CLASSES), -20.0)
    logits[0, 5, 2] = 3.0
    logits[0, 1, 0] = 1.0
    offsets = torch.ones(1, 10, 2)
    offsets[0, 5] = torch.tensor([2.5, 9.0])
    (found,) = segments_of(Localized(torch.zeros(1, CLASSES), logits, offsets), points)
    assert found.labels.tolist() == [2, 0]
    assert found.spans.tolist() == [[2.5, 9.5], [0.0, 2.0]]  # ends with the last frame
    assert found.scores.tolist() == pytest.approx([1 / (1 + math.exp(-3)), 1 / (1 + math.exp(-1))])
    again = Segments(found.spans + 100, found.labels, found.scores / 2)
    merged = merge_segments([found, again])
    assert merged.labels.tolist() == [2, 0, 2, 0]
    assert merged.spans[:, 0].tolist() == [2.5, 0.0, 102.5, 100.0]


def test_the_states_of_all_frames_are_the_last_hidden_states():
    """Those are checked against the authors' tensors, the last layer too, in test_authors_reference.py."""
    model, features = make(), torch.randn(2, 9, WIDTH)
    tokens = torch.cat([model.cls_token.expand(2, -1, -1), features], dim=1)
    indices = torch.arange(9).expand(2, -1)
    states = model.temporal_encoder.all_tokens(tokens, indices)
    assert torch.equal(states, model.temporal_encoder.hidden_states(tokens, indices)[:, -1])
    cls, _ = model.temporal_encoder(tokens, indices)
    torch.testing.assert_close(states[:, 0], cls)
    found = model.localize(features, indices)
    torch.testing.assert_close(found.logits, model.classify(features, indices))


def test_every_weight_is_trained_by_both_losses():
    """Processes that exchange gradients wait for those of every weight."""
    model = make().train()
    model.backbone.requires_grad_(False)
    found = model.localize(torch.randn(2, 20, WIDTH))
    segments = torch.tensor([[[2.0, 6.0, 1.0]], [[1.0, 17.0, 0.0]]])
    loss = localization_loss(found, model.points(20), segments)
    (loss + nn.functional.cross_entropy(found.logits, torch.tensor([1, 0]))).backward()
    lacking = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert lacking == []
    last = model.temporal_encoder.layers[-1].attention
    assert last.query.weight.grad.abs().sum() > 0


def test_it_learns_where_planted_actions_are():
    """Class c is a constant vector on its frames: the answer is known, and found."""
    model = make(scales=3, hidden_dropout=0.0, attention_dropout=0.0, head_dropout=0.0).train()
    generator = torch.Generator().manual_seed(1)
    means = torch.randn(CLASSES, WIDTH, generator=generator)

    def draw(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        features = 0.3 * torch.randn(count, 32, WIDTH, generator=generator)
        segments = torch.zeros(count, 1, 3)
        for row in range(count):
            length = int(torch.randint(4, 16, (1,), generator=generator))
            begin = int(torch.randint(0, 32 - length, (1,), generator=generator))
            label = int(torch.randint(CLASSES, (1,), generator=generator))
            features[row, begin : begin + length] += 3 * means[label]
            segments[row, 0] = torch.tensor([begin - 0.5, begin + length - 0.5, label])
        return features, segments

    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(150):
        features, segments = draw(16)
        loss = localization_loss(model.localize(features), model.points(32), segments)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    features, segments = draw(32)
    with torch.no_grad():
        found = segments_of(model.localize(features), model.points(32))
    best = torch.stack([video.spans[0] for video in found])
    overlap = temporal_iou(best, segments[:, 0, :2]).diagonal()
    right = torch.tensor([int(video.labels[0]) for video in found]) == segments[:, 0, 2]
    assert ((overlap > 0.7) & right).float().mean() > 0.8


def test_a_classification_checkpoint_fills_all_but_the_head(tmp_path):
    plain, torch_file = make(scales=0), tmp_path / "plain.pyth"
    torch.save({"model_state": plain.state_dict()}, torch_file)
    model = make(scales=2)
    with pytest.raises(vtn.InputError, match="localization_head"):
        vtn.load_checkpoint(model, torch_file)
    report = vtn.load_checkpoint(model, torch_file, partial=True)
    assert all(name.startswith("localization_head.") for name in report.missing)
    assert not report.unexpected
    features = torch.randn(1, 6, WIDTH)
    torch.testing.assert_close(model.localize(features).logits, plain.classify(features))


def test_without_a_head_nothing_is_trained_in_the_last_windows():
    assert not make(scales=0).temporal_encoder.layers[-1].attention.query.weight.requires_grad
    assert make(scales=1).temporal_encoder.layers[-1].attention.query.weight.requires_grad


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scales": -1}, "localization_scales must be an integer of 0 or more, not -1"),
        ({"sequence_encoder": "bert"}, "localization_scales cannot be had with sequence_encoder 'bert'"),
    ],
)
def test_what_cannot_be_is_refused(changes, words):
    with pytest.raises(vtn.InputError, match=words):
        make(**changes)


def test_a_model_that_cannot_say_when_is_refused():
    with pytest.raises(vtn.InputError, match="made with localization_scales"):
        make(scales=0).localize(torch.randn(1, 4, WIDTH))
    with pytest.raises(vtn.InputError, match="cannot say when"):
        make(shuffle_frames=True).localize(torch.randn(1, 4, WIDTH))
