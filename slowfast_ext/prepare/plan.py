"""What is to be listed: classes and entries, read from annotations before any video is opened."""

import csv
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slowfast_ext.data.annotations import Segment
from vtn.errors import InputError, excerpt

SPLITS = ("train", "val", "test")
_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True, slots=True)
class PlanEntry:
    """One row of a list to be written.

    Attributes:
        split: One of SPLITS.
        label: Class id, from 0.
        name: What the annotation calls the video, for messages.
        path: The file, absolute; None if there is none.
        seconds: Length that the annotation gives, None if it gives none.
        segments: What happens when in it, for a data set of segments.
    """

    split: str
    label: int
    name: str
    path: str | None
    seconds: float | None = None
    segments: tuple[Segment, ...] = ()


@dataclass
class Plan:
    """A data set before its videos are read.

    Attributes:
        classes: Name of each class, by id.
        entries: Rows in the order of the annotations.
        notes: Sentences on what a person should know of it.
        copies: Lists that are the same as another: {"test": "val"}.
    """

    classes: list[str]
    entries: list[PlanEntry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    copies: dict[str, str] = field(default_factory=dict)

    @property
    def paths(self) -> Iterator[str]:
        """The files, each once, in the order of the entries."""
        return iter(dict.fromkeys(entry.path for entry in self.entries if entry.path))

    def copy_missing_splits(self) -> None:
        """Let the evaluation list that the data set does not have be a copy of the one that it has."""
        found = {entry.split for entry in self.entries}
        for split, other in (("val", "test"), ("test", "val")):
            if split not in found and other in found:
                self.copies[split] = other
                self.notes.append(
                    f"The data set has no {split} list with classes: {split}.csv is a copy of {other}.csv."
                )


def split_of(name: str) -> str | None:
    """The split that a folder or a word names, as in "validate"; None if it names none."""
    return _SPLIT_NAMES.get(name.strip().casefold())


def split_in_name(name: str) -> str | None:
    """The split in a longer name, as in "kinetics_700_val" or "train_256"; None if there is none."""
    words = re.sub(r"\d+p?$", "", name.casefold()).strip("_- ")
    return split_of(re.split(r"[_\- ]", words)[-1])


def class_key(name: str) -> str:
    """What two spellings of a class have in common: spaces or underscores, capitals, composed letters."""
    return " ".join(unicodedata.normalize("NFC", name).replace("_", " ").casefold().split())


def read_text(path: Path, what: str) -> str:
    """Read UTF-8 text; `what` says in the message what the file should be."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; it must be {what}.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}); it must be {what}.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def read_rows(path: Path, what: str) -> Iterator[tuple[str, list[str]]]:
    """Rows of a CSV file that are not blank, with "FILE line N" to name them by."""
    reader = csv.reader(read_text(path, what).splitlines())
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield f"{path} line {reader.line_num}", [cell.strip() for cell in row]
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line_num} is not CSV: {error}.") from error


def read_classes(path: Path) -> list[str]:
    """Read the names of classes by id.

    Args:
        path: A name a line, from id 0 (what this program writes); or `name,id` a line; or JSON, {name: id}.

    Raises:
        InputError: If an id or a name is there twice, or ids are not 0, 1, 2, ...
    """
    what = "the classes: a name a line, `name,id` a line, or JSON {name: id}"
    if path.suffix.lower() == ".json":
        try:
            ids = json.loads(read_text(path, what))
        except json.JSONDecodeError as error:
            raise InputError(f"{path} is not JSON (line {error.lineno}).") from error
        if not isinstance(ids, dict) or not all(isinstance(number, int) for number in ids.values()):
            raise InputError(f"{path} is not {what}.")
        # PySlowFast's own file has the quotes of a CSV cell around names.
        return order_classes([(name.strip('"'), number) for name, number in ids.items()], str(path))
    lines = [line.strip() for line in read_text(path, what).splitlines() if line.strip()]
    pairs = [line.rpartition(",") for line in lines]
    if all(name and is_number(number.strip()) for name, _, number in pairs):
        return order_classes([(name.strip(), int(number)) for name, _, number in pairs], str(path))
    return order_classes([(line, number) for number, line in enumerate(lines)], str(path))


def is_number(text: str) -> bool:
    """Whether text is a whole number of a length that Python turns into one."""
    return text.isdecimal() and len(text) <= 18


def order_classes(pairs: Sequence[tuple[str, int]], where: str) -> list[str]:
    """Names by id; `where` names the file in messages."""
    if not pairs:
        raise InputError(f"{where} names no classes.")
    by_id = {number: name for name, number in pairs}
    if sorted(number for _, number in pairs) != list(range(len(pairs))):
        wrong = sorted(set(by_id) ^ set(range(len(pairs))))
        raise InputError(
            f"{where}: the {len(pairs)} classes must have the ids 0 to {len(pairs) - 1}, once each; "
            f"see id {wrong[0] if wrong else 'twice'}."
        )
    class_ids(list(by_id.values()), where)
    return [by_id[number] for number in range(len(pairs))]


def class_ids(classes: Sequence[str], where: str) -> dict[str, int]:
    """Id by class_key; an InputError if two names would be one class."""
    ids: dict[str, int] = {}
    for number, name in enumerate(classes):
        if not name or len(name.splitlines()) != 1:
            raise InputError(f"{where}: {excerpt(name)} cannot name a class.")
        if ids.setdefault(class_key(name), number) != number:
            raise InputError(
                f"{where}: {excerpt(classes[ids[class_key(name)]])} and {excerpt(name)} are one class."
            )
    return ids


def id_of(name: str, ids: dict[str, int], where: str, classes_from: str) -> int:
    """Id of a class that a row names."""
    number = ids.get(class_key(name))
    if number is None:
        raise InputError(f"{where} has the class {excerpt(name)}, which is not in {classes_from}.")
    return number


def check_plan(plan: Plan, videos: Path) -> None:
    """Refuse what cannot be listed, before work starts.

    Raises:
        InputError: If there is nothing to list, no video was found, or a path cannot stand in a list.
    """
    if not plan.entries:
        raise InputError("The annotations hold no videos with classes.")
    if all(entry.path is None for entry in plan.entries):
        raise InputError(
            f"None of the {len(plan.entries)} videos is in {videos}; the first would be "
            f"{plan.entries[0].name}."
        )
    for entry in plan.entries:
        if entry.path is not None:
            check_path(entry.path)


def check_path(path: str) -> None:
    """Refuse a path that cannot stand in a line of UTF-8 text."""
    if len(path.splitlines()) != 1:
        raise InputError(f"The file name {path!r} has a line break in it; a list cannot hold it: rename it.")
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(f"The file name {path!r} is not UTF-8; a list cannot hold it: rename it.") from None
