"""benchmarks/scaling.py computes by its formula, and docs/scaling.md holds what it gives."""

import sys

import pytest
from pages import ROOT, text_of

sys.path.insert(0, str(ROOT / "benchmarks"))
import scaling
import scaling_jobs

from vtn.errors import InputError

# Round numbers: 1e9 multiply-adds of a clip, a GPU of 2e12 a second, of which all are reached.
COUNTED = scaling.Counted(
    gflops=1.0,
    val_gflops=10.0,
    parameters_bytes=10**9,
    epochs=2,
    batch=16,
    clip_seconds=0.001,
    video_seconds=0.002,
    cpu_step=None,
    shown_seconds=None,
)
ASSUMED = scaling.Assumed(
    videos=1600, val_videos=100, tflops=4.0, share=1.0, cores=2, inside=1000.0, between=100.0, per_machine=8
)


def test_one_gpu_by_hand():
    row = scaling.row_of(1, 16, COUNTED, ASSUMED)
    assert row["compute_s"] == pytest.approx(0.024)  # three passes of 16 clips, 0.5 ms each
    assert (row["exchange_s"], row["loader_s"]) == (0, pytest.approx(0.008))
    assert (row["step_s"], row["limit"]) == (pytest.approx(0.024), "compute")
    # 100 steps, and 100 videos of 5 ms.
    assert row["epoch_hours"] == pytest.approx((2.4 + 0.5) / 3600)
    assert row["training_hours"] == row["gpu_hours"] == pytest.approx(2 * (2.4 + 0.5) / 3600)
    assert row["efficiency"] == pytest.approx(1)


def test_what_the_backward_pass_does_not_hide_of_the_exchange():
    """Two machines: 1.875 GB at 100 GB/s, of which 2/3 of 1.5 ms are hidden."""
    row = scaling.row_of(16, 16, COUNTED, ASSUMED)
    assert row["exchange_s"] == pytest.approx(0.01875)
    assert (row["step_s"], row["limit"]) == (pytest.approx(0.0015 + 0.01875 - 0.001), "exchange")
    assert row["efficiency"] == pytest.approx(0.0015 / 0.01925)
    assert scaling.row_of(8, 8, COUNTED, ASSUMED)["exchange_s"] == pytest.approx(0.00175)


def test_a_loader_that_is_slower():
    slow = scaling.Counted(**vars(COUNTED) | {"clip_seconds": 0.01})
    row = scaling.row_of(1, 16, slow, ASSUMED)
    assert (row["step_s"], row["limit"]) == (pytest.approx(0.08), "loader")


def test_the_page_holds_what_the_command_gives():
    """After new measurements: python benchmarks/scaling.py --page docs/scaling.md."""
    text = text_of("docs/scaling.md")
    assert scaling.put_into(text, scaling.page(scaling.count(), scaling.Assumed())) == text


def test_a_page_is_filled_between_its_marks():
    begin, end = scaling.MARKS
    once = scaling.put_into(f"before\n{begin}\nold\n{end}\nafter\n", "| new |\n")
    assert once == f"before\n{begin}\n\n| new |\n\n{end}\nafter\n"
    assert scaling.put_into(once, "| new |\n") == once


# 4,096 videos of an hour of a core each, so a bucket has one.
BESIDE = scaling_jobs.Coordination(divide=1.0, share=400.0, output=2.0)


def test_hours_of_a_job_by_hand():
    assert scaling_jobs.hours(4096, 64, 3600.0, BESIDE) == pytest.approx(
        (4096 + 64 * 4000 + 3600 + 8192) / 3600
    )
    most = (4096 + 4000 + 3600 + 8192) / 3600
    assert scaling_jobs.hours(4096, 4096, 3600.0, BESIDE) == pytest.approx(most)
    assert scaling_jobs.hours(4096, 10_000, 3600.0, BESIDE) == pytest.approx(most)  # no more buckets


def test_where_half_of_the_time_is_work():
    count = scaling_jobs.half_of(3600.0, BESIDE)
    work = 4096 * 3600.0 / count / 3600
    assert scaling_jobs.hours(4096, count, 3600.0, BESIDE) == pytest.approx(2 * work)


def test_the_page_holds_what_the_command_gives_of_jobs():
    """After new measurements: python benchmarks/scaling_jobs.py --page docs/scaling.md."""
    text = text_of("docs/scaling.md")
    tables = scaling_jobs.page(scaling_jobs.costs(), scaling_jobs.coordination(), scaling.Assumed())
    assert scaling.put_into(text, tables, scaling_jobs.MARKS) == text
    assert "4,096" in tables


def test_a_figure_that_was_not_measured_is_asked_for(tmp_path):
    with pytest.raises(InputError, match=r"scale_out\.json lacks figures: run benchmarks/scale_out\.py"):
        scaling_jobs.coordination(tmp_path)
