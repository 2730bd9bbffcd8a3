"""Curves over videos, against a model whose scores are counted by hand, and intervals known beforehand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from counting_model import let_it_count

import vtn
from slowfast_ext.report import removal
from slowfast_ext.report.looks import Look
from slowfast_ext.report.removal import Removal, measure_removal, summarize_removals

WIDTH, FRAMES, SECONDS, FPS = 12, 40, 20, 2.0
SPEAKING = 13  # the second whose two frames speak for class 3


@pytest.fixture
def model(monkeypatch) -> vtn.VTN:
    """Logits are the sums of the features of the frames."""
    backbone = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
    made = vtn.VTN(backbone, WIDTH, num_heads=3, attention_window=4, num_layers=2).eval()
    return let_it_count(made, monkeypatch)


@pytest.fixture
def look() -> Look:
    """Twenty seconds of two frames.

    Layer 1 attends to the second before the one that speaks, then to that one; layer 2 to the last.
    """
    features, attention = torch.zeros(FRAMES, WIDTH), torch.full((2, 3, FRAMES), 0.1)
    features[2 * SPEAKING : 2 * SPEAKING + 2, 3] = 4.0
    attention[0, :, 2 * SPEAKING - 1] = 5.0
    attention[0, :, 2 * SPEAKING + 1] = 2.0
    attention[1, 0, FRAMES - 1] = 9.0
    scores = np.full(WIDTH, 1 / WIDTH)
    return Look(Path("a.mp4"), scores, attention.numpy(), np.arange(FRAMES), features)


def times_of(look: Look, fps: float) -> torch.Tensor:
    return torch.from_numpy(look.frame_indices) / fps


def measure(model, look, by="second", **more) -> Removal:
    times = times_of(look, FPS)
    return measure_removal(model, look, 3, times=times, layers=range(2), by=by, number=0, **more)


def score(kept: int) -> float:
    """Of class 3, if so many of its two frames are kept."""
    return float(np.exp(4 * kept) / (np.exp(4 * kept) + WIDTH - 1))


def by_hand(first: int) -> np.ndarray:
    """Deletion and insertion where the two frames go together, and `first` frames go before them.

    Twenty steps of two frames each, so a step never divides a second.
    """
    gone = np.arange(21) * 2 > first
    return np.stack([np.where(gone, score(0), score(2)), np.where(gone, score(2), score(0))])


def test_occlusion_finds_the_second_that_speaks_and_attention_what_it_attends_to(model, look):
    found = measure(model, look)
    # Equal seconds go in the order of time, after the one that layer 2 names.
    expected = {
        "occlusion": by_hand(0),
        "attention, layer 1": by_hand(2),
        "attention, layer 2": by_hand(2 + 2 * SPEAKING),
    }
    for name, curves in expected.items():
        np.testing.assert_allclose(found.curves[name], curves, atol=1e-5)
    assert found.label == 3


def test_occlusion_beats_chance_by_a_known_amount(model, look, monkeypatch):
    """At random the second that speaks comes at any of twenty places, each as often."""
    monkeypatch.setattr(removal, "RANDOM_ORDERS", 1000)
    found = measure(model, look)
    places = np.mean([by_hand(2 * place) for place in range(SECONDS)], axis=0)
    np.testing.assert_allclose(found.curves["random"], places, atol=0.05)
    lost = score(2) - score(0)
    order = summarize_removals([found])["orders"]["occlusion"]
    # From the first to the second point it goes with half a step on average, else 9.5 steps later, of 20.
    assert order["deletion_area_minus_random"]["mean"] == pytest.approx(-lost * 9.5 / 20, abs=0.025)
    assert order["insertion_area_minus_random"]["mean"] == pytest.approx(lost * 9.5 / 20, abs=0.025)


def test_by_frame_attention_and_chance_part_the_frames_of_a_second(model, look, monkeypatch):
    monkeypatch.setattr(removal, "RANDOM_ORDERS", 1000)
    attention = look.attention.copy()
    attention[0, :, 2 * SPEAKING] = 7.0  # one of the two that speak
    look = Look(look.path, look.scores, attention, look.frame_indices, look.features)
    found = measure(model, look, by="frame")
    np.testing.assert_allclose(found.curves["occlusion"], by_hand(0), atol=1e-5)
    steps = 2 * np.arange(21)  # frames gone: one that speaks, that before it, the other that speaks
    kept = 2 - (steps >= 1).astype(int) - (steps >= 3)
    expected = [score(count) for count in kept]
    np.testing.assert_allclose(found.curves["attention, layer 1"][0], expected, atol=1e-5)
    # Of two frames among forty, the chance that both, one and none are among the first m.
    both = steps * (steps - 1) / (FRAMES * (FRAMES - 1))
    none = (FRAMES - steps) * (FRAMES - steps - 1) / (FRAMES * (FRAMES - 1))
    expected = both * score(0) + none * score(2) + (1 - both - none) * score(1)
    np.testing.assert_allclose(found.curves["random"][0], expected, atol=0.05)


def test_attention_of_a_second_is_its_mean(model, look, monkeypatch):
    """One frame with much attention goes before four with less each, though they have more together."""
    importances, indices = [], np.array([0, 1, 2, 3, 4])
    monkeypatch.setattr(
        removal, "removal_curves", lambda *arguments, **_: importances.append(arguments[3]) or flat
    )
    flat = vtn.evidence.RemovalCurves(*torch.zeros(3, removal.POINTS))
    attention = np.tile(np.float32([1, 1, 1, 1, 2]), (1, 3, 1))
    some = Look(look.path, look.scores, attention, indices, look.features[:5])
    measure_removal(model, some, 3, times=times_of(some, 4.0), layers=[0], by="second", number=0)
    assert importances[removal.RANDOM_ORDERS].tolist() == [1, 1, 1, 1, 2]


def test_random_orders_follow_from_the_number_of_the_video(model, look):
    one, same, other = (
        measure_removal(model, look, 3, times=times_of(look, FPS), layers=[0], by="frame", number=number)
        for number in (4, 4, 5)
    )
    np.testing.assert_array_equal(one.random_areas, same.random_areas)
    assert not np.array_equal(one.random_areas, other.random_areas)
    assert len(np.unique(one.random_areas[:, 0])) > 1


def test_seconds_without_frames_cost_nothing(model, look, monkeypatch):
    """Forty frames that are 3.5 s apart are forty groups, not one for each second of the video."""
    groups, occlusion = [], removal.occlusion

    def note(*arguments):
        groups.append(int(arguments[3].max()) + 1)
        return occlusion(*arguments)

    monkeypatch.setattr(removal, "occlusion", note)
    far = Look(look.path, look.scores, look.attention, look.frame_indices * 7, look.features)
    np.testing.assert_allclose(measure(model, far).curves["occlusion"], by_hand(0), atol=1e-5)
    assert groups == [FRAMES]


def test_shares_inside_the_true_action(model, look):
    inside = measure(model, look, action_frames=(2 * SPEAKING - 1, 2 * SPEAKING + 1)).inside
    assert inside["time"] == pytest.approx(2 / FRAMES)
    assert inside["attention, layer 1"] == pytest.approx(5.1 / (5 + 2 + 0.1 * 38))
    heads = 2 * 4.0 + (9 + 0.1 * 39)  # two heads are flat, the first is not
    assert inside["attention, layer 2"] == pytest.approx(3 * 2 * 0.1 / heads)
    assert inside["occlusion"] == pytest.approx(0.5, abs=1e-4)  # the evidence of a second is in both frames
    assert measure(model, look).inside == {}
    silent = Look(look.path, look.scores, look.attention, look.frame_indices, torch.zeros(FRAMES, WIDTH))
    assert np.isnan(measure(model, silent, action_frames=(0, 9)).inside["occlusion"])


def level(height: float, gain: float, **inside: float) -> Removal:
    """Flat curves: attention is `gain` above random."""
    flat = np.ones((2, removal.POINTS))
    curves = {"attention, layer 1": (height + gain) * flat, "random": height * flat}
    areas = np.stack([np.full(2, height - 0.1), np.full(2, height + 0.1)])
    return Removal(0, curves, areas, inside)


def test_means_and_intervals_of_two_videos():
    """A quarter of the resamplings have the first video twice, and a quarter the second one."""
    found = summarize_removals([level(0.2, 0.1), level(0.6, 0.1)])
    order = found["orders"]["random"]
    assert order["deletion"] == {"mean": [0.4] * 21, "low": [0.2] * 21, "high": [0.6] * 21}
    assert order["insertion_area"] == pytest.approx({"mean": 0.4, "low": 0.2, "high": 0.6})
    # The difference is the same in both, so it is sure, however different the videos are.
    difference = found["orders"]["attention, layer 1"]["deletion_area_minus_random"]
    assert difference == pytest.approx({"mean": 0.1, "low": 0.1, "high": 0.1})
    assert "deletion_area_minus_random" not in order
    # Each order of chance has the mean over the videos; they are 0.2 apart.
    assert found["spread_of_random_orders"]["deletion"] == pytest.approx(np.sqrt(0.02), abs=1e-5)
    assert "inside_action" not in found


def test_intervals_are_those_of_a_normal_mean():
    rng = np.random.default_rng(1)
    gains = 0.1 + 0.05 * rng.standard_normal(400)
    found = summarize_removals([level(0.5, gain) for gain in gains])
    interval = found["orders"]["attention, layer 1"]["insertion_area_minus_random"]
    half = 1.96 * gains.std() / np.sqrt(400)
    assert interval["low"] == pytest.approx(gains.mean() - half, abs=0.1 * half)
    assert interval["high"] == pytest.approx(gains.mean() + half, abs=0.1 * half)


def test_one_video_has_no_interval():
    area = summarize_removals([level(0.5, 0.1)])["orders"]["random"]["deletion_area"]
    assert area == {"mean": 0.5, "low": None, "high": None}


def test_shares_are_means_over_the_videos_that_have_them():
    nan = float("nan")
    found = summarize_removals(
        [level(0, 0, time=0.2, occlusion=0.5), level(0, 0, time=0.4, occlusion=nan), level(0, 0)]
    )
    assert found["inside_action"] == {
        "time": {"mean": 0.3, "num_videos": 2},
        "occlusion": {"mean": 0.5, "num_videos": 1},
    }
