"""Calibration against bins counted by hand, a temperature that is known, and numpy on what a test wrote."""

import json
import shutil

import numpy as np
import pytest
import torch
from tiny_runs import MULTI_VIEW, UNTRAINED, stats

from slowfast_ext.host.calibration import (
    calibration,
    fit_temperature,
    negative_log_likelihood,
    reliability,
    scale,
    scale_by_halves,
)
from slowfast_ext.plugin import loops


def with_best(*best: float) -> torch.Tensor:
    """Scores of two classes, of which the first has those given."""
    first = torch.tensor(best, dtype=torch.float64)
    return torch.stack([first, 1 - first], dim=1)


def drawn(temperature: float, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits whose true scores are those at a temperature, and labels drawn from these."""
    logits = 3 * torch.randn(count, 6)
    return logits, torch.multinomial((logits / temperature).softmax(dim=1), 1)[:, 0]


def test_bins_counted_by_hand():
    """Of four bins, (0.5, 0.75] has two videos, one right, and (0.75, 1] three, two of them right."""
    scores, labels = with_best(0.625, 0.75, 0.8, 0.9, 1.0), torch.tensor([0, 1, 0, 1, 0])
    found = reliability(scores, labels, num_bins=4)
    assert found.count.tolist() == [0, 0, 2, 3]
    assert found.confidence.tolist() == pytest.approx([0, 0, 0.6875, 0.9])
    assert found.accuracy.tolist() == pytest.approx([0, 0, 0.5, 2 / 3])
    assert found.error == pytest.approx((2 * 0.1875 + 3 * (0.9 - 2 / 3)) / 5)


def test_a_score_on_a_border_is_in_the_bin_below_it():
    labels = torch.zeros(4, dtype=torch.int64)
    scores = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0], [0.51, 0.49, 0, 0], [1, 0, 0, 0]])
    assert reliability(scores, labels, num_bins=4).count.tolist() == [1, 1, 1, 1]


def test_likelihood_by_hand():
    scores, labels = with_best(0.5, 0.75), torch.tensor([0, 1])
    assert negative_log_likelihood(scores, labels) == pytest.approx((np.log(2) + np.log(4)) / 2)


def test_a_known_temperature_is_found_and_makes_the_error_vanish():
    logits, labels = drawn(2.5, 40000)
    scores = logits.softmax(dim=1)
    assert fit_temperature(scores, labels) == pytest.approx(2.5, rel=0.03)
    found = calibration(scores, labels)
    assert found["ece"] > 0.15
    assert found["ece_scaled"] < 0.01
    exact = float(torch.nn.functional.cross_entropy(logits / 2.5, labels))
    assert found["nll_scaled"] == pytest.approx(exact, abs=0.002)
    assert found["nll"] > exact + 0.2


def test_no_other_temperature_is_likelier():
    logits, labels = drawn(0.6, 300)
    scores = logits.softmax(dim=1)
    best = fit_temperature(scores, labels)
    others = torch.logspace(-1, 1, 400).tolist()
    least = min(float(torch.nn.functional.cross_entropy(logits / other, labels)) for other in others)
    assert negative_log_likelihood(scale(scores, best), labels) <= least + 1e-6


def test_scaled_scores_of_one_view_are_those_of_scaled_logits():
    logits, _ = drawn(1.0, 50)
    torch.testing.assert_close(
        scale(logits.softmax(dim=1), 2.0), (logits.double() / 2).softmax(dim=1), atol=1e-6, rtol=1e-5
    )


def test_no_video_has_a_part_in_the_temperature_that_it_is_judged_at():
    """The first half is far too sure, the second not sure enough: what scales one comes from the other."""
    scores, labels = with_best(*(0.99, 0.6, 0.01, 0.6, 0.99, 0.6, 0.01, 0.45) * 5), torch.zeros(40).long()
    too_sure, unsure = slice(0, None, 2), slice(1, None, 2)
    assert fit_temperature(scores[too_sure], labels[too_sure]) == pytest.approx(10)  # half of it is wrong
    assert fit_temperature(scores[unsure], labels[unsure]) < 0.7
    scaled = scale_by_halves(scores, labels)
    for half, other in ((too_sure, unsure), (unsure, too_sure)):
        expected = scale(scores[half], fit_temperature(scores[other], labels[other]))
        torch.testing.assert_close(scaled[half], expected)


def test_both_halves_have_videos_of_each_class_where_the_classes_come_in_turn():
    labels, scores = torch.arange(48) % 2, with_best(*torch.linspace(0.3, 0.8, 48).tolist())
    first = torch.arange(48) // 2 % 2 == 0  # of each class every second video
    expected = scale(scores[~first], fit_temperature(scores[first], labels[first]))
    torch.testing.assert_close(scale_by_halves(scores, labels)[~first], expected)


def test_all_right_has_no_best_temperature_and_gets_the_lowest():
    found = calibration(with_best(0.9, 0.6, 0.8, 0.99), torch.zeros(4, dtype=torch.int64))
    assert found["temperature"] == pytest.approx(0.1)
    assert found["nll_scaled"] < found["nll"]


@pytest.mark.parametrize("classes", [1, 4])
def test_where_every_temperature_is_as_good_it_is_1(classes):
    found = calibration(torch.full((6, classes), 1 / classes), torch.zeros(6, dtype=torch.int64))
    assert found["temperature"] == 1
    assert found["nll"] == found["nll_scaled"] == pytest.approx(np.log(classes), abs=1e-6)


def test_a_score_of_zero_for_the_truth_is_no_infinity():
    found = calibration(with_best(1.0, 1.0, 0.7), torch.tensor([1, 0, 0]))
    assert all(np.isfinite(value) for value in found.values() if isinstance(value, float))
    assert found["nll"] == pytest.approx((-np.log(1.1754944e-38) - np.log(0.7)) / 3)


def test_one_video_has_no_temperature():
    assert calibration(with_best(0.75), torch.tensor([1])) == {"ece": 0.75, "nll": 1.386294}


@pytest.mark.parametrize("rows", [[[0.9, 0.8]], [[-0.5, 1.5]], [[float("nan"), 0.5]]])
def test_what_is_no_probability_is_not_judged(rows):
    assert calibration(torch.tensor(rows), torch.tensor([0])) == {}


def by_numpy(scores: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Expected calibration error and negative log likelihood, a bin after the other."""
    best, error = scores.max(axis=1), 0.0
    right = scores.argmax(axis=1) == labels
    for low in np.arange(15) / 15:
        inside = (best > low) & (best <= low + 1 / 15)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - best[inside].mean())
    return error, -np.log(scores[np.arange(len(labels)), labels]).mean()


@pytest.mark.parametrize("views", [(), MULTI_VIEW], ids=["full video", "views"])
def test_a_test_writes_and_logs_them_without_the_videos_that_failed(views, tiny_cfg, data_dir, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(data_dir, folder)
    (folder / "3.mp4").write_text("no video")
    cfg = tiny_cfg(
        *views, *UNTRAINED, "TEST.SAVE_RESULTS_PATH", "scores.npz", "DATA.PATH_TO_DATA_DIR", str(folder)
    )
    loops.test(cfg)
    out = tmp_path / "out"
    found, saved = json.loads((out / "test_results.json").read_text()), np.load(out / "scores.npz")
    assert saved["scored"].tolist() == [number != 3 for number in range(7)]
    scores, labels = saved["scores"][saved["scored"]].astype(float), saved["labels"][saved["scored"]]
    assert (found["ece"], found["nll"]) == pytest.approx(by_numpy(scores, labels), abs=2e-6)
    order = np.argsort(labels, kind="stable")
    scaled = np.empty_like(scores)
    for half, other in ((order[0::2], order[1::2]), (order[1::2], order[0::2])):
        temperatures = np.geomspace(0.1, 10, 20001)
        powers = scores[other][None] ** (1 / temperatures[:, None, None])
        powers /= powers.sum(axis=2, keepdims=True)
        likelihood = np.log(powers[:, np.arange(len(other)), labels[other]]).mean(axis=1)
        powers = scores[half] ** (1 / temperatures[likelihood.argmax()])
        scaled[half] = powers / powers.sum(axis=1, keepdims=True)
    assert (found["ece_scaled"], found["nll_scaled"]) == pytest.approx(by_numpy(scaled, labels), abs=1e-3)
    assert found["temperature_fitted_on"].endswith("for the scaled numbers, the other half of them")
    log = (out / "stdout.log").read_text()
    assert log.count(f"Calibration: expected calibration error {100 * found['ece']:.2f} %") == 1
    (final,) = stats(log, split="test_final")
    assert final["ece"] == pytest.approx(found["ece"], abs=1e-5)  # main logs five decimals
