"""A small action-recognition data set, made on the spot: real H.264 files in the layout PySlowFast reads.

The action that names a video fills only 20 to 40 percent of it, somewhere; the rest shows surroundings that
say nothing about the class, as in figure 2 of the paper. A few seconds taken at random may miss it, the whole
video cannot. Everything follows from the seed: the same seed gives the same pixels.

    OUT/videos/train_0000.mp4 ...   OUT/train.csv  val.csv  test.csv (= val)   OUT/classes.txt
    OUT/annotations.json            true action interval of every video
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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

_SPLITS = ("train", "val")


@dataclass(frozen=True)
class DatasetSettings:
    """Everything that determines the data set.

    Attributes:
        num_train: Videos in train.csv, a multiple of the number of classes.
        num_val: Videos in val.csv, a multiple of the number of classes.
        seed: Non-negative seed of everything random.
    """

    num_train: int = 160
    num_val: int = 56
    seed: int = 0

    def __post_init__(self) -> None:
        num_classes = len(scenes.CLASS_NAMES)
        for name in ("num_train", "num_val"):
            count = getattr(self, name)
            if count < num_classes or count % num_classes:
                raise InputError(
                    f"{name} must be a positive multiple of the {num_classes} classes, but is {count}."
                )
        if self.seed < 0:
            raise InputError(f"seed must not be negative, but is {self.seed}.")


def plan_videos(settings: DatasetSettings) -> list[VideoPlan]:
    """Decide length, rate, shape, class and action interval of every video, train before val.

    Classes are equally frequent and shuffled. Three videos in four last 10 s, the others 4 to 14 s; one in
    five runs at 30 frames per second instead of 25, one in six is portrait.
    """
    plans = []
    for split_id, (split, count) in enumerate(
        zip(_SPLITS, (settings.num_train, settings.num_val), strict=True)
    ):
        labels = np.arange(count) % len(scenes.CLASS_NAMES)
        np.random.default_rng((settings.seed, split_id)).shuffle(labels)
        for index, label in enumerate(labels.tolist()):
            seed = (settings.seed, split_id, index)
            rng = np.random.default_rng((*seed, 0))
            fps = random_rate(rng)
            seconds = 10.0 if rng.random() < 0.75 else rng.uniform(4.0, 14.0)
            num_frames = round(seconds * fps)
            length = round(rng.uniform(0.2, 0.4) * num_frames)
            start = int(rng.integers(0, num_frames - length + 1))
            width, height = random_size(rng)
            action = PlannedAction(label, start, start + length)
            name = f"videos/{split}_{index:04d}.mp4"
            plans.append(VideoPlan(name, num_frames, fps, width, height, (action,), seed))
    return plans


def make_dataset(out: Path, settings: DatasetSettings, *, say: Callable[[str], None] = print) -> None:
    """Write the data set into `out`, unless it is there already; see make_once."""
    make_once(out, settings, plan_videos, _write_lists, say)


def _write_lists(out: Path, plans: list[VideoPlan], settings: DatasetSettings) -> None:
    """Write the text files."""
    for name, split in (("train", "train"), ("val", "val"), ("test", "val")):
        chosen = [plan for plan in plans if plan.name.startswith(f"videos/{split}_")]
        (out / f"{name}.csv").write_text("".join(f"{plan.name} {plan.actions[0].label}\n" for plan in chosen))
    write_classes(out)
    videos = {}
    for plan in plans:
        (action,) = plan.actions
        videos[plan.name] = {
            "label": action.label,
            "class": scenes.CLASS_NAMES[action.label],
            "num_frames": plan.num_frames,
            "fps": plan.fps,
            "action_frames": (action.start, action.end),
        }
    write_annotations(out, settings, videos)
