"""The lists that training reads, and one of everything that is wrong with a data set."""

import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from slowfast_ext.data.annotations import AnnotatedVideo, beyond_end
from slowfast_ext.data.segments import SEGMENTS, write_segments
from slowfast_ext.files import to_csv, write_text
from slowfast_ext.prepare.copies import Copies
from slowfast_ext.prepare.plan import SPLITS, Plan, PlanEntry
from slowfast_ext.prepare.process import Outcome

CLASSES, FAILURES, CLASS_COUNTS = "classes.txt", "failures.csv", "class_counts.csv"
# A video that is this much longer than its annotation says is a whole one, not the segment, seconds.
_UNTRIMMED_SECONDS = 5.0
_FAILURE_COLUMNS = ("outcome", "listed", "split", "class", "path", "reason")


@dataclass
class PreparedDataset:
    """A data set after its videos were read.

    Attributes:
        plan: What was to be listed.
        outcomes: By path of the original.
        copies: Where the copies are; None if none are made.
        listed: Entries of each split that are listed.
        problems: A row for each entry with something wrong: outcome (missing, failed, incomplete, repeated,
            contradictory), listed (yes or no), split, class, path, reason.
        notes: Sentences, those of the plan included.
    """

    plan: Plan
    outcomes: dict[str, Outcome]
    copies: Copies | None = None
    listed: dict[str, list[PlanEntry]] = field(default_factory=dict)
    problems: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.notes = list(self.plan.notes)
        self.listed = {split: [] for split in SPLITS}
        self._labels: dict[tuple[str, str | None], set[int]] = defaultdict(set)
        for entry in self.plan.entries:
            self._labels[entry.split, entry.path].add(entry.label)
        seen: dict[str, PlanEntry] = {}
        for entry in self.plan.entries:
            self._judge(entry, seen)
        self._note_repeats()
        self._note_untrimmed()
        self._note_lost_classes()

    def count(self, outcome: str) -> int:
        """Entries with a problem of one kind."""
        return sum(problem["outcome"] == outcome for problem in self.problems)

    def _judge(self, entry: PlanEntry, seen: dict[str, PlanEntry]) -> None:
        """List an entry, or say why not."""
        if entry.path is None:
            self._add_problem(entry, "missing", False, "no file is called so")
            return
        outcome = self.outcomes[entry.path]
        if outcome.reason:
            self._add_problem(entry, "failed", False, outcome.reason)
            return
        late = beyond_end(entry.segments, outcome.seconds)
        if late is not None and not outcome.missing:  # of a damaged video not all frames are counted
            span = f"its segment from {late.begin:g} to {late.end:g} s"
            self._add_problem(entry, "failed", False, f"{span} does not fit into its {outcome.seconds:.2f} s")
            return
        labels = sorted(self._labels[entry.split, entry.path])
        if len(labels) > 1:  # nobody knows which is right, and a list with both does not train
            names = " and ".join(repr(self.plan.classes[label]) for label in labels)
            self._add_problem(entry, "contradictory", False, f"the same file is in {entry.split} as {names}")
            return
        first = seen.setdefault(entry.path, entry)
        same = first is not entry and (first.split, first.label) == (entry.split, entry.label)
        if first is not entry:
            where = f"{first.split} as {self.plan.classes[first.label]!r}"
            self._add_problem(entry, "repeated", not same, f"the same file is in {where}")
        if same:
            return
        if outcome.missing:
            self._add_problem(entry, "incomplete", True, outcome.missing)
        self.listed[entry.split].append(entry)

    def _add_problem(self, entry: PlanEntry, outcome: str, listed: bool, reason: str) -> None:
        self.problems.append(
            {
                "outcome": outcome,
                "listed": "yes" if listed else "no",
                "split": entry.split,
                "class": self.plan.classes[entry.label],
                "path": entry.path or entry.name,
                "reason": reason,
            }
        )

    def _note_repeats(self) -> None:
        repeated = [problem for problem in self.problems if problem["outcome"] == "repeated"]
        listed = [problem for problem in repeated if problem["listed"] == "yes"]
        if listed:
            self.notes.append(
                f"Warning: {len(listed)} entries name a file that stands in another list too, and are listed "
                f"there as well: see {FAILURES}."
            )
        contradictory = self.count("contradictory")
        if contradictory:
            self.notes.append(
                f"Warning: {contradictory} entries name a file that stands under several classes of one "
                f"list, and are left out: see {FAILURES}."
            )
        if len(repeated) > len(listed):
            self.notes.append(
                f"{len(repeated) - len(listed)} entries are given twice and are listed once: see {FAILURES}."
            )

    def _note_lost_classes(self) -> None:
        """Say which classes have lost all their videos in a list: they are not learnt, or not tested."""
        for split, listed in self.listed.items():
            wanted = {entry.label for entry in self.plan.entries if entry.split == split}
            lost = sorted(wanted - {entry.label for entry in listed})
            if lost:
                name = self.plan.classes[lost[0]]
                self.notes.append(
                    f"Warning: of {len(lost)} of the classes in {split}, such as {name!r}, no video is there "
                    "or can be read."
                )

    def _note_untrimmed(self) -> None:
        longer = [
            entry
            for entries in self.listed.values()
            for entry in entries
            if entry.seconds and self.outcomes[entry.path].seconds > entry.seconds + _UNTRIMMED_SECONDS
        ]
        if longer:
            self.notes.append(
                f"Warning: {len(longer)} videos are longer than the segment that is annotated, such as "
                f"{longer[0].path}: they seem not to be cut."
            )


def write_lists(result: PreparedDataset, out: Path, separator: str) -> None:
    """Write train.csv, val.csv, test.csv, classes.txt, failures.csv, class_counts.csv; segments.json if any.

    Args:
        result: What to write. A path within `out` is written relative to it, so that the folder can be moved;
            another is absolute. A split without videos gets no list.
        out: Folder.
        separator: Between path and label.

    Raises:
        InputError: If a file cannot be written.
    """
    for split in SPLITS:
        entries = result.listed[result.plan.copies.get(split, split)]
        rows = [f"{listed_path(result, entry, out)}{separator}{entry.label}\n" for entry in entries]
        if rows:
            write_text(out / f"{split}.csv", "".join(rows))
        else:
            # One that an earlier run left would be taken for a list of this data set.
            (out / f"{split}.csv").unlink(missing_ok=True)
    write_text(out / CLASSES, "".join(f"{name}\n" for name in result.plan.classes))
    if any(entry.segments for entry in result.plan.entries):
        write_segments(out / SEGMENTS, _annotated(result, out), result.plan.classes)
    write_text(out / FAILURES, to_csv(result.problems, _FAILURE_COLUMNS))
    write_text(out / CLASS_COUNTS, to_csv(class_counts(result), ("label", "class", *SPLITS)))


def _annotated(result: PreparedDataset, out: Path) -> dict[str, AnnotatedVideo]:
    """The listed videos, each with its real length, unless it is damaged."""
    found = {}
    for split, entries in result.listed.items():
        for entry in entries:
            outcome = result.outcomes[entry.path]
            seconds = None if outcome.missing else outcome.seconds
            found[listed_path(result, entry, out)] = AnnotatedVideo(entry.segments, seconds, split)
    return found


def class_counts(result: PreparedDataset) -> list[dict[str, str | int]]:
    """Listed videos of each class: label, class, and a count for each of SPLITS, copies not counted."""
    counts: dict[str, dict[int, int]] = {split: defaultdict(int) for split in SPLITS}
    for split, entries in result.listed.items():
        for entry in entries:
            counts[split][entry.label] += 1
    return [
        {"label": label, "class": name} | {split: counts[split][label] for split in SPLITS}
        for label, name in enumerate(result.plan.classes)
    ]


def listed_path(result: PreparedDataset, entry: PlanEntry, out: Path) -> str:
    """The path of an entry as its list has it."""
    path = entry.path if result.copies is None else result.copies.of(entry.path)
    within = os.path.relpath(path, out.absolute())
    # A reader strips spaces at the start of a line.
    outside = within == ".." or within.startswith("../") or within != within.lstrip()
    return path if outside else within
