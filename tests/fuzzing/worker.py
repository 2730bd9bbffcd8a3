"""One case, from its number to what was found."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fuzzing.cases import Case, reference
from fuzzing.checks import Finding, Truth, judge
from fuzzing.kinds import KINDS
from fuzzing.reading import Outcome, read_every_way
from fuzzing.watch import watched


@dataclass(frozen=True)
class Task:
    """A case to be run.

    Attributes:
        number: Of the case.
        folder: With the undamaged videos, absolute; damaged ones are written into it and removed.
        cpu_seconds: Time that it may take.
        memory: Bytes by which the process may grow.
    """

    number: int
    folder: str
    cpu_seconds: float
    memory: int

    @property
    def stage_file(self) -> Path:
        """What the process was doing when it ended."""
        return Path(self.folder) / f"stage_{self.number}"


@dataclass(frozen=True)
class Report:
    """What came of a case: findings, and outcomes by the way of reading."""

    findings: list[Finding]
    outcomes: dict[str, Outcome]


def run_case(task: Task) -> Report:
    """Make the file, read it in every way and judge."""
    torch.set_num_threads(1)
    case, folder = Case.of(task.number), Path(task.folder)
    truth = truth_of(case, folder)
    with tempfile.TemporaryDirectory(dir=folder) as own, watched(task.cpu_seconds, task.memory):
        path = Path(own) / case.file_name
        path.write_bytes(case.make(folder))
        readings = read_every_way(path, Path(own), KINDS[case.kind], task.number, task.stage_file.write_text)
        findings = judge(readings, truth)
    task.stage_file.unlink(missing_ok=True)
    return Report(findings, readings.outcomes)


def truth_of(case: Case, folder: Path) -> Truth:
    """What may be seen in the file of a case."""
    first = reference(case.kind, folder)
    painted, times, small, noise = first.painted, first.kind.times, first.small, first.noise
    if case.appended is not None:
        second = reference(case.appended, folder)
        painted = np.append(painted, second.painted)
        times = np.append(times, second.kind.times)
        small, noise = np.concatenate([small, second.small]), max(noise, second.noise)
    num_frames = len(first.painted)
    interval = float(times[num_frames - 1]) / (num_frames - 1)
    return Truth(small, painted, times, num_frames, interval, noise)
