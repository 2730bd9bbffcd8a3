"""Which action happens when in a video: segments, as ActivityNet and THUMOS14 write them down in JSON.

    {"database": {VIDEO: {"subset": "train", "duration": 120.4,
                          "annotations": [{"segment": [3.2, 11.9], "label": "Diving"}, ...]}}}

Times are seconds. In DATA.PATH_TO_DATA_DIR the file is segments.json, VIDEO is what train.csv, val.csv and
test.csv list, and classes.txt has the names of the classes.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slowfast_ext.data.annotations import END_TOLERANCE, AnnotatedVideo, Segment, check_annotations
from slowfast_ext.data.video_list import normalize_path, resolve_video
from slowfast_ext.files import write_text
from slowfast_ext.recipe import CLASSES, read_class_names
from slowfast_ext.typed import as_typed
from vtn.errors import InputError, excerpt, first_of

logger = logging.getLogger(__name__)

SEGMENTS = "segments.json"
_SHOWN = 3


def read_segments(
    folder: Path, paths: Sequence[str], *, num_classes: int, path_prefix: str = ""
) -> list[tuple[Segment, ...]]:
    """The segments of videos, from segments.json and classes.txt.

    Args:
        folder: DATA.PATH_TO_DATA_DIR.
        paths: The videos, as read_video_list gives them.
        num_classes: MODEL.NUM_CLASSES; classes.txt must name so many.
        path_prefix: DATA.PATH_PREFIX.

    Returns:
        For each path, its segments by their beginning, at least one.

    Raises:
        InputError: If a file is missing or malformed, any entry has something that cannot be used, or a video
            has no entry or no segment; names the file, the video and the value.
    """
    path = folder / SEGMENTS
    require_segments(path)
    names = read_class_names(folder / CLASSES, num_classes)
    ids = {name: number for number, name in enumerate(names)}
    found: dict[str, AnnotatedVideo] = {}
    for key, entry in read_database(path).items():
        video = check_annotations(key, entry, lambda name: ids.get(" ".join(name.split())), names)
        if video.problems:
            raise InputError(f"{path}: {video.problems[0]}{_and_more(video.problems)}.")
        if found.setdefault(normalize_path(resolve_video(key, folder, path_prefix)), video) is not video:
            raise InputError(f"{path} has two entries for one video, the second of which is {excerpt(key)}.")
    missing = [name for name in paths if name not in found]
    if missing:
        raise InputError(
            f"{path} has no entry for {len(missing)} of the {len(paths)} listed videos: "
            f"{first_of(missing, _SHOWN)}."
        )
    empty = [name for name in paths if not found[name].segments]
    if empty:
        raise InputError(
            f"{path} has no segments for {len(empty)} of the {len(paths)} listed videos: "
            f"{first_of(empty, _SHOWN)}."
        )
    clipped = sum(found[name].num_clipped for name in dict.fromkeys(paths))
    if clipped:
        logger.info("%s: %s", path, told_clipped(clipped))
    return [found[name].segments for name in paths]


def require_segments(path: Path) -> None:
    """Raise InputError unless a file of segments is there."""
    if not path.is_file():
        raise InputError(
            f"{path} does not exist; it must hold the segments of every listed video. DATA.PATH_TO_DATA_DIR "
            f"names its folder, and `{as_typed('prepare_dataset')} segments` makes it."
        )


def told_clipped(count: int) -> str:
    """A sentence on segments that were cut off."""
    return (
        f"{count} segments end up to {END_TOLERANCE:g} s after their videos, and are taken to end with them."
    )


def read_database(path: Path) -> dict[str, Any]:
    """The entries of a JSON file in ActivityNet's layout, by their keys; what is in them is not checked.

    Raises:
        InputError: If the file cannot be read or is none.
    """
    try:
        document = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}).") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not JSON (line {error.lineno}, column {error.colno}).") from error
    except (ValueError, RecursionError):  # a number of thousands of digits, or brackets within brackets
        raise InputError(f"{path} is not JSON that can be used.") from None
    database = document.get("database") if isinstance(document, dict) else None
    if not isinstance(database, dict) or not database:
        raise InputError(f'{path} has no "database" of videos, as ActivityNet and THUMOS14 write it.')
    return database


def write_segments(path: Path, videos: Mapping[str, AnnotatedVideo], names: Sequence[str]) -> None:
    """Write a file of segments, a video a line.

    Args:
        path: The file.
        videos: By the name that the lists have.
        names: Of the classes.

    Raises:
        InputError: If it cannot be written.
    """
    lines = []
    for name, video in videos.items():
        entry: dict[str, Any] = {"subset": video.subset}
        if video.duration is not None:
            entry["duration"] = video.duration
        entry["annotations"] = [
            {"segment": [segment.begin, segment.end], "label": names[segment.label]}
            for segment in video.segments
        ]
        lines.append(f"{_json(name)}: {_json(entry)}")
    write_text(path, '{"database": {\n' + ",\n".join(lines) + "\n}}\n")


def _and_more(items: Sequence[str]) -> str:
    return f" (and {len(items) - 1} more)" if len(items) > 1 else ""


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
