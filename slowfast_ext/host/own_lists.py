"""Lists of PySlowFast's own data set `kinetics`, checked before anything starts.

It takes lines apart at every separator, looks for no file, and puts another video in the place of one that it
cannot read: a run could end well without having read a single video.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode

from slowfast_ext.distributed import world_size
from vtn.errors import InputError

_SHOWN = 3


def check_kinetics_lists(
    cfg: CfgNode, take_apart: Callable[[str], Sequence[str]], parts: Sequence[int]
) -> None:
    """Check the lists that a run will read with PySlowFast's `kinetics`; other data sets are left alone.

    Args:
        cfg: Complete configuration.
        take_apart: What this PySlowFast makes of a line.
        parts: Into how many parts a line may fall: 2 are path and label, 3 have a number of frames between
            them, 1 is a path without a label.

    Raises:
        InputError: Names the list, the line or the key.
    """
    for split, name in (("train", "TRAIN"), ("val", "TRAIN"), ("test", "TEST")):
        section = cfg[name]
        if section.ENABLE and section.DATASET.lower() == "kinetics":
            _check_batch(name, section.BATCH_SIZE, world_size(cfg))
            count = _check_list(
                Path(cfg.DATA.PATH_TO_DATA_DIR) / f"{split}.csv", name, cfg, take_apart, parts
            )
            if split == "train" and count < section.BATCH_SIZE:
                raise InputError(
                    f"TRAIN.BATCH_SIZE is {section.BATCH_SIZE} but the training list has only {count} "
                    "videos: there is not one whole batch"
                )


def _check_batch(name: str, size: int, processes: int) -> None:
    if size < 1 or size % processes:
        raise InputError(
            f"{name}.BATCH_SIZE is {size}: it must be a positive multiple of the {processes} processes"
        )


def _check_list(path: Path, name: str, cfg: CfgNode, take_apart: Callable, parts: Sequence[int]) -> int:
    """Check one list; returns how many videos it has."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; it must list a video and its label in every row")
    missing, count = [], 0
    for number, row in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        where, fields, count = f"{path} line {number}", take_apart(row), number
        if len(fields) not in parts or not row.strip():
            raise InputError(_misread(where, row, name, fields))
        video = os.path.join(cfg.DATA.PATH_PREFIX, fields[0])
        if not os.path.isfile(video):
            if len(fields) > 2:
                raise InputError(_misread(where, row, name, fields))
            missing.append(f"{video} (line {number})")
        for problem in _problems_of_label(fields[1:], cfg):
            raise InputError(f"{where} {problem}")
    if not count:
        raise InputError(f"{path} lists no videos")
    if missing:
        shown = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        raise InputError(
            f"{len(missing)} of the {count} videos in {path} do not exist: {shown}; DATA.PATH_PREFIX is the "
            f"folder that relative paths start from, {cfg.DATA.PATH_PREFIX!r}"
        )
    return count


def _misread(where: str, row: str, name: str, fields: Sequence[str]) -> str:
    return (
        f"{where} is {row[:200]!r}: PySlowFast's kinetics takes it apart into {len(fields)} parts instead of "
        "a path and a label, because it splits at every separator; for paths with spaces take "
        f"{name}.DATASET vtnkinetics"
    )


def _problems_of_label(fields: Sequence[str], cfg: Any) -> Iterator[str]:
    """What is wrong with the label, the last of the fields behind the path, if there is one."""
    if not fields:
        return
    label = fields[-1].strip()
    if not (label.isascii() and label.isdecimal() and len(label) < 10):
        yield f"has label {label[:40]!r}; it must be an integer of 0 or more"
    elif int(label) >= cfg.MODEL.NUM_CLASSES:
        yield f"has label {label}, but MODEL.NUM_CLASSES is {cfg.MODEL.NUM_CLASSES}"
