"""The test loop of this project, on toys whose scores can be worked out."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import UNTRAINED
from toys import Numbers, initial_weights, table

from slowfast_ext.engine.test import test as run_test


def test_a_video_with_only_some_views_scored_does_not_count(toy_cfg, monkeypatch):
    """Video 2 lacks one view of three, video 5 all: five of seven are scored."""
    monkeypatch.setattr(Numbers, "failing", {7, 15, 16, 17})
    cfg = toy_cfg("TEST.NUM_ENSEMBLE_VIEWS", "3", "TEST.SAVE_RESULTS_PATH", "results.npz", *UNTRAINED)
    run_test(cfg)
    results = json.loads(Path(cfg.OUTPUT_DIR, "test_results.json").read_text())
    saved = np.load(Path(cfg.OUTPUT_DIR, "results.npz"))
    whole = np.array([True, True, False, True, True, False, True])
    assert saved["scored"].tolist() == whole.tolist()
    assert (results["num_videos"], results["num_failed"], results["num_views"]) == (5, 2, 3)

    rows, labels = (tensor.numpy() for tensor in table("test"))
    weights = {name: tensor.numpy() for name, tensor in initial_weights().items()}
    logits = rows @ weights["linear.weight"].T + weights["linear.bias"]
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(saved["scores"][whole], scores[whole], rtol=1e-5)
    better = (logits > logits[range(7), labels][:, None]).sum(1)[whole]
    for k in (1, 5):
        assert float(results[f"top{k}_acc"]) == pytest.approx(100 * np.mean(better < k), abs=0.01)
