"""A folder for each class, in train/, val/ and test/ or split here."""

import hashlib
from collections import defaultdict
from pathlib import Path, PurePosixPath

from slowfast_ext.prepare.find import VideoIndex
from slowfast_ext.prepare.plan import SPLITS, Plan, PlanEntry, class_ids, id_of, read_classes, split_of
from vtn.errors import InputError


def plan_folders(
    index: VideoIndex,
    *,
    val_fraction: float = 0.1,
    test_fraction: float = 0.0,
    classes: Path | None = None,
) -> Plan:
    """List the videos of class folders, which may have folders within.

    Args:
        index: The videos.
        val_fraction: Part of each class for val.csv, where there are no folders for the splits, [0, 1).
        test_fraction: Likewise for test.csv; together less than 1.
        classes: Classes by id; else the names of the folders by alphabet.

    Raises:
        InputError: If there are no class folders, or split folders beside others.
    """
    for name, fraction in (("--val-fraction", val_fraction), ("--test-fraction", test_fraction)):
        if not 0 <= fraction < 1:
            raise InputError(f"{name} must be 0 or more and less than 1, but is {fraction}.")
    if val_fraction + test_fraction >= 1:
        raise InputError(
            f"--val-fraction {val_fraction} and --test-fraction {test_fraction} leave nothing to train on."
        )
    by_split, stray = _sort_by_split(index)
    names = read_classes(classes) if classes else sorted({name for _, name, _ in by_split})
    known_from = str(classes or index.folder)
    ids = class_ids(names, known_from)
    plan = Plan(names)
    if stray:
        plan.notes.append(f"{len(stray)} videos lie in no class folder and are left out, such as {stray[0]}.")
    if all(split is None for split, _, _ in by_split):
        by_split = _split(by_split, val_fraction, test_fraction)
        plan.notes.append(_split_note(val_fraction, test_fraction))
    for split, class_name, file in sorted(by_split, key=lambda row: (SPLITS.index(row[0]), row[2])):
        label = id_of(class_name, ids, str(index.folder / file), known_from)
        plan.entries.append(PlanEntry(split, label, file, index.path(file)))
    plan.copy_missing_splits()
    _note_classes_apart(plan)
    return plan


def _sort_by_split(index: VideoIndex) -> tuple[list[tuple[str | None, str, str]], list[str]]:
    """(split or None, class, file) of every video in a class folder, and the files in none."""
    top = {PurePosixPath(file).parts[0] for file in index.files if "/" in file}
    splits = {name: split_of(name) for name in top if split_of(name)}
    if splits and len(splits) < len(top):
        other = min(top - set(splits))
        raise InputError(
            f"{index.folder} has folders for splits ({min(splits)}) and others ({other}); "
            "it must have the one or the other."
        )
    rows, stray = [], []
    for file in index.files:
        parts = PurePosixPath(file).parts
        depth = 1 if splits else 0
        if len(parts) < depth + 2:
            stray.append(file)
        else:
            rows.append((splits.get(parts[0]), parts[depth], file))
    if not rows:
        raise InputError(
            f"{index.folder} has no class folders with videos in them: put each class into a folder of its "
            "own, CLASS/video.mp4."
        )
    return rows, stray


def _split(
    rows: list[tuple[str | None, str, str]], val_fraction: float, test_fraction: float
) -> list[tuple[str, str, str]]:
    """Take a part of each class, in the order of a hash of the path: the same files give the same lists."""
    by_class = defaultdict(list)
    for _, class_name, file in rows:
        by_class[class_name].append(file)
    found = []
    for class_name, files in by_class.items():
        files.sort(key=lambda file: hashlib.sha256(file.encode("utf-8", "surrogateescape")).digest())
        num_test, num_val = (_part(len(files), fraction) for fraction in (test_fraction, val_fraction))
        # A class with few videos is for training first.
        num_test, num_val = (0, 0) if num_test + num_val >= len(files) else (num_test, num_val)
        for place, file in enumerate(files):
            split = "test" if place < num_test else "val" if place < num_test + num_val else "train"
            found.append((split, class_name, file))
    return found


def _part(count: int, fraction: float) -> int:
    """Videos that a fraction of `count` is: at least one, unless none are wanted."""
    return max(1, round(count * fraction)) if fraction else 0


def _split_note(val_fraction: float, test_fraction: float) -> str:
    return (
        f"There are no folders for the splits: of each class, a fraction {val_fraction:g} is for val and "
        f"{test_fraction:g} for test (at least one video each, if the class has enough), chosen by a hash "
        "of the path. The same files always give the same lists; with more files some may change theirs."
    )


def _note_classes_apart(plan: Plan) -> None:
    """Say which classes are not in all lists."""
    labels = {split: {e.label for e in plan.entries if e.split == split} for split in SPLITS}
    for split in SPLITS[1:]:
        if not labels[split]:
            continue
        for these, those in (("train", split), (split, "train")):
            apart = sorted(labels[these] - labels[those])
            if apart:
                plan.notes.append(
                    f"{len(apart)} classes are in {these} but not in {those}, "
                    f"such as {plan.classes[apart[0]]!r}."
                )
