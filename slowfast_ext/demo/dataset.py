"""A small action-recognition data set, made on the spot: real H.264 files in the layout PySlowFast reads.

The action that names a video fills only 20 to 40 percent of it, somewhere; the rest shows surroundings that
say nothing about the class, as in figure 2 of the paper. A few seconds taken at random may miss it, the whole
video cannot. Everything follows from the seed: the same seed gives the same pixels.

    OUT/videos/train_0000.mp4 ...   OUT/train.csv  val.csv  test.csv (= val)   OUT/classes.txt
    OUT/annotations.json            true action interval of every video
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path

import av
import numpy as np
from tqdm import tqdm

from slowfast_ext.demo import scenes
from vtn.errors import InputError

ANNOTATIONS = "annotations.json"
_SPLITS = ("train", "val")
_SHORT_SIDE, _LONG_SIDE = 72, 96  # pixels, even: yuv420p halves them
_KEYFRAME_SECONDS = 1


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


@dataclass(frozen=True)
class VideoPlan:
    """What is decided about a video before it is painted.

    Attributes:
        name: Path within the data set, such as videos/val_0003.mp4.
        label: Class index in [0, 8).
        num_frames: Length of the video, frames.
        fps: Frames per second.
        width: Pixels, even.
        height: Pixels, even.
        action_frames: First frame of the action and the one after its last: [start, end).
        seed: Seed of the video's own generator.
    """

    name: str
    label: int
    num_frames: int
    fps: int
    width: int
    height: int
    action_frames: tuple[int, int]
    seed: tuple[int, int, int]


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
            fps = 30 if rng.random() < 0.2 else 25
            seconds = 10.0 if rng.random() < 0.75 else rng.uniform(4.0, 14.0)
            num_frames = round(seconds * fps)
            length = round(rng.uniform(0.2, 0.4) * num_frames)
            start = int(rng.integers(0, num_frames - length + 1))
            width, height = (_SHORT_SIDE, _LONG_SIDE) if rng.random() < 1 / 6 else (_LONG_SIDE, _SHORT_SIDE)
            name = f"videos/{split}_{index:04d}.mp4"
            plans.append(
                VideoPlan(name, label, num_frames, fps, width, height, (start, start + length), seed)
            )
    return plans


def paint_video(plan: VideoPlan) -> Iterator[np.ndarray]:
    """Yield the frames of a video, each (height, width, 3) uint8 RGB, the same on every call."""
    rng = np.random.default_rng((*plan.seed, 1))
    surroundings = scenes.Surroundings(rng, plan.height, plan.width)
    actor = scenes.random_actor(rng, plan.height, plan.width)
    start, end = plan.action_frames
    for frame_index in range(plan.num_frames):
        frame = surroundings.paint(frame_index / plan.fps)
        if start <= frame_index < end:
            scenes.ACTIONS[plan.label](frame, actor, actor.phase + actor.rate * frame_index / plan.fps)
        yield frame


def write_video(path: Path, frames: Iterator[np.ndarray], *, fps: int, width: int, height: int) -> None:
    """Encode RGB frames as an H.264 mp4 file (libx264, yuv420p, a keyframe each second)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.gop_size = _KEYFRAME_SECONDS * fps
        # More than one encoder thread would make the bytes depend on the machine.
        stream.options = {"preset": "superfast", "crf": "20", "threads": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def _make_one(job: tuple[Path, VideoPlan]) -> str:
    out, plan = job
    write_video(out / plan.name, paint_video(plan), fps=plan.fps, width=plan.width, height=plan.height)
    return plan.name


def _progress(items: Iterator[str], total: int, say: Callable[[str], None]) -> None:
    """Work through `items` with a progress bar on a terminal, or a line per quarter without one."""
    if sys.stderr.isatty():
        for _ in tqdm(items, total=total, unit="video", desc="making videos"):
            pass
        return
    for done, _ in enumerate(items, start=1):
        if done % max(1, total // 4) == 0 or done == total:
            say(f"made {done} of {total} videos")


def is_complete(out: Path, settings: DatasetSettings) -> bool:
    """Whether `out` already holds exactly this data set.

    Raises:
        InputError: If `out` holds another data set, or lists that this program did not write.
    """
    annotations = out / ANNOTATIONS
    if annotations.is_file():
        found = json.loads(annotations.read_text()).get("settings")
        if found != asdict(settings):
            raise InputError(
                f"{out} holds a data set made with other settings ({found}): name another folder."
            )
        return True
    lists = sorted(path.name for path in out.glob("*.csv"))
    if lists:
        raise InputError(f"{out} holds {', '.join(lists)} that the demo did not write: name another folder.")
    return False


def make_dataset(out: Path, settings: DatasetSettings, *, say: Callable[[str], None] = print) -> None:
    """Write the data set into `out`, unless it is there already.

    Args:
        out: Folder, made if need be. An unfinished earlier attempt is made again.
        settings: Sizes and seed.
        say: Receives progress lines where there is no terminal to draw a bar on.

    Raises:
        InputError: If `out` holds something else, or cannot be written.
    """
    if is_complete(out, settings):
        say(f"data set in {out} is complete")
        return
    plans = plan_videos(settings)
    try:
        (out / "videos").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out / 'videos'}: {error.strerror}.") from error
    # Threads suffice: painting and encoding happen in C. A process would have to import everything again.
    with ThreadPool(min(8, os.cpu_count() or 1)) as pool:
        _progress(pool.imap_unordered(_make_one, [(out, plan) for plan in plans]), len(plans), say)
    _write_lists(out, plans, settings)


def _write_lists(out: Path, plans: list[VideoPlan], settings: DatasetSettings) -> None:
    """Write the text files, annotations.json last: if it is there, so is everything else."""
    for name, split in (("train", "train"), ("val", "val"), ("test", "val")):
        rows = [f"{plan.name} {plan.label}\n" for plan in plans if plan.name.startswith(f"videos/{split}_")]
        (out / f"{name}.csv").write_text("".join(rows))
    (out / "classes.txt").write_text("".join(f"{name}\n" for name in scenes.CLASS_NAMES))
    videos = {
        plan.name: {
            "label": plan.label,
            "class": scenes.CLASS_NAMES[plan.label],
            "num_frames": plan.num_frames,
            "fps": plan.fps,
            "action_frames": plan.action_frames,
        }
        for plan in plans
    }
    document = {"settings": asdict(settings), "videos": videos}
    part = out / f"{ANNOTATIONS}.part"
    part.write_text(json.dumps(document, indent=1) + "\n")
    part.replace(out / ANNOTATIONS)
