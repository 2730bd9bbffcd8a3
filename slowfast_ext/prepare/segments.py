"""Long videos whose actions are annotated in time: ActivityNet, THUMOS14 and others in the same JSON layout.

    {"database": {ID: {"subset": "training", "duration": 82.7,
                       "annotations": [{"segment": [6.7, 20.1], "label": "Polishing shoes"}]}}}

Times are seconds. Videos are called v_ID.mp4 or ID.mp4. The subsets of THUMOS14, as others distribute it, are
Validation, on which everybody trains, and Test; "segment(frames)", "label_id", "frame" and "fps" may be there
and are passed over.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from slowfast_ext.data.annotations import AnnotatedVideo, check_annotations, main_class
from slowfast_ext.data.segments import read_database, told_clipped
from slowfast_ext.prepare.find import VideoIndex
from slowfast_ext.prepare.plan import SPLITS, Plan, PlanEntry, class_ids, class_key, read_classes, split_of
from vtn.errors import InputError, excerpt

_MOST_NAMED = 100


def plan_segments(
    annotations: Path, index: VideoIndex, classes: Path | None = None, *, leave_out_bad: bool = False
) -> Plan:
    """Read a file of annotations.

    Args:
        annotations: The file.
        index: The videos.
        classes: Classes by id; without it, those of all annotations by alphabet, videos or not.
        leave_out_bad: Leave out annotations that cannot be used, with a note on each, in place of an error.

    Raises:
        InputError: If the file is none, or an annotation cannot be used; names all that cannot.
    """
    database = read_database(annotations)
    names = read_classes(classes) if classes else _names_in(database)
    ids = class_ids(names, str(classes or annotations))
    plan, problems, num_clipped = Plan(names), [], 0
    unused: Counter[str] = Counter()
    for video, entry in database.items():
        found = check_annotations(video, entry, lambda name: ids.get(class_key(name)), names)
        problems += found.problems
        split = split_of(found.subset)
        if not found.segments:
            unused[found.subset] += not found.problems
        elif split is None:
            problems.append(
                f"{excerpt(video)} has the subset {excerpt(found.subset)}; it must be training, "
                "validation or testing"
            )
        else:
            num_clipped += found.num_clipped
            plan.entries.append(_entry(video, split, found, names, index))
    if problems and not leave_out_bad:
        raise InputError(
            f"{annotations} has {len(problems)} annotations that cannot be used: {_listed(problems)}; "
            "correct them, or add --leave-out-bad"
        )
    plan.notes += [f"Left out: {problem}." for problem in problems]
    plan.notes += [
        f"{count} videos of {excerpt(subset)} have no segments and are left out."
        for subset, count in unused.items()
        if count
    ]
    if num_clipped:
        plan.notes.append(told_clipped(num_clipped))
    _train_on_validation(plan)
    plan.entries.sort(key=lambda entry: SPLITS.index(entry.split))
    plan.notes += index.notes()
    plan.copy_missing_splits()
    return plan


def _names_in(database: Mapping[str, Any]) -> list[str]:
    """All labels that can name a class, by alphabet."""
    entries = (entry.get("annotations") for entry in database.values() if isinstance(entry, dict))
    lists = (annotations for annotations in entries if isinstance(annotations, list))
    labels = {item.get("label") for found in lists for item in found if isinstance(item, dict)}
    return sorted(
        {" ".join(label.split()) for label in labels if isinstance(label, str) and label.isprintable()} - {""}
    )


def _entry(
    video: str, split: str, found: AnnotatedVideo, names: Sequence[str], index: VideoIndex
) -> PlanEntry:
    """The row of a video, whose class is that of most of the annotated time."""
    label = main_class(found.segments)
    stems = f"v_{video}", video
    paths = (index.find(stem, class_name=names[label], split=split) for stem in stems)
    path = next((path for path in paths if path), None)
    return PlanEntry(split, label, f"{stems[0]}.mp4", path, segments=found.segments)


def _train_on_validation(plan: Plan) -> None:
    """Where nothing is for training, train on the validation videos."""
    if any(entry.split == "train" for entry in plan.entries) or not plan.entries:
        return
    plan.entries = [
        replace(entry, split="train") if entry.split == "val" else entry for entry in plan.entries
    ]
    plan.notes.append(
        "The annotations have no videos for training: those for validation are in train.csv, as is usual for "
        "THUMOS14."
    )


def _listed(problems: Sequence[str]) -> str:
    more = len(problems) - _MOST_NAMED
    return "; ".join(problems[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
