"""Kinetics-400, -600 and -700: the annotation files of DeepMind and of their mirrors.

A row is `label,youtube_id,time_start,time_end,split` and sometimes `is_cc`; test files may lack `label`, and
the split is called val, validate or validation. Downloads are called ID_START_END.mp4, times in seconds with
six digits, or ID.mp4, and lie in one folder or in one for each split, class or both.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slowfast_ext.prepare.find import VideoIndex
from slowfast_ext.prepare.plan import (
    SPLITS,
    Plan,
    PlanEntry,
    class_ids,
    id_of,
    read_classes,
    read_rows,
    split_in_name,
    split_of,
)
from vtn.errors import InputError, excerpt

_WHAT = "a Kinetics annotation file (CSV with the columns label,youtube_id,time_start,time_end,split)"
# The second name is the one that the downloader of ActivityNet writes.
_COLUMNS = {
    "label": ("label", "label-name"),
    "id": ("youtube_id", "video-id"),
    "start": ("time_start", "start-time"),
    "end": ("time_end", "end-time"),
    "split": ("split",),
}


@dataclass(frozen=True)
class _Row:
    where: str
    label: str
    video: str
    times: tuple[float, float] | None
    split: str

    @property
    def stems(self) -> list[str]:
        """What the file may be called."""
        if self.times is None:
            return [self.video]
        start, end = (int(time) for time in self.times)
        return [f"{self.video}_{start:06d}_{end:06d}", self.video]


def plan_kinetics(annotations: Sequence[Path], index: VideoIndex, classes: Path | None = None) -> Plan:
    """Read annotation files.

    Args:
        annotations: Of one or more splits.
        index: The videos.
        classes: Classes by id; without it, those of all rows by alphabet, videos or not.

    Raises:
        InputError: If a file is no Kinetics annotation or names an unknown class.
    """
    rows: list[_Row] = []
    unlabelled: Counter[str] = Counter()
    for path in annotations:
        for row in _read(path):
            if row.label:
                rows.append(row)
            else:
                unlabelled[str(path)] += 1
    names = read_classes(classes) if classes else sorted({row.label for row in rows})
    known_from = str(classes or "the annotations")
    ids = class_ids(names, known_from)
    plan = Plan(names)
    for row in rows:
        label = id_of(row.label, ids, row.where, known_from)
        found = (index.find(stem, class_name=row.label, split=row.split) for stem in row.stems)
        path = next((path for path in found if path), None)
        seconds = row.times[1] - row.times[0] if row.times else None
        plan.entries.append(PlanEntry(row.split, label, f"{row.stems[0]}.mp4", path, seconds))
    plan.entries.sort(key=lambda entry: SPLITS.index(entry.split))
    plan.notes += [
        f"{path}: {count} rows have no label and are left out." for path, count in unlabelled.items()
    ]
    plan.notes += index.notes()
    plan.copy_missing_splits()
    return plan


def _read(path: Path) -> list[_Row]:
    """All rows of one file."""
    rows = read_rows(path, _WHAT)
    _, header = next(rows, ("", []))
    at = {
        key: next((header.index(name) for name in names if name in header), None)
        for key, names in _COLUMNS.items()
    }
    if at["id"] is None:
        raise InputError(f"{path} is not {_WHAT}: its first line has no youtube_id.")
    of_file = split_in_name(path.stem)
    if at["split"] is None and of_file is None:
        raise InputError(f"{path} has no column `split`, and its name names none of {', '.join(SPLITS)}.")
    found = []
    for where, cells in rows:
        if len(cells) != len(header):
            raise InputError(f"{where} has {len(cells)} columns, but the first line has {len(header)}.")

        def cell(key: str, cells: list[str] = cells) -> str:
            return "" if at[key] is None else cells[at[key]]

        split = split_of(cell("split")) if cell("split") else of_file
        if split is None:
            raise InputError(f"{where} has the split {excerpt(cell('split'))}; expected train, val or test.")
        if not cell("id"):
            raise InputError(f"{where} has no youtube_id.")
        label = cell("label").strip('"')
        found.append(_Row(where, label, cell("id"), _times(where, cell("start"), cell("end")), split))
    return found


def _times(where: str, start: str, end: str) -> tuple[float, float] | None:
    """Seconds at which a segment begins and ends."""
    if not start and not end:
        return None
    try:
        return float(start), float(end)
    except ValueError:
        raise InputError(
            f"{where} has the times {excerpt(start)} and {excerpt(end)}; they must be seconds."
        ) from None
