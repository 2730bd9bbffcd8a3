"""Data sets that come with split files: UCF101 and HMDB51, and others laid out like them.

UCF101: classInd.txt with `1 ApplyEyeMakeup`, ids from 1; trainlist01.txt with `Class/v_name.avi 1`, the class
again; testlist01.txt with `Class/v_name.avi`. HMDB51: a file CLASS_test_split1.txt for each class, with
`name.avi 1` for training, 2 for testing, 0 for neither.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from slowfast_ext.prepare.find import VideoIndex
from slowfast_ext.prepare.plan import (
    Plan,
    PlanEntry,
    class_ids,
    id_of,
    is_number,
    order_classes,
    read_classes,
    read_text,
)
from vtn.errors import InputError, excerpt

_CLASS_INDEX = "classInd.txt"
_HMDB_SPLITS = {"0": None, "1": "train", "2": "test"}


def plan_split_files(annotations: Path, number: int, index: VideoIndex, classes: Path | None = None) -> Plan:
    """Read the split files of a folder, whichever of the two kinds they are.

    Args:
        annotations: Folder with the split files.
        number: Which split: 1, 2 or 3.
        index: The videos.
        classes: Classes by id; else those of classInd.txt (UCF101) or the file names by alphabet (HMDB51).

    Raises:
        InputError: If the folder holds no such split, or a row is malformed.
    """
    if not annotations.is_dir():
        raise InputError(f"{annotations} is not a folder; it must hold the split files.")
    ending = f"_test_split{number}.txt"
    of_classes = sorted(annotations.glob(f"*{ending}"))
    ucf = {split: annotations / f"{split}list{number:02d}.txt" for split in ("train", "test")}
    if of_classes:
        names = [path.name.removesuffix(ending) for path in of_classes]
        rows = _hmdb_rows(of_classes, names)
        source = str(classes or annotations)
    elif all(path.is_file() for path in ucf.values()):
        source = str(classes or annotations / _CLASS_INDEX)
        names = [] if classes else _read_class_index(annotations / _CLASS_INDEX)
        rows = _ucf_rows(ucf)
    else:
        raise InputError(
            f"{annotations} holds neither {ucf['train'].name} and {ucf['test'].name} (UCF101) "
            f"nor CLASS{ending} (HMDB51)."
        )
    plan = Plan(read_classes(classes) if classes else names)
    ids = class_ids(plan.classes, source)
    for where, split, name, class_name in rows:
        label = id_of(class_name, ids, where, source)
        path = index.find(
            PurePosixPath(name).stem,
            class_name=class_name,
            split=split,
            allowed=lambda path, own=class_name: not index.in_other_class(path, own, ids),
        )
        plan.entries.append(PlanEntry(split, label, name, path))
    plan.notes += index.notes()
    plan.copy_missing_splits()
    return plan


def _lines(path: Path, what: str) -> Iterator[tuple[str, str]]:
    """Lines that are not blank, with what to name them by."""
    for number, line in enumerate(read_text(path, what).splitlines(), start=1):
        if line.strip():
            yield f"{path} line {number}", line.strip()


def _read_class_index(path: Path) -> list[str]:
    """Classes of UCF101 by id, from 0."""
    pairs = []
    for where, line in _lines(path, "the classes of UCF101, `1 ApplyEyeMakeup` a line"):
        number, _, name = line.partition(" ")
        if not is_number(number) or not name.strip():
            raise InputError(f"{where} is {excerpt(line)}; expected a number from 1 and a class.")
        pairs.append((name.strip(), int(number) - 1))
    return order_classes(pairs, f"{path} (ids less 1)")


def _ucf_rows(lists: dict[str, Path]) -> Iterator[tuple[str, str, str, str]]:
    """Where, split, name and class of every video."""
    for split, path in lists.items():
        for where, line in _lines(path, "a list of UCF101"):
            name, _, number = line.rpartition(" ")
            # Lists for testing have no number, and names may have spaces.
            name = name.strip() if name and number.isdecimal() else line
            if "/" not in name:
                raise InputError(
                    f"{where} is {excerpt(line)}; expected `Class/video.avi`, a class behind it or not."
                )
            yield where, split, name, PurePosixPath(name).parent.name


def _hmdb_rows(files: list[Path], names: list[str]) -> Iterator[tuple[str, str, str, str]]:
    """Where, split, name and class of every video that is in the split."""
    for path, class_name in zip(files, names, strict=True):
        for where, line in _lines(path, "a split of HMDB51"):
            name, _, flag = line.rpartition(" ")
            if not name.strip() or flag not in _HMDB_SPLITS:
                raise InputError(f"{where} is {excerpt(line)}; expected a video and 0, 1 or 2.")
            split = _HMDB_SPLITS[flag]
            if split:
                yield where, split, name.strip(), class_name
