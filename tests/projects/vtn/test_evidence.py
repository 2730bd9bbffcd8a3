"""Frames are really left out, against `classify` on what remains, and against models counted by hand."""

import pytest
import torch
from counting_model import let_it_count

import vtn
from vtn.evidence import classify_subsets, group_by_time, occlusion, per_frame, removal_curves

WIDTH, CLASSES = 12, 5


def make(**changes) -> vtn.VTN:
    torch.manual_seed(0)
    backbone = torch.nn.Sequential(
        torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()
    )  # (N, 3, H, W) -> (N, 12)
    arguments = {"num_heads": 3, "attention_window": 4, "num_layers": 3, "max_position_embeddings": 300}
    return vtn.VTN(backbone, CLASSES, **(arguments | changes)).eval()


def features(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    indices = torch.randint(0, 280, (count,), generator=generator).sort().values
    return torch.randn(count, WIDTH, generator=generator), indices


@pytest.mark.parametrize("changes", [{}, {"num_layers": 1}, {"attention": "uniform"}])
@pytest.mark.parametrize("position", ["learned", "fixed", "none"])
def test_a_subset_is_classified_as_those_frames_alone(changes, position):
    model, (rows, indices) = make(position_embedding=position, **changes), features(40)
    keep = torch.rand(7, 40) < 0.5
    keep[3] = True
    keep[5] = False
    keep[5, 17] = True
    found = classify_subsets(model, rows, indices, keep)
    for row, chosen in zip(found, keep, strict=True):
        alone = model.classify(rows[None, chosen], indices[None, chosen])[0]
        torch.testing.assert_close(row, alone, atol=1e-5, rtol=1e-5)


def test_without_any_frame_cls_attends_to_itself_alone():
    model, (rows, indices) = make(num_layers=2), features(6)
    (empty,) = classify_subsets(model, rows, indices, torch.zeros(1, 6, dtype=torch.bool))
    state = model.temporal_encoder.embed_cls(model.cls_token)
    for layer in model.temporal_encoder.layers:  # attention of one token to itself is its value
        attention = layer.attention
        state = layer.update(state, attention.value_global(state))
    torch.testing.assert_close(empty, model.mlp_head(state[:, 0])[0], atol=1e-5, rtol=1e-5)


def test_positions_stay_those_of_the_whole_video_where_they_are_scaled():
    """Without the last frames the video would seem shorter, and all frames would move."""
    model = make(position_overflow="scale", max_position_embeddings=22)
    rows, indices = torch.randn(10, WIDTH), torch.arange(0, 100, 10)
    keep = torch.arange(10) < 5
    (found,) = classify_subsets(model, rows, indices, keep[None])
    by_hand = torch.tensor([0, 2, 4, 6, 8])  # floor(index * 20 / 91): 0, 2.2, 4.4, 6.6, 8.8
    again = make(max_position_embeddings=22)
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(found, again.classify(rows[None, :5], by_hand[None])[0], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found, model.classify(rows[None, :5], indices[None, :5])[0], atol=1e-5)


def test_many_subsets_pass_in_parts(monkeypatch):
    model, (rows, indices) = make(), features(30)
    keep = torch.rand(50, 30) < 0.7
    whole = classify_subsets(model, rows, indices, keep)
    monkeypatch.setattr("vtn.evidence._FRAMES_AT_ONCE", 40)
    torch.testing.assert_close(classify_subsets(model, rows, indices, keep), whole, atol=1e-6, rtol=1e-6)


def test_occlusion_takes_each_group_out_with_all_its_frames():
    model, (rows, indices) = make(), features(20)
    groups = torch.tensor([0] * 5 + [1] * 10 + [3] * 5)
    found = occlusion(model, rows, indices, groups)
    whole = model.classify(rows[None], indices[None])[0]
    torch.testing.assert_close(found.logits, whole, atol=1e-5, rtol=1e-5)
    middle = [*range(5), *range(15, 20)]
    torch.testing.assert_close(
        found.without[1], model.classify(rows[None, middle], indices[None, middle])[0], atol=1e-5, rtol=1e-5
    )
    torch.testing.assert_close(found.without[2], whole, atol=1e-5, rtol=1e-5)  # group 2 has no frames
    assert found.without.shape == found.evidence.shape == (4, CLASSES)
    expected = whole.softmax(0) - found.without[1].softmax(0)
    torch.testing.assert_close(found.evidence[1], expected, atol=1e-6, rtol=1e-5)


def test_curves_follow_the_order_of_importance(monkeypatch):
    """Class 0 has the logit that is the number of frames kept of those that speak for it; all others 0."""
    model = let_it_count(make(), monkeypatch)
    rows = torch.zeros(4, WIDTH)
    rows[[1, 3], 0] = 1.0
    curves = removal_curves(model, rows, None, torch.tensor([0.0, 5.0, 1.0, 4.0]), 0, points=5)
    score = lambda count: float(torch.tensor([float(count), *[0.0] * (WIDTH - 1)]).softmax(0)[0])  # noqa: E731
    assert curves.fractions.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert curves.deletion.tolist() == pytest.approx([score(2), score(1), score(0), score(0), score(0)])
    assert curves.insertion.tolist() == pytest.approx([score(0), score(1), score(2), score(2), score(2)])
    low, mid, high = score(0), score(1), score(2)
    assert curves.areas == pytest.approx(
        (0.25 * (high / 2 + mid + low + low + low / 2), 0.25 * (low / 2 + mid + high + high + high / 2))
    )


def test_of_equally_important_frames_the_first_goes_first(monkeypatch):
    model = let_it_count(make(), monkeypatch)
    rows = torch.zeros(3, WIDTH)
    rows[0, 0] = 1.0
    curves = removal_curves(model, rows, None, torch.zeros(3), 0, points=4)
    assert curves.deletion[0] > curves.deletion[1] == curves.deletion[3]


def test_frames_are_grouped_by_their_time():
    indices = torch.tensor([0, 12, 24, 25, 49, 50, 100])
    assert group_by_time(indices, 25.0).tolist() == [0, 0, 0, 1, 1, 2, 4]
    shared = per_frame(torch.tensor([3.0, 1.0, 0.0, 0.0, 7.0]), group_by_time(indices, 25.0))
    assert shared.tolist() == [1.0, 1.0, 1.0, 0.5, 0.5, 0.0, 7.0]


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        (
            torch.ones(3, 9, dtype=torch.bool),
            r"keep must be bool of shape \(S, 10\), not bool of shape \(3, 9\)",
        ),
        (torch.ones(3, 10), r"not float32 of shape \(3, 10\)"),
    ],
)
def test_what_is_no_choice_of_frames_is_refused(keep, words):
    with pytest.raises(vtn.InputError, match=words):
        classify_subsets(make(), torch.randn(10, WIDTH), None, keep)


def test_models_that_cannot_lose_frames_are_refused():
    keep = torch.ones(1, 10, dtype=torch.bool)
    for model, words in (
        (make().train(), "needs a model in evaluation"),
        (make(shuffle_frames=True), "shuffle_frames"),
        (make(sequence_encoder="bert"), "sequence_encoder 'bert'"),
    ):
        with pytest.raises(vtn.InputError, match=words):
            classify_subsets(model, torch.randn(10, WIDTH), None, keep)
    with pytest.raises(vtn.InputError, match=r"importance must have shape \(10,\)"):
        removal_curves(make(), torch.randn(10, WIDTH), None, torch.zeros(9), 0)
