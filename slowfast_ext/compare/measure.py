"""One row's test and timing, in a process of its own: its peak memory is then the model's.

`python -m slowfast_ext.compare.measure --cfg FILE [--test] --videos N [KEY VALUE ...]` tests as run_net.py
does, then times some videos one by one, from the file to the scores. The weights are random there: they do
not change the time.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import default_collate

from slowfast_ext.cli import run_safely
from slowfast_ext.config import load_config
from slowfast_ext.data.ledger import FAILED, OUTCOMES
from slowfast_ext.distributed import device_of, settle
from slowfast_ext.engine.compilation import compile_parts
from slowfast_ext.engine.localizing import logits_of
from slowfast_ext.engine.test import test_step
from slowfast_ext.files import write_text
from slowfast_ext.host import get_host
from slowfast_ext.host.command_line import DEFAULT_INIT_METHOD
from slowfast_ext.host.memory import peak_memory
from slowfast_ext.launch import launch_job
from slowfast_ext.models import make_model, without_published_weights
from slowfast_ext.plugin.announce import begin_log
from slowfast_ext.plugin.loops import test
from vtn.errors import InputError

TIMING = "timing.json"


@dataclass(frozen=True)
class VideoTime:
    """Milliseconds for one video.

    Attributes:
        path: Its file.
        decode_ms: From the file to the frames of all views, scaled and cropped.
        model_ms: From those frames to the scores, normalisation included.
    """

    path: str
    decode_ms: float
    model_ms: float


@dataclass(frozen=True)
class Spread:
    """Median and 95th percentile."""

    median: float
    p95: float


def spread(values: Sequence[float]) -> Spread:
    """Median and 95th percentile of some numbers, linear between them."""
    return Spread(*(float(np.percentile(values, q)) for q in (50, 95)))


class TimedModel:
    """A model that reads and classifies videos of its test list one at a time, under a clock.

    Views go through the model in batches of TEST.BATCH_SIZE, as in a test.

    Args:
        cfg: Complete configuration of a test.

    Attributes:
        paths: Files of the test list.
    """

    def __init__(self, cfg) -> None:
        self._dataset = get_host().build_dataset(cfg.TEST.DATASET, cfg, "test")
        self._model, self._device, self._cfg = make_model(cfg).eval(), device_of(cfg), cfg
        compile_parts(self._model, cfg)
        self.paths = self._dataset.paths

    def warm_up(self, video: int) -> None:
        """Read a video and classify one of its views: libraries load and choose their kernels then."""
        self._classify(self._read(video)[:1])

    def time(self, video: int) -> VideoTime | None:
        """Read and classify a video, by its number in the list; None if it cannot be read."""
        started = time.perf_counter()
        items = self._read(video)
        read = time.perf_counter()
        if any(int(item[-1]["outcome"]) == OUTCOMES.index(FAILED) for item in items):
            return None
        self._classify(items)
        return VideoTime(self.paths[video], 1000 * (read - started), 1000 * (time.perf_counter() - read))

    def _read(self, video: int) -> list:
        """All views of a video."""
        first = video * self._dataset.num_views
        return [self._dataset[item] for item in range(first, first + self._dataset.num_views)]

    @torch.inference_mode()
    def _classify(self, items: Sequence) -> torch.Tensor:
        """Scores of the views, (views, K), on the CPU, so that a GPU has finished."""
        size = self._cfg.TEST.BATCH_SIZE
        batches = [default_collate(items[begin : begin + size]) for begin in range(0, len(items), size)]
        outputs = (test_step(batch, self._model, self._device, self._cfg) for batch in batches)
        return torch.cat([logits_of(output).cpu() for output in outputs])


def time_videos(cfg, count: int) -> list[VideoTime]:
    """Read and classify the first readable videos of the test list, one at a time.

    Args:
        cfg: Complete configuration of a test.
        count: Videos to take; fewer if the list has fewer that can be read.

    Raises:
        InputError: If none can be read.
    """
    model, times = TimedModel(cfg), []
    for video in range(len(model.paths)):
        if len(times) == count:
            break
        if not times:  # again if a video cannot be read
            model.warm_up(video)
        if timed := model.time(video):
            times.append(timed)
            get_host().log_json_stats({"fraction_done": len(times) / min(count, len(model.paths))})
    if not times:
        raise InputError(f"no video of {cfg.DATA.PATH_TO_DATA_DIR}/test.csv can be read")
    return times


def measure_row(argv: Sequence[str] | None = None) -> None:
    """Test, if --test, then time videos, if any, and write OUTPUT_DIR/timing.json.

    Args:
        argv: Arguments without the program's name.
    """
    parser = argparse.ArgumentParser(description="Test a model, and time it on videos one by one.")
    parser.add_argument("--cfg", required=True)
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--videos", type=int, required=True)
    parser.add_argument("overrides", nargs=argparse.REMAINDER)
    args = parser.parse_args(argv)
    cfg = load_config(args.cfg, args.overrides)
    if args.test:
        launch_job(cfg, DEFAULT_INIT_METHOD, test)
    if args.videos:
        settle(cfg)
        begin_log(cfg)
        times = [asdict(one) for one in time_videos(without_published_weights(cfg), args.videos)]
        found = {"videos": times, "threads": torch.get_num_threads(), **peak_memory()}
        write_text(Path(cfg.OUTPUT_DIR) / TIMING, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    run_safely(measure_row)
