"""The table of a comparison: a row for each model and protocol, from what was counted, run and written.

Every number is read from files that runs write for programs: test_results.json, scores.npz, timing.json and
the json_stats of a training's log.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from slowfast_ext.compare.measure import TIMING, spread
from slowfast_ext.flops import count_flops, count_parameters, example_inputs, num_views, view_shape
from slowfast_ext.report.classes import confusion_matrix, mean_class_accuracy
from slowfast_ext.report.curves import TrainingSummary

OK, COSTS_ONLY, FAILED, NOT_RUN = "ok", "costs only", "failed", "not run yet"


@dataclass
class ResultRow:
    """One model under one protocol. What is not known is None.

    Attributes:
        model, protocol, config: Names, and the configuration's file.
        status: OK, COSTS_ONLY (no weights, so no accuracy), FAILED or NOT_RUN.
        reason: Why it failed.
        switched_off: What the configuration asks for and our data sets do not do.
        precision: In which its layers compute, in training and in the test.
        params_M: Parameters, millions, trained or not.
        frames, crop, views: Of one view: frames and side in pixels; views of a video.
        gflops_per_view, gflops: Multiply-adds of convolutions and linear layers, 1e9, as PySlowFast counts
            them: of one view, and of all.
        gflops_all_per_view, gflops_all: The same with the products of attention and non-local blocks.
        epochs: Trained so far.
        seconds_per_epoch: Mean time of a training epoch, without validation.
        train_seconds: Wall time of the training command over all attempts, start-up and validation included.
        best_epoch, seconds_to_best: When the best validation score was first reached.
        test_seconds: Wall time of the pass over the test list, loading included.
        decode_ms, model_ms, video_ms: Median and 95th percentile for one video, see `measure.VideoTime`;
            video_ms is their sum.
        videos_per_second: One video at a time.
        peak_memory_mib: Of the process that tested; without a test, of the one that was timed.
        peak_gpu_memory_mib: What PyTorch's allocator gave out at most, in the same process.
        top1, top5, mean_class: Percent; mean_class is the mean over the classes that have a video.
        ece: Expected calibration error, 0 to 1.
        num_videos, num_failed: Videos that were scored, and that could not be read.
    """

    model: str
    protocol: str
    config: str
    status: str = NOT_RUN
    reason: str = ""
    switched_off: str = ""
    precision: str = "float32"
    params_M: float | None = None
    frames: int | None = None
    crop: int | None = None
    views: int | None = None
    gflops_per_view: float | None = None
    gflops: float | None = None
    gflops_all_per_view: float | None = None
    gflops_all: float | None = None
    epochs: int | None = None
    seconds_per_epoch: float | None = None
    train_seconds: float | None = None
    best_epoch: int | None = None
    seconds_to_best: float | None = None
    test_seconds: float | None = None
    decode_ms_median: float | None = None
    decode_ms_p95: float | None = None
    model_ms_median: float | None = None
    model_ms_p95: float | None = None
    video_ms_median: float | None = None
    video_ms_p95: float | None = None
    videos_per_second: float | None = None
    peak_memory_mib: float | None = None
    peak_gpu_memory_mib: float | None = None
    top1: float | None = None
    top5: float | None = None
    mean_class: float | None = None
    ece: float | None = None
    num_videos: int | None = None
    num_failed: int | None = None

    def as_row(self) -> dict[str, str | int | float | None]:
        """For tables."""
        return asdict(self)

    def fail(self, reason: str) -> None:
        """Note why there is no result; what is known stays."""
        self.status, self.reason = FAILED, reason

    def add_costs(self, cfg, model) -> None:
        """Count a model that needs no memory, on one view of the configured test.

        Raises:
            InputError: If the model does not take such a view.
        """
        self.frames, self.crop = view_shape(cfg, train=False)
        self.views, self.params_M = num_views(cfg), count_parameters(model) / 1e6
        count = count_flops(model, example_inputs(cfg, self.frames, self.crop, device="meta"))
        self.gflops_per_view, self.gflops_all_per_view = count.conv_linear, count.total
        self.gflops, self.gflops_all = (self.views * x for x in (count.conv_linear, count.total))
        self.precision = _precision(cfg)

    def add_training(self, seconds: float, summary: TrainingSummary) -> None:
        """Note how a training went."""
        self.train_seconds, self.epochs = seconds, summary.epochs
        self.seconds_per_epoch = summary.seconds_per_epoch
        self.best_epoch, self.seconds_to_best = summary.best_epoch, summary.seconds_to_best

    def add_timing(self, folder: Path) -> None:
        """Read what measure.py wrote."""
        found = json.loads((folder / TIMING).read_text())
        decode, model = (np.array([one[key] for one in found["videos"]]) for key in ("decode_ms", "model_ms"))
        for name, values in (("decode_ms", decode), ("model_ms", model), ("video_ms", decode + model)):
            both = spread(values)
            setattr(self, f"{name}_median", both.median)
            setattr(self, f"{name}_p95", both.p95)
        self.videos_per_second = 1000 * len(decode) / float((decode + model).sum())
        self._add_memory(found)

    def add_test(self, folder: Path) -> None:
        """Read what a test wrote."""
        stats = json.loads((folder / "test_results.json").read_text())
        self.test_seconds = stats["evaluation_seconds"]
        self.top1 = float(stats["top1_acc"])
        self.top5 = float(stats["top5_acc"]) if "top5_acc" in stats else None
        self.ece = stats.get("ece")
        self.num_videos, self.num_failed = stats["num_videos"], stats["num_failed"]
        self.mean_class = mean_class_accuracy(read_confusions(folder))
        self._add_memory(stats)

    def _add_memory(self, found: dict) -> None:
        self.peak_memory_mib = found.get("peak_process_memory_mib")
        self.peak_gpu_memory_mib = found.get("peak_gpu_memory_mib")


def _precision(cfg) -> str:
    """In which layers compute, in words where training and test differ."""
    trained, tested = cfg.TRAIN.PRECISION, cfg.TEST.PRECISION
    if cfg.TRAIN.get("MIXED_PRECISION", False):  # of PySlowFast main's own loops, which test in float32
        trained = "float16"
    return tested if trained == tested else f"{tested} (trained in {trained})"


def read_confusions(folder: Path) -> np.ndarray:
    """How often a test took a video of each class (row) for each class (column), (K, K)."""
    with np.load(folder / "scores.npz", allow_pickle=False) as saved:
        scored = saved["scored"]
        scores, labels = saved["scores"][scored], saved["labels"][scored]
    return confusion_matrix(labels, scores.argmax(axis=1), scores.shape[1])
