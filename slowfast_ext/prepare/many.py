"""Reading the videos of a data set as a job, from its rows to its lists."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from slowfast_ext.jobs.work import DONE, FAILED, REPAIRED, VideoResult
from slowfast_ext.prepare.copies import Copies
from slowfast_ext.prepare.lists import PreparedDataset, write_lists
from slowfast_ext.prepare.plan import Plan
from slowfast_ext.prepare.process import Outcome, Work, process_video
from slowfast_ext.prepare.report import PAGE, write_report


class PrepareWork:
    """What becomes of a video, as a row of JSON.

    Args:
        work: What is done to it.
        copies: Where copies go, if any are made.
    """

    def __init__(self, work: Work, copies: Copies | None) -> None:
        self._work, self._copies = work, copies

    def do(self, path: str, name: str, state: tuple[int, int]) -> VideoResult:
        """As VideoWork."""
        outcome = process_video(path, self._work, self._copies)
        kind = FAILED if outcome.reason else REPAIRED if outcome.missing else DONE
        why = outcome.reason or outcome.missing
        return VideoResult(self._row(name, outcome), kind, why, outcome.seconds)

    def fail(self, name: str, state: tuple[int, int], why: str) -> VideoResult:
        """As VideoWork."""
        return VideoResult(self._row(name, Outcome(why)), FAILED, why)

    def _row(self, name: str, outcome: Outcome) -> str:
        row: dict[str, Any] = {"path": name, "outcome": asdict(outcome)}
        if self._copies is not None and not outcome.reason:
            copy_bytes = os.path.getsize(self._copies.of(name))
            row |= {"copy": self._copies.name(name), "copy_bytes": copy_bytes}
        return json.dumps(row, ensure_ascii=False)


class PreparedLists:
    """All that is written of a data set when its videos were read.

    Args:
        plan: What is to be listed.
        copies: Where copies are, if any are made.
        out: Folder.
        separator: Between path and label in the lists.
        title: Of the report.

    Attributes:
        path: Of the report.
        result: What was written; None before that.
    """

    def __init__(self, plan: Plan, copies: Copies | None, out: Path, separator: str, title: str) -> None:
        self._plan, self._copies, self._out = plan, copies, out
        self._separator, self._title = separator, title
        self.path = out / PAGE
        self.result: PreparedDataset | None = None

    def write(self, rows: Iterator[str]) -> None:
        """As JobOutput."""
        # Very many videos: the paths are those of the plan, and outcomes that are alike are one.
        outcomes: dict[str, Outcome] = dict.fromkeys(self._plan.paths, Outcome())
        alike: dict[Outcome, Outcome] = {}
        for row in rows:
            entry = json.loads(row)
            outcome = Outcome(**entry["outcome"])
            outcomes[entry["path"]] = alike.setdefault(outcome, outcome)
        result = PreparedDataset(self._plan, outcomes, self._copies)
        write_lists(result, self._out, self._separator)
        write_report(result, self._out, self._title)
        self.result = result

    def is_current(self) -> bool:
        """As JobOutput: annotations may have changed, which no row speaks of."""
        return False

    def is_sound(self, row: str) -> bool:
        """As JobOutput: by the size of the copy."""
        entry = json.loads(row)
        if self._copies is None or entry["outcome"]["reason"]:
            return True
        copy, path = entry["copy"], entry["path"]
        try:
            found = os.path.getsize(self._copies.of(path))
        except OSError:
            return False
        return (copy, entry["copy_bytes"]) == (self._copies.name(path), found)
