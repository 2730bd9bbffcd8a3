"""Average precision by hand, by a slow reference, and by ActivityNet's own protocol."""

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
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


THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.95)


def random_segments(rng):
    """Rows (begin, end, class, score) found and true in 25 videos, most of the former near a true one."""
    truth, found = {}, {}
    for video in range(25):
        begins, lengths = rng.uniform(0, 100, size=(2, rng.integers(0, 9)))
        labels = rng.integers(0, 6, size=len(begins))
        true = [(b, b + 1 + d / 5, int(c), 1.0) for b, d, c in zip(begins, lengths, labels, strict=True)]
        near = [
            (b + rng.normal(0, 2), e + rng.normal(0, 2), c if rng.random() < 0.8 else 6)
            for b, e, c, _ in true
            for _ in range(rng.integers(0, 4))
        ]
        far = [(b, b + 5, int(rng.integers(0, 7))) for b in rng.uniform(0, 100, size=5)]
        truth[str(video)], found[str(video)] = true, [(*row, rng.random()) for row in (*near, *far)]
    return found, truth


def as_segments(videos):
    return {video: segments(*rows) for video, rows in videos.items()}


def slow_reference(found, truth, threshold, label):
    """The definition in another way: the best precision at each recall or above it."""

    def overlap(one, other):
        both = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
        return both / (one[1] - one[0] + other[1] - other[0] - both)

    rows = sorted(((s, v, b, e) for v, f in found.items() for b, e, c, s in f if c == label), reverse=True)
    left = {(v, b, e) for v, t in truth.items() for b, e, c, _ in t if c == label}
    total, hits, points = len(left), 0, []
    for number, (_, video, begin, end) in enumerate(rows, start=1):
        free = [(overlap((begin, end), (b, e)), (v, b, e)) for v, b, e in left if v == video]
        best = max(free, default=(0, None))
        if best[0] >= threshold:
            left.remove(best[1])
            hits += 1
        points.append((hits / total, hits / number))
    return sum(max((p for r, p in points if r >= n / total), default=0) for n in range(1, total + 1)) / total


@pytest.mark.parametrize("seed", range(3))
def test_as_a_slow_reference(seed):
    found, truth = random_segments(np.random.default_rng(seed))
    result = average_precision(as_segments(found), as_segments(truth), 7, THRESHOLDS)
    wanted = [[slow_reference(found, truth, t, c) for c in range(6)] for t in THRESHOLDS]
    np.testing.assert_allclose(result.values[:, :6], wanted, atol=1e-12)
    assert result.values[:, 6].isnan().all()
    assert 0 < result.mean < 1


@pytest.mark.skipif(
    importlib.util.find_spec("actionformer") is None, reason="the package actionformer is not installed"
)
@pytest.mark.parametrize("seed", range(5))
def test_as_the_evaluator_of_activitynet(seed, tmp_path):
    pandas = pytest.importorskip("pandas")
    metrics = published_metrics()
    found, truth = random_segments(np.random.default_rng(seed))
    database = {
        video: {"subset": "test", "annotations": [{"segment": [b, e], "label_id": c} for b, e, c, _ in rows]}
        for video, rows in truth.items()
    }
    (tmp_path / "truth.json").write_text(json.dumps({"database": database}))
    rows = [(video, *row) for video, some in found.items() for row in some]
    frame = pandas.DataFrame(rows, columns=["video-id", "t-start", "t-end", "label", "score"])
    theirs = metrics.ANETdetection(
        str(tmp_path / "truth.json"), "test", tiou_thresholds=np.array(THRESHOLDS), num_workers=1
    )
    theirs.evaluate(frame, verbose=False)
    result = average_precision(as_segments(found), as_segments(truth), 6, THRESHOLDS)
    np.testing.assert_allclose(result.values, theirs.ap, atol=1e-12)


def published_metrics():
    """Its metrics alone: the package itself needs an extension in C++."""
    origin = Path(importlib.util.find_spec("actionformer").origin)
    spec = importlib.util.spec_from_file_location("published_metrics", origin.parent / "utils" / "metrics.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
