"""What became of every video of a split: used, repaired or failed, and why.

A "repaired" video is used without what its file lacks. One that is "not used" was left over at the end of an
epoch, where the last videos do not fill a batch.

A data set gives the outcome of each item, in bytes that survive a loader's collate function, and the loader
writes it into the ledger. A score then comes with the number of videos that it was taken over.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from slowfast_ext.distributed import gather_objects
from slowfast_ext.files import to_csv, write_text

USED, REPAIRED, FAILED, NOT_USED = OUTCOMES = ("used", "repaired", "failed", "not used")
_REASON_BYTES = 256
_COLUMNS = ("video", "path", "label", "outcome", "reason")


def encode_outcome(outcome: str, reason: str = "") -> dict[str, torch.Tensor]:
    """Put an outcome into tensors of fixed size.

    Args:
        outcome: USED, REPAIRED or FAILED.
        reason: What was missing, or why it failed. Of a sentence longer than 256 bytes the end is kept,
            because the beginning is a path.

    Returns:
        {"outcome": () int64, "reason": (256,) uint8, UTF-8 filled up with zeros}.
    """
    text = reason.encode()
    if len(text) > _REASON_BYTES:
        dots = "…".encode()
        text = dots + text[len(dots) - _REASON_BYTES :].decode(errors="ignore").encode()
    code = torch.zeros(_REASON_BYTES, dtype=torch.uint8)
    code[: len(text)] = torch.tensor(list(text), dtype=torch.uint8)
    return {"outcome": torch.tensor(OUTCOMES.index(outcome)), "reason": code}


def decode_outcomes(meta: Mapping[str, torch.Tensor]) -> list[tuple[str, str]]:
    """(outcome, reason) of every item of a batch, from what `encode_outcome` made of each."""
    outcomes = [OUTCOMES[number] for number in meta["outcome"].tolist()]
    # A look at the first byte is enough, and most reasons are empty.
    reasons = [bytes(code.tolist()).rstrip(b"\0").decode() if code[0] else "" for code in meta["reason"]]
    return list(zip(outcomes, reasons, strict=True))


@dataclass(frozen=True)
class Entry:
    """Outcome of one video, and what was missing or why it failed."""

    outcome: str
    reason: str = ""


class Ledger:
    """What became of the videos of one split.

    Args:
        paths: File of each video.
        labels: Class of each video.
    """

    def __init__(self, paths: Sequence[str], labels: Sequence[int]) -> None:
        self.paths, self.labels = paths, labels
        self.entries: dict[int, Entry] = {}

    def note(self, video: int, outcome: str, reason: str = "") -> None:
        """Note what became of a video; the latest epoch counts."""
        self.entries[video] = Entry(outcome, reason)

    def count(self, outcome: str) -> int:
        """Videos with this outcome."""
        if outcome == NOT_USED:
            return len(self.paths) - len(self.entries)
        return sum(entry.outcome == outcome for entry in self.entries.values())

    def gather(self) -> None:
        """Collect from all processes; every process must call it."""
        shares = gather_objects(self.entries)
        self.entries = {video: entry for share in shares for video, entry in share.items()}

    def to_state(self, videos: Iterable[int] | None = None) -> dict[str, Any]:
        """What is noted of some videos, or of all, as tensors and plain values: a list may be long."""
        found = self.entries
        if videos is not None:
            found = {video: self.entries[video] for video in videos if video in self.entries}
        reasons = {video: entry.reason for video, entry in found.items() if entry.reason}
        outcomes = [OUTCOMES.index(entry.outcome) for entry in found.values()]
        videos = torch.tensor(list(found), dtype=torch.int64)
        return {"videos": videos, "outcomes": torch.tensor(outcomes, dtype=torch.uint8), "reasons": reasons}

    def add_state(self, state: Mapping[str, Any]) -> None:
        """Note what `to_state` gave, of this process or another."""
        for video, outcome in zip(state["videos"].tolist(), state["outcomes"].tolist(), strict=True):
            self.note(video, OUTCOMES[outcome], state["reasons"].get(video, ""))

    def summary(self) -> str:
        """One line: over how many videos, and what became of the others."""
        parts = [
            f"{self.count(USED)} used",
            f"{self.count(REPAIRED)} repaired",
            f"{self.count(FAILED)} failed",
        ]
        if self.count(NOT_USED):
            parts.append(f"{self.count(NOT_USED)} not used")
        return f"{len(self.paths)} videos: {', '.join(parts)}"

    def remarks(self, most: int) -> list[str]:
        """A line for each video that was not simply used, failed ones first, at most so many."""
        lines = []
        for wanted in (FAILED, REPAIRED):
            for video, entry in sorted(self.entries.items()):
                if entry.outcome == wanted:
                    path = self.paths[video]
                    # A long reason has lost its beginning, which is the path.
                    reason = entry.reason if entry.reason.startswith(path) else f"{path}: {entry.reason}"
                    lines.append(f"{wanted}: {reason}")
        left_out = len(lines) - most
        return lines if left_out <= 0 else [*lines[:most], f"and {left_out} more"]

    def write(self, path: str | Path) -> None:
        """Write a CSV: video (number in the list, from 0), path, label, outcome, reason."""
        rows = []
        for video, (name, label) in enumerate(zip(self.paths, self.labels, strict=True)):
            entry = self.entries.get(video, Entry(NOT_USED))
            rows.append({"video": video, "path": name, "label": label, **vars(entry)})
        write_text(Path(path), to_csv(rows, _COLUMNS))
