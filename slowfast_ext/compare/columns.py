"""What the tables of a comparison show, in groups: thirty columns beside each other can be read by nobody."""

from collections.abc import Iterable
from dataclasses import replace

from slowfast_ext.report.tables import Column, Row

NAMES = (Column("model", "model"), Column("protocol", "inference"))
_GROUPS = {
    "Accuracy": (
        Column("top1", "top-1, %", ".1f"),
        Column("top5", "top-5, %", ".1f"),
        Column("mean_class", "mean of classes, %", ".1f"),
        Column("ece", "calibration error", ".3f"),
        Column("num_videos", "videos scored"),
        Column("num_failed", "unreadable"),
    ),
    "Cost": (
        Column("params_M", "parameters, M", ",.2f"),
        Column("frames", "frames"),
        Column("crop", "crop, px"),
        Column("views", "views"),
        Column("gflops_per_view", "GFLOPs per view", ",.5g"),
        Column("gflops", "GFLOPs x views", ",.5g"),
        Column("gflops_all_per_view", "with products, per view", ",.5g"),
        Column("gflops_all", "with products, x views", ",.5g"),
    ),
    "Training": (
        Column("epochs", "epochs"),
        Column("seconds_per_epoch", "s per epoch", ",.1f"),
        Column("train_seconds", "whole training, s", ",.0f"),
        Column("best_epoch", "best epoch"),
        Column("seconds_to_best", "s to best epoch", ",.0f"),
    ),
    "Time": (
        Column("test_seconds", "whole test, s", ",.1f"),
        Column("decode_ms_median", "reading, ms per video", ",.0f"),
        Column("decode_ms_p95", "reading, p95", ",.0f"),
        Column("model_ms_median", "model, ms per video", ",.0f"),
        Column("model_ms_p95", "model, p95", ",.0f"),
        Column("video_ms_median", "both, ms per video", ",.0f"),
        Column("video_ms_p95", "both, p95", ",.0f"),
        Column("videos_per_second", "videos per s", ".2f"),
    ),
    "Memory": (
        Column("peak_memory_mib", "peak of process, MiB", ",.0f"),
        Column("peak_gpu_memory_mib", "peak of GPU, MiB", ",.0f"),
        Column("precision", "precision"),
    ),
}
COLUMNS = tuple(replace(column, group=name) for name, columns in _GROUPS.items() for column in columns)
_ON_SCREEN = (
    *("top1", "top5", "num_failed", "params_M", "frames", "views", "gflops_per_view", "gflops"),
    *("train_seconds", "test_seconds", "video_ms_median"),
)
ON_SCREEN = tuple(column for column in COLUMNS if column.key in _ON_SCREEN)
RATIOS = (
    Column("vtn", "VTN"),
    Column("vtn_protocol", "inference"),
    Column("baseline", "against"),
    Column("baseline_protocol", "inference"),
    Column("training", "training", ".2f"),
    Column("paper_training", "training, paper", ".1f"),
    Column("validation", "validation", ".2f"),
    Column("paper_validation", "validation, paper", ".1f"),
    Column("video", "one video", ".2f"),
    Column("gflops", "GFLOPs", ".2f"),
    Column("paper_gflops", "GFLOPs, paper", ".1f"),
)
HEADLINE = (
    "Below 1, VTN takes more. "
    "Each number is what the other model takes, divided by what VTN takes: wall time of the whole "
    "training, wall time of the pass over the test list (the paper's is over the validation set), "
    "median time of one video from the file to the scores, and GFLOPs of all views. The paper's columns "
    "follow from its tables 3 and 4. Its headline, 16.1 times faster training, 5.1 times faster "
    "validation and 1.5 times fewer GFLOPs, is one-layer ViT-B-VTN on the full video against "
    "SlowFast-16x8-R101 on 30 views."
)
EXPLANATION = (
    "A multiply-add counts as one. GFLOPs are those of convolutions and linear layers, as PySlowFast "
    "and the paper count them; the columns with products add those of attention and non-local blocks. "
    "Times per video are those of one video after the other: reading goes from the file to the frames "
    "of all views, the model from there to the scores. In the whole test, workers read while the model "
    "computes. All models read the same files through the same data set; the length of a clip is each "
    "model's own. Times are worth something only on a machine that does nothing else; that of a training is "
    "over all attempts, those that were interrupted included."
)


def known(columns: Iterable[Column], rows: Iterable[Row]) -> list[Column]:
    """The columns in which at least one row has a value."""
    rows = list(rows)
    return [column for column in columns if any(row[column.key] is not None for row in rows)]
