"""Positions against numbers worked by hand."""

import math

import pytest
import torch

from vtn import InputError, temporal_encoder
from vtn.positions import FixedPositions, LearnedPositions, NoPositions, build_positions


def test_learned_rows_wrap_and_leave_the_last_two_free():
    positions = LearnedPositions(4, 288)
    indices = torch.tensor([[0, 285, 286], [572, 905, 10**12]], dtype=torch.int64)
    before = indices.clone()
    assert positions.position_ids(indices).tolist() == [[286, 0, 285, 0], [286, 0, 47, 10**12 % 286]]
    assert torch.equal(indices, before)
    assert torch.equal(positions(indices)[1, 2], positions.table.weight[47])
    assert torch.equal(positions(indices)[1, 0], positions.table.weight[286])


def test_learned_accepts_narrow_integers():
    indices = torch.tensor([[0, 127]], dtype=torch.int8)  # 286 does not fit int8
    assert LearnedPositions(4, 288).position_ids(indices).tolist() == [[286, 0, 127]]


def test_scaled_down_to_the_table_where_a_clip_is_longer():
    positions = LearnedPositions(4, 12, "scale")  # 10 rows for frames, CLS has row 10
    indices = torch.tensor([[0, 1, 5, 9], [0, 1, 5, 10], [39, 3, 4, 20]])
    before = indices.clone()
    assert positions.position_ids(indices).tolist() == [
        [10, 0, 1, 5, 9],  # it fits: as it is
        [10, 0, 0, 4, 9],  # floor(index * 10 / 11)
        [10, 9, 0, 1, 5],  # floor(index * 10 / 40)
    ]
    assert torch.equal(indices, before)
    length = positions.length_of(indices)
    assert length.tolist() == [[10], [11], [40]]
    assert positions.position_ids(indices[:, 1:3], length).tolist() == [[10, 1, 5], [10, 0, 4], [10, 0, 1]]
    assert positions.position_ids(indices, torch.tensor([[11]]))[2].tolist() == [10, 9, 2, 3, 9]  # beyond it
    narrow = torch.tensor([[100, 127]], dtype=torch.int8)
    assert positions.position_ids(narrow).tolist() == [[10, 100 * 10 // 128, 127 * 10 // 128]]
    huge = torch.tensor([[0, 5 * 10**12, 10**13 - 1]])
    assert positions.position_ids(huge).tolist() == [[10, 0, 5, 9]]


def test_none_gives_frames_beyond_the_table_zeros():
    positions = LearnedPositions(4, 12, "none")
    indices = torch.tensor([[9, 10, 0, 10**12]])
    assert positions.position_ids(indices).tolist() == [[10, 9, 11, 0, 11]]
    found = positions(indices)[0]
    rows = positions.table.weight
    assert torch.equal(found, torch.stack([rows[10], rows[9], torch.zeros(4), rows[0], torch.zeros(4)]))
    found.sum().backward()
    assert rows.grad[:, 0].tolist() == [1.0, *[0.0] * 8, 1.0, 1.0, 0.0]  # the last row is never read


@pytest.mark.parametrize("overflow", ["wrap", "scale", "none"])
def test_who_asks_is_told_what_lies_beyond_the_table(overflow):
    positions = LearnedPositions(4, 12, overflow)
    assert not positions.overflows(torch.tensor([[0, 9]]))
    assert positions.overflows(torch.tensor([3, 10]))  # of any shape
    for others in (FixedPositions(4), NoPositions(4)):
        assert not others.overflows(torch.tensor([10**12]))


@pytest.mark.parametrize("overflow", ["wrap", "scale", "none"])
def test_a_clip_of_the_model_is_scaled_as_a_whole(small_model, monkeypatch, overflow):
    """Without gradients the encoder embeds a clip in parts, which have not its highest index."""
    model = small_model(max_position_embeddings=12, position_overflow=overflow, num_layers=1).eval()
    torch.nn.init.normal_(model.temporal_encoder.positions.table.weight)
    features, indices = torch.randn(2, 30, 12), torch.arange(60).view(2, 30)
    whole = model.classify(features, indices)
    monkeypatch.setattr(temporal_encoder, "FRAMES_PER_PART", 7)
    with torch.no_grad():
        torch.testing.assert_close(model.classify(features, indices), whole, rtol=0, atol=1e-6)


def test_fixed_are_sines_of_the_frame_index():
    positions = FixedPositions(4)
    torch.nn.init.constant_(positions.cls_position, 7.0)
    found = positions(torch.tensor([[0, 1, 100]]))
    expected = [
        [7.0, 7.0, 7.0, 7.0],
        [0.0, 1.0, 0.0, 1.0],
        [0.841471, 0.540302, 0.0099998, 0.99995],  # sin 1, cos 1, sin 0.01, cos 0.01
        [-0.506366, 0.862319, 0.841471, 0.540302],  # sin 100, cos 100, sin 1, cos 1
    ]
    torch.testing.assert_close(found, torch.tensor([expected]), rtol=0, atol=1e-6)


def test_fixed_stay_exact_for_huge_indices():
    positions = FixedPositions(2)
    torch.nn.init.zeros_(positions.cls_position)
    found = positions(torch.tensor([[10**9 + 1]]))[0, 1].tolist()
    assert found == pytest.approx([math.sin(10**9 + 1), math.cos(10**9 + 1)], abs=1e-6)


def test_none_marks_cls_alone():
    positions = NoPositions(3)
    torch.nn.init.constant_(positions.cls_position, 7.0)
    found = positions(torch.tensor([[5, 900]]))
    assert found.tolist() == [[[7.0] * 3, [0.0] * 3, [0.0] * 3]]


@pytest.mark.parametrize(
    ("word", "width", "rows", "message"),
    [
        ("sine", 4, 288, r"position_embedding must be one of learned, fixed, none, not 'sine'"),
        ("fixed", 5, 288, r'position_embedding "fixed" needs an even width .*, not 5'),
        ("learned", 4, 2, r"max_position_embeddings must be at least 3 .*, not 2"),
        ("learned", 4, 0, r"max_position_embeddings must be a positive integer, not 0"),
    ],
)
def test_errors(word, width, rows, message):
    with pytest.raises(InputError, match=message):
        build_positions(word, width, rows)


def test_only_a_table_overflows():
    with pytest.raises(InputError, match="position_overflow must be one of wrap, scale, none, not 'cut'"):
        build_positions("learned", 4, 12, "cut")
    for word in ("fixed", "none"):
        with pytest.raises(InputError, match=f"'scale' has nothing to do with position_embedding '{word}'"):
            build_positions(word, 4, 12, "scale")
