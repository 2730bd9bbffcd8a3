"""Lists of videos: CSV files with a path and a label in every row."""

import os
from pathlib import Path

from vtn.errors import InputError

_MISSING_SHOWN = 3


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
        The path and the label of each video, in the order of the list.

    Raises:
        InputError: If the list is missing or empty, a row is malformed, or a video is missing; the message
            has the line.
    """
    csv_path = Path(csv_path)
    if not separator:
        raise InputError("DATA.PATH_LABEL_SEPARATOR is empty; it must be what stands between path and label.")
    if not csv_path.is_file():
        raise InputError(f"{csv_path} does not exist; it must list a video and its label in every row.")
    try:
        rows = csv_path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{csv_path} is not UTF-8 text (byte {error.start}).") from error
    paths, labels, missing = [], [], []
    for line, row in enumerate(rows, start=1):
        if not row.strip():
            continue
        name, label = _parse_row(row, separator, f"{csv_path} line {line}")
        if label >= num_classes:
            raise InputError(
                f"{csv_path} line {line} has label {label}, but MODEL.NUM_CLASSES is {num_classes}: "
                f"labels go from 0 to {num_classes - 1}."
            )
        path = _resolve(name, csv_path.parent, path_prefix)
        if not os.path.isfile(path):
            missing.append(f"{path} (line {line})")
        paths.append(str(path))
        labels.append(label)
    if not paths:
        raise InputError(f"{csv_path} lists no videos.")
    if missing:
        shown = ", ".join(missing[:_MISSING_SHOWN]) + (", ..." if len(missing) > _MISSING_SHOWN else "")
        raise InputError(f"{len(missing)} of the {len(paths)} videos in {csv_path} do not exist: {shown}.")
    return paths, labels


def _parse_row(row: str, separator: str, where: str) -> tuple[str, int]:
    """Path and label of one row; `where` names file and line for the error."""
    name, found, label = row.strip().rpartition(separator)
    name, label = name.strip(), label.strip()
    if not found or not name:
        raise InputError(
            f"{where} is {row!r}; expected a path and a label separated by {separator!r} "
            "(DATA.PATH_LABEL_SEPARATOR)."
        )
    if not label.isdecimal():
        raise InputError(f"{where} has label {label!r}; it must be an integer of 0 or more.")
    return name, int(label)


def _resolve(name: str, folder: Path, path_prefix: str) -> Path:
    """Where a listed video is expected; an absolute path stays as it is."""
    if path_prefix:
        return Path(path_prefix) / name
    path = Path(name)
    return path if path.is_absolute() or os.path.isfile(path) else folder / name
