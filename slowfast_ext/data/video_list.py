"""Lists of videos: CSV files with a path and a label in every row."""

import logging
import os
from pathlib import Path

from slowfast_ext.typed import as_typed
from vtn.errors import InputError, excerpt

logger = logging.getLogger(__name__)

_SHOWN = 3
_MOST_DIGITS = 18
_LONGEST_PATH = 4096


def read_video_list(
    csv_path: str | Path, *, num_classes: int, separator: str = " ", path_prefix: str = ""
) -> tuple[list[str], list[int]]:
    """Read a whole list and check all of it, files included.

    Args:
        csv_path: UTF-8 text, a row `path<separator>label` for every video; blank rows are skipped. The row is
            split at the last separator, so a path may contain it.
        num_classes: Labels lie in [0, num_classes).
        separator: DATA.PATH_LABEL_SEPARATOR.
        path_prefix: Folder that relative paths start from. Without one they start from the working directory
            or, where the file is not there, from the folder of the list.

    Returns:
        The path and the label of each video, in the order of the list; paths are those of `normalize_path`.
        A video that is listed again under its label is named in a warning, and counts every time.

    Raises:
        InputError: If the list is missing or empty, a row is malformed, a video is missing or stands under
            two labels; the message has the line.
    """
    csv_path = Path(csv_path)
    if not separator:
        raise InputError("DATA.PATH_LABEL_SEPARATOR is empty; it must be what stands between path and label.")
    require_list(csv_path)
    try:
        rows = csv_path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{csv_path} is not UTF-8 text (byte {error.start}).") from error
    paths, labels, missing = [], [], []
    first: dict[str, tuple[int, int]] = {}  # line and label at which a video is first listed
    repeats: list[str] = []
    for line, row in enumerate(rows, start=1):
        if not row.strip():
            continue
        where = f"{csv_path} line {line}"
        name, label = _parse_row(row, separator, where, num_classes)
        path = resolve_video(name, csv_path.parent, path_prefix)
        if not os.path.isfile(path):
            missing.append(f"{_shortened(path)} (line {line})")
        else:
            path = normalize_path(path)
        line_before, label_before = first.setdefault(path, (line, label))
        if label_before != label:
            raise InputError(
                f"{csv_path} lists {_shortened(path)} under two classes, {label_before} (line {line_before}) "
                f"and {label} (line {line}); a video has one: remove a line."
            )
        if line_before != line:
            repeats.append(f"{_shortened(path)} (lines {line_before} and {line})")
        paths.append(path)
        labels.append(label)
    if not paths:
        raise InputError(f"{csv_path} lists no videos.")
    if missing:
        raise InputError(
            f"{len(missing)} of the {len(paths)} videos in {csv_path} do not exist: {_some(missing)}."
        )
    if repeats:
        logger.warning(
            "%s lists a video again on %d of its lines; it counts every time: %s",
            csv_path,
            len(repeats),
            _some(repeats),
        )
    return paths, labels


def require_list(csv_path: Path) -> None:
    """Raise InputError unless a list is there."""
    if not csv_path.is_file():
        raise InputError(
            f"{csv_path} does not exist; it must list a video and its label in every row. "
            f"DATA.PATH_TO_DATA_DIR names its folder, and `{as_typed('prepare_dataset')}` makes such lists."
        )


def normalize_path(path: str | Path) -> str:
    """Write a path without `//`, `.` and `..`, so that one file has one name.

    `a/..` is dropped where that leads to the same folder. Where it does not, because `a` is a link to
    another place, the links before `..` are followed, as the system does. Other links stay as they are named.
    """
    plain = os.path.normpath(path)
    # Python remembers every part of a Path: of a list of millions, only those are made that must be.
    parts = Path(path).parts if ".." in os.fspath(path) else ()
    if ".." not in parts:
        return plain
    last = len(parts) - parts[::-1].index("..")
    folder = os.path.join(*parts[:last])
    shorter = os.path.normpath(folder)
    if not os.path.exists(folder) or (os.path.exists(shorter) and os.path.samefile(folder, shorter)):
        return plain
    return os.path.join(os.path.realpath(folder), *parts[last:])


def _parse_row(row: str, separator: str, where: str, num_classes: int) -> tuple[str, int]:
    """Path and label of one row; `where` names file and line for the error."""
    name, found, label = row.strip().rpartition(separator)
    name, label = name.strip(), label.strip()
    if not found or not name:
        raise InputError(
            f"{where} is {excerpt(row)}; expected a path and a label separated by {separator!r} "
            "(DATA.PATH_LABEL_SEPARATOR)."
        )
    if not label.isdecimal():
        raise InputError(f"{where} has label {excerpt(label)}; it must be an integer of 0 or more.")
    # Python does not turn thousands of digits into a number.
    if len(label) > _MOST_DIGITS or int(label) >= num_classes:
        raise InputError(
            f"{where} has label {label if len(label) <= _MOST_DIGITS else excerpt(label)}, but "
            f"MODEL.NUM_CLASSES is {num_classes}: labels go from 0 to {num_classes - 1}."
        )
    return name, int(label)


def resolve_video(name: str, folder: Path, path_prefix: str = "") -> str:
    """Where a video is expected that a file in `folder` lists as `name`; an absolute path stays as it is."""
    if path_prefix:
        return os.path.join(path_prefix, name)
    found = os.path.isabs(name) or os.path.isfile(name)
    return name if found else os.path.join(folder, name)


def _shortened(path: str) -> str:
    """A path in a sentence: the whole of any that a file system takes."""
    return path if len(path) <= _LONGEST_PATH else excerpt(path)


def _some(items: list[str]) -> str:
    return ", ".join(items[:_SHOWN]) + (", ..." if len(items) > _SHOWN else "")
