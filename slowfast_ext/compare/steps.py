"""One step of a comparison: a command in a process of its own, done once, with a log and a record.

The record says what the outcome depends on. If that has changed, the step is done anew; if not, a finished
step is left alone and one that was cut short goes on.
"""

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slowfast_ext.compare.progress import Progress, fraction_done, short_line
from slowfast_ext.files import write_text
from slowfast_ext.processes import end_with, interrupts_wait
from vtn.errors import InputError

_RECORD, _LOG = "step.json", "run.log"
_GRACE_SECONDS = 60
_SECONDS_BETWEEN_RECORDS = 10
_NO_MEMORY = ("can't allocate memory", "cannot allocate memory", "out of memory", "memoryerror")


@dataclass(frozen=True)
class Step:
    """A command and where its files go.

    Attributes:
        name: For the screen, such as "VTN, training".
        folder: Gets run.log (all that the command prints) and step.json (time spent, whether it finished).
        command: Program and arguments.
        depends: What decides the outcome: names, for sentences, and values.
        estimate: Seconds that it may take, a guess that is only compared with those of other steps.
        keeps: Whether results of something else are kept in a folder beside this one, and not deleted.
    """

    name: str
    folder: Path
    command: Sequence[str]
    depends: Mapping[str, str] = field(default_factory=dict)
    estimate: float = 1.0
    keeps: bool = False

    @property
    def log(self) -> Path:
        """File with everything that the command printed, over all attempts."""
        return self.folder / _LOG


@dataclass(frozen=True)
class StepOutcome:
    """What became of a step.

    Attributes:
        seconds: Wall time over all attempts.
        reason: Why it failed; empty if it did not.
    """

    seconds: float
    reason: str = ""


def run_step(step: Step, progress: Progress) -> StepOutcome:
    """Run the command, unless it finished earlier.

    Interrupted by Ctrl-C, the command gets the signal too, once: it is in a group of its own. The time of
    several attempts is added up.

    Args:
        step: What to run.
        progress: Is told how far the step is, and shows a line for each epoch and each result.

    Raises:
        InputError: If the folder holds files of something else, or cannot be written.
    """
    record = _prepare(step, progress)
    if record["finished"]:
        progress.skip(step.estimate, f"{step.name}: finished earlier, in {record['seconds']:.0f} s")
        return StepOutcome(record["seconds"])
    progress.begin(step.estimate, f"{step.name}: {'goes on' if record['seconds'] else 'starts'} ({step.log})")
    status = _Attempt(step, record, progress).run()
    reason = "" if status == 0 else _reason(status, step.log)
    ended = f"failed: {reason}" if reason else f"finished in {record['seconds']:.0f} s"
    progress.end(f"{step.name}: {ended}")
    return StepOutcome(record["seconds"], reason)


def _prepare(step: Step, progress: Progress) -> dict:
    """The record of the step as far as it was done; results of something else are put out of the way."""
    path, fresh = step.folder / _RECORD, {"depends": dict(step.depends), "seconds": 0.0, "finished": False}
    if path.is_file():
        record = _read(path)
        before = record["depends"]
        changed = [name for name in {**before, **step.depends} if before.get(name) != step.depends.get(name)]
        if not changed:
            return record
        kept = _put_aside(step)
        progress.line(f"{step.name}: is done anew, because {' and '.join(changed)} changed since{kept}")
    elif step.folder.is_dir() and any(step.folder.iterdir()):
        raise InputError(f"{step.folder} holds files of something else: move them, or choose another --out")
    try:
        step.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {step.folder}: {error.strerror}") from error
    return fresh


def _read(path: Path) -> dict:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {name: record[name] for name in ("depends", "seconds", "finished")}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is damaged: delete the folder {path.parent} to do this step again"
        ) from error


def _put_aside(step: Step) -> str:
    """Delete the folder, or keep it under another name; returns what to say of it."""
    if not step.keeps:
        shutil.rmtree(step.folder)
        return ""
    number = 1
    while (kept := step.folder.with_name(f"{step.folder.name}_before_{number}")).exists():
        number += 1
    step.folder.rename(kept)
    return f"; what there was is kept in {kept}"


class _Attempt:
    """The command, running; it keeps the record up to date, so that a kill loses seconds of it at most."""

    def __init__(self, step: Step, record: dict, progress: Progress) -> None:
        self._step, self._record, self._progress = step, record, progress
        self._before, self._started, self._written = record["seconds"], time.perf_counter(), 0.0

    def run(self) -> int:
        """Run it to its end; returns its status."""
        self._write(finished=False)
        finished = False
        try:
            status = self._follow()
            finished = status == 0
            return status
        finally:
            self._write(finished=finished)

    def _follow(self) -> int:
        with self._step.log.open("a", encoding="utf-8") as log:
            process = None
            try:
                with interrupts_wait():  # Python may lose one that comes while it forks
                    process = self._start()
                for line in process.stdout:
                    log.write(line)
                    log.flush()
                    self._look_at(line)
                return process.wait()
            except BaseException:
                if process is not None:
                    _wait_for_end(process)
                raise

    def _start(self) -> subprocess.Popen:
        return subprocess.Popen(
            list(self._step.command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            bufsize=1,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            preexec_fn=functools.partial(_end_with, os.getpid()),
        )

    def _look_at(self, line: str) -> None:
        shown, fraction = short_line(line), fraction_done(line)
        if fraction is not None:
            self._progress.advance(fraction)
        if shown:
            self._progress.line(f"  {self._step.name}: {shown}")
        if time.perf_counter() - self._started - self._written > _SECONDS_BETWEEN_RECORDS:
            self._write(finished=False)

    def _write(self, *, finished: bool) -> None:
        self._written = time.perf_counter() - self._started
        self._record |= {"seconds": self._before + self._written, "finished": finished}
        write_text(self._step.folder / _RECORD, json.dumps(self._record, indent=1) + "\n")


def _end_with(parent: int) -> None:
    """In the new process: end with the one that started it, and before it if memory runs out."""
    end_with(parent)
    if sys.platform == "linux":
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")


def _wait_for_end(process: subprocess.Popen) -> None:
    """Pass Ctrl-C on, once: a training saves then. Give it time for that; Ctrl-C again ends it at once."""
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.send_signal(signal.SIGINT)
            process.wait(_GRACE_SECONDS)
    finally:
        process.kill()
        process.wait()


def _reason(status: int, log: Path) -> str:
    """Why a command failed, in a sentence."""
    if status < 0:
        name = signal.Signals(-status).name
        memory = ", as the system does when memory runs out" if status == -signal.SIGKILL else ""
        return f"it was ended by the signal {name}{memory} (log: {log})"
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    told = [line for line in lines if line.startswith("error: ")] or [line for line in lines if line]
    last = told[-1].removeprefix("error: ") if told else f"it ended with status {status}"
    if any(words in last.lower() for words in _NO_MEMORY):
        return f"it does not fit into memory: {last} (log: {log})"
    return f"{last} (log: {log})"
