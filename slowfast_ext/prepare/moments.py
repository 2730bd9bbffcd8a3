"""Moments in Time, versions 1 and 2: trainingSet.csv, validationSet.csv and moments_categories.txt.

A row is `class/file.mp4,class,agree,disagree`, the last two the annotators for and against; a category is
`class,id`. Videos lie in training/class/ and validation/class/. The test set was not published with classes.
"""

from pathlib import Path, PurePosixPath

from slowfast_ext.prepare.find import VideoIndex
from slowfast_ext.prepare.plan import Plan, PlanEntry, class_ids, id_of, read_classes, read_rows
from vtn.errors import InputError, excerpt

_LISTS = {"train": "trainingSet.csv", "val": "validationSet.csv"}
_CATEGORIES = "moments_categories.txt"


def plan_moments(annotations: Path, index: VideoIndex, classes: Path | None = None) -> Plan:
    """Read the lists of a folder.

    Args:
        annotations: Folder with the three files; one of the two lists may be missing.
        index: The videos.
        classes: Other classes by id; else those of moments_categories.txt.

    Raises:
        InputError: If a file is missing or malformed, or names an unknown class.
    """
    if not annotations.is_dir():
        raise InputError(f"{annotations} is not a folder; it must hold {', '.join(_LISTS.values())}.")
    source = classes or annotations / _CATEGORIES
    plan = Plan(read_classes(source))
    ids = class_ids(plan.classes, str(source))
    lists = {split: annotations / name for split, name in _LISTS.items() if (annotations / name).is_file()}
    if not lists:
        raise InputError(f"{annotations} holds neither {' nor '.join(_LISTS.values())}.")
    plan.notes += [f"{annotations} holds no {_LISTS[split]}." for split in _LISTS if split not in lists]
    for split, path in lists.items():
        for where, row in read_rows(path, "a list of Moments in Time"):
            if len(row) < 2 or not PurePosixPath(row[0]).suffix:
                raise InputError(f"{where} is {excerpt(','.join(row))}; expected `class/file.mp4,class,...`.")
            label = id_of(row[1], ids, where, str(source))
            plan.entries.append(PlanEntry(split, label, row[0], _find(row[0], row[1], split, index, ids)))
    plan.notes += index.notes()
    plan.copy_missing_splits()
    return plan


def _find(name: str, class_name: str, split: str, index: VideoIndex, ids: dict[str, int]) -> str | None:
    """The file of a row; one in another class's folder is another moment, even if it is called the same."""
    listed = PurePosixPath(name)
    folder = listed.parent.name or class_name
    return index.find(
        listed.stem,
        class_name=folder,
        split=split,
        allowed=lambda path: not index.in_other_class(path, folder, ids),
    )
