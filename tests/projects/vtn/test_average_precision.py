"""Average precision of segments, by hand, by a slow reference, and by ActivityNet's own protocol."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from vtn.average_precision import mean_average_precision, overlap
from vtn.errors import InputError

TWO = [[(0, 10, 5), (20, 30, 5)]]
THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.95)


def ap(found, truth, threshold=0.5):
    return mean_average_precision(found, truth, [threshold]).values[0][0]


def test_overlap():
    assert overlap((0, 4), (2, 6)) == pytest.approx(2 / 6)
    assert overlap((0, 10), (2, 4)) == pytest.approx(2 / 10)
    assert overlap((0, 2), (2, 4)) == overlap((5, 9), (2, 4)) == overlap((3, 3), (2, 4)) == 0
    assert overlap((2, 4), (2, 4)) == 1


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], 0),
        ([(0, 10, 5, 0.9)], 0.5),  # one of two is found, and nothing else
        ([(0, 10, 5, 0.9), (20, 30, 5, 0.1)], 1),
        ([(20, 30, 5, 0.1), (0, 10, 5, 0.9)], 1),  # in any order
        # Right, wrong for the segment is taken, right: 1/2 * 1 + 1/2 * 2/3.
        ([(0, 9, 5, 0.9), (0, 10, 5, 0.8), (21, 30, 5, 0.7)], 5 / 6),
        # Wrong, right, right: precision 0, 1/2, 2/3; the best from there on is 2/3 for both halves of recall.
        ([(12, 18, 5, 0.9), (0, 9, 5, 0.8), (21, 30, 5, 0.7)], 2 / 3),
        # Overlaps half of the union: enough. A third: not.
        ([(0, 5, 5, 0.9)], 0.5),
        ([(5, 15, 5, 0.9)], 0),
        # Another class with the highest score takes nothing away.
        ([(0, 10, 4, 0.9), (0, 10, 5, 0.5)], 0.5),
    ],
)
def test_one_class_by_hand(found, expected):
    assert ap([found], TWO) == pytest.approx(expected)


def test_several_videos_are_one_list_by_score():
    """By score right, wrong, right: precision 1, 1/2, 2/3, at recall 1/3, 1/3, 2/3."""
    truth = [[(0, 10, 0)], [(0, 10, 0)], [(0, 10, 0)]]
    found = [[(1, 10, 0, 0.7), (50, 60, 0, 0.8)], [(0, 10, 0, 0.9)], []]
    assert ap(found, truth) == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)
    # A segment is not right in a video in which it is not.
    assert ap([[], [], [(0, 10, 0, 0.7)]], [[(0, 10, 0)], [], []]) == 0


def test_it_takes_the_segment_that_it_overlaps_most_and_else_the_next():
    """The first overlaps both by half and more, and takes the second; the other one takes what is left."""
    truth = [[(0, 10, 0), (2, 12, 0)]]
    found = [[(2, 11, 0, 0.9), (3, 12, 0, 0.8)]]
    assert ap(found, truth, 0.5) == 1
    # At 0.7 the second one finds nothing that is free: its overlap with [0, 10) is 7/12.
    assert ap(found, truth, 0.7) == 0.5


def test_thresholds_and_classes():
    truth = [[(0, 10, 3), (0, 10, 1)], []]
    found = [[(0, 8, 3, 0.2), (0, 6, 1, 0.9)], [(0, 1, 7, 0.9)]]
    result = mean_average_precision(found, truth, [0.5, 0.7, 0.9])
    assert result.classes == (1, 3)  # nothing true is of class 7
    assert result.values == ((1, 1), (0, 1), (0, 0))
    assert result.means == (1, 0.5, 0)
    assert result.mean == 0.5
    assert result.thresholds == (0.5, 0.7, 0.9)


@pytest.mark.parametrize(
    ("found", "truth", "thresholds", "message"),
    [
        ([], TWO, [0.5], "found has 0 videos and truth 1: both must be of the same videos"),
        ([[]], [[]], [0.5], "truth has no segment"),
        ([[]], TWO, [0.5, 0], "thresholds is (0.5, 0): it must have numbers above 0"),
        ([[]], TWO, [], "thresholds is (): it must have numbers"),
        ([[]], [[(3, 3, 0)]], [0.5], "truth has the segment (3, 3, 0) in video 0: it must be finite"),
        ([[(1, 2, 0, float("nan"))]], TWO, [0.5], "found has the segment (1, 2, 0, nan) in video 0"),
    ],
)
def test_bad_input(found, truth, thresholds, message):
    with pytest.raises(InputError) as caught:
        mean_average_precision(found, truth, thresholds)
    assert message in str(caught.value)


def random_segments(rng):
    """Videos with true segments and found ones, most of them near a true one; no two scores are equal."""
    truth, found = [], []
    for _ in range(25):
        begins, lengths = rng.uniform(0, 100, size=(2, rng.integers(0, 9)))
        labels = rng.integers(0, 6, size=len(begins))
        truth.append([(b, b + 1 + d / 5, int(c)) for b, d, c in zip(begins, lengths, labels, strict=True)])
        near = [
            (b + rng.normal(0, 2), e + rng.normal(0, 2), c if rng.random() < 0.8 else 6)
            for b, e, c in truth[-1]
            for _ in range(rng.integers(0, 4))
        ]
        far = [(b, b + 5, int(rng.integers(0, 7))) for b in rng.uniform(0, 100, size=5)]
        found.append([(*segment, float(rng.random())) for segment in (*near, *far)])
    return found, truth


def slow_reference(found, truth, threshold, label):
    """The definition in another way: the best precision at each recall or above it."""
    rows = sorted(((s, v, b, e) for v, f in enumerate(found) for b, e, c, s in f if c == label), reverse=True)
    left = {(v, b, e) for v, t in enumerate(truth) for b, e, c in t if c == label}
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
    result = mean_average_precision(found, truth, THRESHOLDS)
    wanted = [[slow_reference(found, truth, t, c) for c in result.classes] for t in THRESHOLDS]
    np.testing.assert_allclose(result.values, wanted, atol=1e-12)
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
        str(video): {
            "subset": "test",
            "annotations": [{"segment": [b, e], "label_id": c} for b, e, c in segments],
        }
        for video, segments in enumerate(truth)
    }
    (tmp_path / "truth.json").write_text(json.dumps({"database": database}))
    rows = [(str(video), *segment) for video, segments in enumerate(found) for segment in segments]
    frame = pandas.DataFrame(rows, columns=["video-id", "t-start", "t-end", "label", "score"])
    theirs = metrics.ANETdetection(
        str(tmp_path / "truth.json"), "test", tiou_thresholds=np.array(THRESHOLDS), num_workers=1
    )
    theirs.evaluate(frame, verbose=False)
    result = mean_average_precision(found, truth, THRESHOLDS)
    np.testing.assert_allclose(result.values, theirs.ap, atol=1e-12)


def published_metrics():
    """Its metrics alone: the package itself needs an extension in C++."""
    origin = Path(importlib.util.find_spec("actionformer").origin)
    spec = importlib.util.spec_from_file_location("published_metrics", origin.parent / "utils" / "metrics.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
