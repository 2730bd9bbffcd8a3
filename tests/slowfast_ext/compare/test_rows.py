"""Rows of a comparison, from the files that runs write, and the ratios between them."""

import json

import numpy as np
import pytest

from slowfast_ext.compare.measure import spread
from slowfast_ext.compare.ratios import make_ratios
from slowfast_ext.compare.rows import FAILED, ResultRow

RESULTS = {
    **{"split": "test_final", "top1_acc": "50.00", "num_videos": 4, "num_failed": 1, "num_views": 30},
    **{"ece": 0.125, "evaluation_seconds": 2.5, "peak_process_memory_mib": 700.0},
}


@pytest.fixture
def tested(tmp_path):
    """Five videos of three classes: one of class 0 and one of class 1 are right, and one was not scored."""
    (tmp_path / "test_results.json").write_text(json.dumps(RESULTS))
    scores = np.array([[9, 0, 0], [0, 9, 0], [9, 0, 0], [0, 0, 9], [9, 0, 0]], dtype=np.float32) / 9
    labels, scored = np.array([0, 1, 1, 1, 2]), np.array([True, True, True, True, False])
    np.savez(tmp_path / "scores.npz", scores=scores, labels=labels, scored=scored)
    return tmp_path


def test_a_row_of_a_test(tested):
    row = ResultRow("VTN", "multi-view", "VTN.yaml")
    row.add_test(tested)
    assert (row.top1, row.top5, row.num_videos, row.num_failed) == (50.0, None, 4, 1)
    assert row.ece == 0.125
    assert row.mean_class == pytest.approx((100 + 100 / 3) / 2)  # class 2 has no video that was scored
    assert (row.test_seconds, row.peak_memory_mib, row.peak_gpu_memory_mib) == (2.5, 700.0, None)


def test_a_row_of_timed_videos(tmp_path):
    videos = [{"path": "x", "decode_ms": d, "model_ms": m} for d, m in ((10, 100), (20, 200), (60, 300))]
    (tmp_path / "timing.json").write_text(json.dumps({"videos": videos, "peak_process_memory_mib": 5.0}))
    row = ResultRow("VTN", "multi-view", "VTN.yaml")
    row.add_timing(tmp_path)
    assert (row.decode_ms_median, row.model_ms_median, row.video_ms_median) == (20, 200, 220)
    assert row.decode_ms_p95 == pytest.approx(56)  # nine tenths of the way from 20 to 60
    assert row.video_ms_p95 == pytest.approx(346)
    assert row.videos_per_second == pytest.approx(3 / 0.69)
    assert row.peak_memory_mib == 5.0


def test_spread_of_one():
    assert (spread([7.0]).median, spread([7.0]).p95) == (7.0, 7.0)


def test_costs_are_counted(demo_cfg):
    from slowfast_ext.models import build_on_meta

    cfg = demo_cfg(
        "VTN", "DATA.NUM_FRAMES", "16", "TEST.NUM_ENSEMBLE_VIEWS", "10", "TEST.NUM_SPATIAL_CROPS", "3", *CLIP
    )
    model = build_on_meta(cfg)
    row = ResultRow("VTN", "multi-view", "VTN.yaml")
    row.add_costs(cfg, model)
    assert (row.frames, row.crop, row.views) == (16, 64, 30)
    assert row.params_M == sum(p.numel() for p in model.parameters()) / 1e6
    assert row.gflops == pytest.approx(30 * row.gflops_per_view)
    assert row.gflops_all_per_view > row.gflops_per_view > 0


CLIP = ("TRAIN.EVAL_FULL_VIDEO", "False")


def make_row(model, protocol, **values):
    return ResultRow(model, protocol, f"{model}.yaml", **values)


def test_the_papers_headline():
    """16.1 times faster training, 5.1 times faster validation, 1.5 times fewer GFLOPs."""
    rows = [
        make_row("VTN_ViT_B_1layer", "full-video", status="costs only"),
        make_row("SLOWFAST_16x8_R101", "multi-view", status="costs only"),
    ]
    (ratio,) = make_ratios(rows, ["VTN_ViT_B_1layer"])
    assert f"{ratio.paper_training:.1f}" == "16.1"
    assert f"{ratio.paper_validation:.1f}" == "5.1"
    assert f"{ratio.paper_gflops:.1f}" == "1.5"
    assert (ratio.training, ratio.validation, ratio.video, ratio.gflops) == (None, None, None, None)


def test_our_ratios():
    rows = [
        make_row("Mine", "full-video", train_seconds=10.0, test_seconds=2.0, video_ms_median=5.0, gflops=4.0),
        make_row("I3D_NLN_32x2_R50_IN1K", "multi-view", train_seconds=25.0, test_seconds=8.0, gflops=2.0),
        make_row("Gone", "multi-view", status=FAILED),
    ]
    (ratio,) = make_ratios(rows, ["Mine"])
    assert (ratio.training, ratio.validation, ratio.video, ratio.gflops) == (2.5, 4.0, None, 0.5)
    assert (ratio.paper_training, ratio.paper_validation, ratio.paper_gflops) == (None, None, None)
    (ratio,) = make_ratios([*rows[1:], make_row("VTN_ViT_B", "full-video")], ["VTN_ViT_B"])
    assert ratio.paper_training == pytest.approx(
        68 * 50 / (130 * 25)
    )  # the weights at the start cost nothing
