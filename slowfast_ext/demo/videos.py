"""Videos of painted actions as real H.264 files, and the file that says that a folder of them is complete.

Everything follows from seeds: the same plan gives the same pixels.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
from tqdm import tqdm

from slowfast_ext.demo import scenes
from slowfast_ext.processes import usable_cores
from vtn.errors import InputError

_Settings = TypeVar("_Settings")

ANNOTATIONS = "annotations.json"
_SHORT_SIDE, _LONG_SIDE = 72, 96  # pixels, even: yuv420p halves them
_KEYFRAME_SECONDS = 1


@dataclass(frozen=True)
class PlannedAction:
    """What happens in a part of a video.

    Attributes:
        label: Class index in [0, 8).
        start: First frame of the action.
        end: The frame after its last: [start, end).
    """

    label: int
    start: int
    end: int


@dataclass(frozen=True)
class VideoPlan:
    """What is decided about a video before it is painted.

    Attributes:
        name: Path within the data set, such as videos/val_0003.mp4.
        num_frames: Length of the video, frames.
        fps: Frames per second.
        width: Pixels, even.
        height: Pixels, even.
        actions: By their beginning; none begins before the one before it has ended.
        seed: Seed of the video's own generator.
    """

    name: str
    num_frames: int
    fps: int
    width: int
    height: int
    actions: tuple[PlannedAction, ...]
    seed: tuple[int, int, int]


def random_rate(rng: np.random.Generator) -> int:
    """Frames per second: 30 for one video in five, else 25."""
    return 30 if rng.random() < 0.2 else 25


def random_size(rng: np.random.Generator) -> tuple[int, int]:
    """Width and height, pixels; one video in six is portrait."""
    return (_SHORT_SIDE, _LONG_SIDE) if rng.random() < 1 / 6 else (_LONG_SIDE, _SHORT_SIDE)


def paint_video(plan: VideoPlan) -> Iterator[np.ndarray]:
    """Yield the frames of a video, each (height, width, 3) uint8 RGB, the same on every call."""
    rng = np.random.default_rng((*plan.seed, 1))
    surroundings = scenes.Surroundings(rng, plan.height, plan.width)
    actors = [scenes.random_actor(rng, plan.height, plan.width) for _ in plan.actions]
    for frame_index in range(plan.num_frames):
        frame = surroundings.paint(frame_index / plan.fps)
        for action, actor in zip(plan.actions, actors, strict=True):
            if action.start <= frame_index < action.end:
                scenes.ACTIONS[action.label](frame, actor, actor.phase + actor.rate * frame_index / plan.fps)
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


def make_once(
    out: Path,
    settings: _Settings,
    plan: Callable[[_Settings], list[VideoPlan]],
    write_lists: Callable[[Path, list[VideoPlan], _Settings], None],
    say: Callable[[str], None],
) -> None:
    """Make a data set in `out`, unless it is there already.

    Args:
        out: Folder, made if need be. An unfinished earlier attempt is made again.
        settings: A dataclass with everything that determines the data set.
        plan: Decides about its videos.
        write_lists: Writes its text files, with `write_annotations` at the end.
        say: Receives progress lines where there is no terminal to draw a bar on.

    Raises:
        InputError: If `out` holds something else, or cannot be written.
    """
    if is_complete(out, settings):
        say(f"data set in {out} is complete")
        return
    plans = plan(settings)
    _make_videos(out, plans, say)
    write_lists(out, plans, settings)


def _make_videos(out: Path, plans: Sequence[VideoPlan], say: Callable[[str], None]) -> None:
    try:
        (out / "videos").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out / 'videos'}: {error.strerror}.") from error
    # Threads suffice: painting and encoding happen in C. A process would have to import everything again.
    with ThreadPool(min(8, usable_cores())) as pool:
        _progress(pool.imap_unordered(_make_one, [(out, plan) for plan in plans]), len(plans), say)


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


def is_complete(out: Path, settings: Any) -> bool:
    """Whether `out` already holds exactly the data set of some settings, a dataclass.

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


def write_annotations(out: Path, settings: Any, videos: Mapping[str, Any]) -> None:
    """Write annotations.json, which must come last: if it is there, so is everything else.

    Args:
        out: Folder.
        settings: A dataclass.
        videos: What is true of each video, by its name.
    """
    part = out / f"{ANNOTATIONS}.part"
    part.write_text(json.dumps({"settings": asdict(settings), "videos": videos}, indent=1) + "\n")
    part.replace(out / ANNOTATIONS)


def write_classes(out: Path) -> None:
    """Write classes.txt."""
    (out / "classes.txt").write_text("".join(f"{name}\n" for name in scenes.CLASS_NAMES))
