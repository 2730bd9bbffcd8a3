"""What the project makes of one file, by each of the ways that a file is read."""

import random
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from data_config import make_data_config
from videos import read_number

from fuzzing.cases import block_means
from fuzzing.evidence import find_evidence
from fuzzing.kinds import SIZE, Kind
from slowfast_ext.data.dataset import Vtnkinetics
from slowfast_ext.data.ledger import FAILED, REPAIRED, USED, decode_outcomes
from slowfast_ext.prepare.process import Work, process_video
from slowfast_ext.video.decoding import MissingFrames, decode_frames, repair_video
from slowfast_ext.video.opening import Damage, VideoError
from slowfast_ext.video.probing import VideoInfo, probe_video

# Pictures beyond these are counted and no more.
_MOST_PICTURES = 600


@dataclass
class Pictures:
    """Pictures of a file in the order in which they came.

    Attributes:
        small: Brightness of squares, see block_means, (n, rows, columns).
        painted: Numbers read off the pictures, -1 where none can be, (n,).
        frames: Numbers under which the project delivered them, (n,).
    """

    small: np.ndarray
    painted: np.ndarray
    frames: np.ndarray


@dataclass
class Outcome:
    """What one way of reading came to: USED, REPAIRED or FAILED, and the sentence that was given."""

    outcome: str
    reason: str = ""


@dataclass
class Readings:
    """All that is known of a file after it was read in every way.

    Attributes:
        outcomes: By the way of reading: "in order", "training clip", "validation item", "preparation".
        pictures: Read in order; None if that failed.
        times: When each frame is shown by what the project says, seconds after the first, (num_frames,).
        num_frames: Frames that the project lists.
        sought: Pictures read by their numbers alone.
        evidence: Signs of damage, see find_evidence.
        not_sought: Why such a read failed where reading in order did not; empty if none did.
        errors: (way, what) of each error that is not the project's own.
    """

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    pictures: Pictures | None = None
    times: np.ndarray = field(default_factory=lambda: np.empty(0))
    num_frames: int = 0
    sought: list[Pictures] = field(default_factory=list)
    not_sought: str = ""
    evidence: frozenset[str] = frozenset()
    errors: list[tuple[str, str]] = field(default_factory=list)


def read_every_way(path: Path, folder: Path, kind: Kind, seed: int, begin: Callable[[str], None]) -> Readings:
    """Read a file as the project does.

    Args:
        path: The file.
        folder: For lists that name it.
        kind: What it was before it was damaged.
        seed: Of the frames that are read by seeking.
        begin: Called with each way before it is taken.
    """
    readings = Readings()
    for way, read in (
        ("in order", lambda: _in_order(path, seed, readings)),
        ("training clip", lambda: _item(path, folder, "train")),
        ("validation item", lambda: _item(path, folder, "val")),
        ("preparation", lambda: _prepare(path)),
    ):
        begin(way)
        with _noting_errors(way, readings):
            readings.outcomes[way] = read()
    begin("PyAV alone")
    readings.evidence = find_evidence(path, kind)
    return readings


@contextmanager
def _noting_errors(way: str, readings: Readings) -> Iterator[None]:
    """Note whatever is raised: none of it may leave the project, not even its own errors about settings."""
    try:
        yield
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        readings.errors.append((way, f"{type(error).__name__} at {where}: {error}"[:300]))


def _in_order(path: Path, seed: int, readings: Readings) -> Outcome:
    """Probe, read all frames, then some by seeking."""
    try:
        info, damage = probe_video(path), Damage()
        try:
            readings.pictures = _collect(path, info.decodable, info, damage)
        except MissingFrames:
            info = repair_video(path, info)
            readings.pictures = _collect(path, info.decodable, info, damage)
    except VideoError as error:
        return Outcome(FAILED, str(error))
    readings.num_frames, readings.times = info.num_frames, _times(info)
    rng = random.Random(seed)
    for how_many in (1, 1, 4):
        wanted = sorted(rng.sample(info.decodable, min(how_many, len(info.decodable))))
        try:
            readings.sought.append(_collect(path, wanted, info, Damage()))
        except VideoError as error:
            readings.not_sought = str(error)
    missing = info.missing_with(damage)
    return Outcome(REPAIRED if missing else USED, missing)


def _collect(path: Path, numbers: list[int], info: VideoInfo, damage: Damage) -> Pictures:
    """Read frames and keep what tells them apart."""
    small, painted, frames = [], [], []
    for number, picture in decode_frames(path, numbers, info, damage):
        if len(frames) < _MOST_PICTURES:
            pixels = _to_size(picture.numpy())
            small.append(block_means(pixels[None])[0])
            painted.append(_painted(pixels))
            frames.append(number)
    return Pictures(np.array(small), np.array(painted), np.array(frames))


def _times(info: VideoInfo) -> np.ndarray:
    if info.pts is None:
        return np.arange(min(info.num_frames, _MOST_PICTURES)) / info.fps
    return info.times * float(info.time_base)


def _to_size(picture: np.ndarray) -> np.ndarray:
    """A picture of the size of the undamaged one, without memory for those that a header makes huge."""
    height, width = picture.shape[:2]
    if (width, height) == SIZE:
        return picture
    rows = (np.arange(SIZE[1]) + 0.5) * height // SIZE[1]
    columns = (np.arange(SIZE[0]) + 0.5) * width // SIZE[0]
    return picture[rows.astype(int)[:, None], columns.astype(int)]


def _painted(picture: np.ndarray) -> int:
    try:
        return read_number(picture)
    except ValueError:
        return -1


def _item(path: Path, folder: Path, mode: str) -> Outcome:
    """An item of the data set: a training clip, or the full video as validation takes it."""
    (folder / f"{mode}.csv").write_text(f"{path} 0\n")
    cfg = make_data_config(folder)
    cfg.TRAIN.EVAL_FULL_VIDEO = True
    meta = Vtnkinetics(cfg, mode)[0][4]
    return Outcome(*decode_outcomes({key: value[None] for key, value in meta.items()})[0])


def _prepare(path: Path) -> Outcome:
    found = process_video(str(path), Work("full"))
    if found.reason:
        return Outcome(FAILED, found.reason)
    return Outcome(REPAIRED if found.missing else USED, found.missing)
