"""A small data set of long videos in which several actions follow one another, with nothing in between.

Each video lasts 20 to 40 s and has 2 to 5 of the actions of `scenes.py`, of 1 to 5 s, with 0.8 s and more
of mere surroundings between two. They take 60 percent of the time at most. Everything follows from the seed.

    OUT/videos/train_0000.mp4 ...   OUT/train.csv  val.csv  test.csv   OUT/classes.txt  segments.json
    OUT/annotations.json            the settings, and the actions of every video in frames
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from slowfast_ext.data.annotations import AnnotatedVideo, Segment, main_class
from slowfast_ext.data.segments import SEGMENTS, write_segments
from slowfast_ext.demo import scenes
from slowfast_ext.demo.videos import (
    PlannedAction,
    VideoPlan,
    make_once,
    random_rate,
    random_size,
    write_annotations,
    write_classes,
)
from vtn.errors import InputError

_SPLITS = ("train", "val", "test")
_SECONDS = 20.0, 40.0
_ACTIONS = 2, 5
_ACTION_SECONDS = 2.0, 5.0  # before they are shortened to _MOST_ACTION
_GAP_SECONDS = 0.8
_MOST_ACTION = 0.6
# Before the number of a split in its seed: other pictures than those of the short videos.
_FIRST_SPLIT = 10


@dataclass(frozen=True)
class LongVideosSettings:
    """Everything that determines the data set.

    Attributes:
        num_train, num_val, num_test: Videos in the lists.
        seed: Non-negative seed of everything random.
    """

    num_train: int = 120
    num_val: int = 40
    num_test: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("num_train", "num_val", "num_test"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be 1 or more, but is {getattr(self, name)}.")
        if self.seed < 0:
            raise InputError(f"seed must not be negative, but is {self.seed}.")


def plan_long_videos(settings: LongVideosSettings) -> list[VideoPlan]:
    """Decide length, rate, shape and actions of every video, train before val before test.

    In each split all classes have as many actions, but for one. One video in five runs at 30 frames per
    second instead of 25, one in six is portrait.
    """
    return [plan for number, split in enumerate(_SPLITS) for plan in _plan_split(settings, number, split)]


def _plan_split(settings: LongVideosSettings, number: int, split: str) -> list[VideoPlan]:
    count = getattr(settings, f"num_{split}")
    seeds = [(settings.seed, _FIRST_SPLIT + number, index) for index in range(count)]
    rngs = [np.random.default_rng((*seed, 0)) for seed in seeds]
    times = [_plan_times(rng) for rng in rngs]
    labels = np.arange(sum(len(spans) for _, _, spans in times)) % len(scenes.CLASS_NAMES)
    np.random.default_rng(seeds[0][:2]).shuffle(labels)
    next_label = iter(labels.tolist())
    plans = []
    for index, (fps, num_frames, spans) in enumerate(times):
        actions = tuple(PlannedAction(next(next_label), start, end) for start, end in spans)
        width, height = random_size(rngs[index])
        name = f"videos/{split}_{index:04d}.mp4"
        plans.append(VideoPlan(name, num_frames, fps, width, height, actions, seeds[index]))
    return plans


def _plan_times(rng: np.random.Generator) -> tuple[int, int, list[tuple[int, int]]]:
    """Rate and frames of a video, and first frame and the one after the last of each action."""
    fps, seconds = random_rate(rng), rng.uniform(*_SECONDS)
    count = int(rng.integers(_ACTIONS[0], _ACTIONS[1] + 1))
    lengths = rng.uniform(*_ACTION_SECONDS, size=count)
    lengths *= min(1.0, _MOST_ACTION * seconds / lengths.sum())
    # What is left is spread at random before, between and after the actions.
    gaps = rng.dirichlet(np.ones(count + 1)) * (seconds - lengths.sum() - _GAP_SECONDS * (count - 1))
    gaps[1:-1] += _GAP_SECONDS
    starts = np.cumsum(gaps[:-1]) + np.cumsum(lengths) - lengths
    spans = [
        (round(s * fps), round((s + d) * fps)) for s, d in zip(starts.tolist(), lengths.tolist(), strict=True)
    ]
    return fps, round(seconds * fps), spans


def make_long_videos(out: Path, settings: LongVideosSettings, *, say: Callable[[str], None] = print) -> None:
    """Write the data set into `out`, unless it is there already; see make_once."""
    make_once(out, settings, plan_long_videos, _write_lists, say)


def _write_lists(out: Path, plans: list[VideoPlan], settings: LongVideosSettings) -> None:
    """Write the text files."""
    write_classes(out)
    videos = {}
    for split in _SPLITS:
        rows = []
        for plan in plans:
            if plan.name.startswith(f"videos/{split}_"):
                segments = tuple(Segment(a.start / plan.fps, a.end / plan.fps, a.label) for a in plan.actions)
                videos[plan.name] = AnnotatedVideo(segments, plan.num_frames / plan.fps, split)
                rows.append(f"{plan.name} {main_class(segments)}\n")
        (out / f"{split}.csv").write_text("".join(rows))
    write_segments(out / SEGMENTS, videos, scenes.CLASS_NAMES)
    truth = {
        plan.name: {
            "num_frames": plan.num_frames,
            "fps": plan.fps,
            "actions": [asdict(action) for action in plan.actions],
        }
        for plan in plans
    }
    write_annotations(out, settings, truth)
