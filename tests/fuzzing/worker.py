"""One case in a process that watches itself: too much memory or time ends it, and says which."""

import os
import resource
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fuzzing.cases import Case, reference
from fuzzing.checks import Finding, Truth, judge
from fuzzing.reading import Outcome, read_every_way

# Exit code of a process that ended itself because it took too much memory.
TOO_MUCH_MEMORY = 77
_LOOK_EVERY = 0.02


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
        readings = read_every_way(path, Path(own), task.number, task.stage_file.write_text)
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


@contextmanager
def watched(cpu_seconds: float, memory: int) -> Iterator[None]:
    """End this process if it takes longer (by SIGXCPU) or grows by more bytes (with TOO_MUCH_MEMORY).

    Memory is watched where the system has /proc, as Linux does.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(time.process_time() + cpu_seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    most, done = _memory("VmRSS") + memory, threading.Event()
    _forget_peak()

    def look() -> None:
        while not done.wait(_LOOK_EVERY):
            if _memory("VmRSS") > most:
                os._exit(TOO_MUCH_MEMORY)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
        if _memory("VmHWM") > most:  # between two looks
            os._exit(TOO_MUCH_MEMORY)
    finally:
        done.set()
        thread.join()
        resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))


def _memory(key: str) -> int:
    """Bytes that /proc tells of this process: VmRSS now, VmHWM at its peak; 0 where there is no /proc."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    lines = status.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def _forget_peak() -> None:
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")
