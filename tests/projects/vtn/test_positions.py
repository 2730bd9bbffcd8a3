"""Positions against numbers worked by hand."""

import math

import pytest
import torch

from vtn import InputError
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
