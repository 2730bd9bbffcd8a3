"""Average precision by hand."""

import math

import pytest
import torch

from vtn.average_precision import average_precision
from vtn.localization import Segments


def segments(*rows: tuple[float, float, int, float]) -> Segments:
    table = torch.tensor(rows, dtype=torch.float64).view(-1, 4)
    return Segments(table[:, :2], table[:, 2].long(), table[:, 3])


TRUTH = {"one": segments((0, 10, 0, 1), (20, 30, 0, 1)), "two": segments((5, 10, 1, 1))}


def test_what_is_found_exactly_is_worth_everything():
    found = average_precision(TRUTH, TRUTH, 3)
    assert found.values[:, :2].tolist() == [[1, 1]] * 5
    assert found.values[:, 2].isnan().all()  # no such segment: left out of the mean
    assert found.means == [1] * 5
    assert found.mean == 1


def test_precision_is_interpolated_over_recall():
    # By falling score: right, wrong, right: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1.
    found = {"one": segments((0, 10, 0, 0.9), (20, 30, 0, 0.5)), "two": segments((5, 10, 0, 0.7))}
    assert average_precision(found, TRUTH, 1, [0.5]).values.item() == pytest.approx((1 + 2 / 3) / 2)
    # Wrong, then two right: precision 1/2 and 2/3; the better one later counts for both.
    found = {"one": segments((0, 10, 0, 0.8), (20, 30, 0, 0.5)), "two": segments((5, 10, 0, 0.9))}
    assert average_precision(found, TRUTH, 1, [0.5]).values.item() == pytest.approx(2 / 3)


def test_a_true_segment_is_taken_once_by_the_best_that_fits():
    # The second overlaps the same one and finds it taken, though it fits better.
    found = {"one": segments((0, 8, 0, 0.9), (0, 10, 0, 0.8))}
    assert average_precision(found, TRUTH, 1, [0.5]).values.item() == pytest.approx(0.5)
    # At 0.9 the first, with an IoU of 0.8, is wrong, so the second takes it: precision 1/2 at recall 1/2.
    assert average_precision(found, TRUTH, 1, [0.9]).values.item() == pytest.approx(0.25)


def test_thresholds_are_reached_exactly():
    found = {"two": segments((5, 8, 1, 0.4))}  # IoU 3 / 5
    assert average_precision(found, TRUTH, 2, [0.3, 0.6, 0.61]).values[:, 1].tolist() == [1, 1, 0]


def test_other_videos_and_other_classes_do_not_help():
    found = {"two": segments((0, 10, 0, 0.9)), "none": segments((0, 10, 0, 0.8))}
    found["one"] = segments((0, 10, 1, 0.9))
    assert average_precision(found, TRUTH, 2, [0.5]).values.tolist() == [[0, 0]]
    assert average_precision({}, TRUTH, 2, [0.5]).mean == 0
    assert math.isnan(average_precision(TRUTH, {}, 1, [0.5]).mean)


def test_numbers_of_actionformers_evaluator():
    """Of compute_average_precision_detection in utils/metrics.py of actionformer 1.5.0 (PyPI), same input."""
    found = {
        "one": segments((1, 9, 0, 0.6), (19, 33, 0, 0.7), (18, 24, 0, 0.9), (0, 11, 0, 0.55)),
        "two": segments((4, 9, 0, 0.65), (5, 11, 1, 0.3), (6, 10, 1, 0.2)),
    }
    expected = [[0.75, 0.5, 0.5, 0.5, 0.5], [1.0, 1.0, 1.0, 1.0, 1.0]]
    values = average_precision(found, TRUTH, 2).values
    torch.testing.assert_close(values, torch.tensor(expected, dtype=torch.float64).T, atol=1e-6, rtol=0)
