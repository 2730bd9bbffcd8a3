"""One step of the demonstration: a command that keeps its log and is not repeated once it has finished."""

import hashlib
import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slowfast_ext.report.curves import parse_stats
from vtn.errors import InputError

_RECORD, _LOG = "step.json", "run.log"
_GRACE_SECONDS = 20


class StepError(RuntimeError):
    """A command of the demonstration failed; the message says which, how, and where its log is."""


@dataclass(frozen=True)
class Step:
    """A command and where its files go.

    Attributes:
        name: For the screen, such as "VTN, training".
        folder: Gets run.log (all that the command prints) and step.json (time spent, whether it finished).
        command: Program and arguments.
        inputs: Files whose content decides the outcome. If one has changed, the results in the folder are of
            something else and the step refuses to go on with them.
    """

    name: str
    folder: Path
    command: Sequence[str]
    inputs: Sequence[Path] = ()

    @property
    def log(self) -> Path:
        """File with everything that the command printed, over all attempts."""
        return self.folder / _LOG


def run_step(step: Step, *, cwd: Path, say: Callable[[str], None] = print) -> float:
    """Run the command, unless an earlier run of the demonstration finished it.

    Interrupted by Ctrl-C, the command gets the signal too and the time it took is kept, so that the wall time
    of a step that took several attempts is their sum.

    Args:
        step: What to run.
        cwd: Working folder of the command.
        say: Receives one line for each epoch and each result.

    Returns:
        Wall time over all attempts, seconds.

    Raises:
        InputError: If the folder holds results of another command or of other inputs.
        StepError: If the command fails.
    """
    step.folder.mkdir(parents=True, exist_ok=True)
    record = _read_record(step)
    if record["finished"]:
        say(f"{step.name}: finished earlier, in {record['seconds']:.0f} s")
        return record["seconds"]
    say(f"{step.name}: {'goes on' if record['seconds'] else 'starts'} (full log: {step.log})")
    before, started = record["seconds"], time.perf_counter()
    try:
        status = _run(step, cwd, say)
        record["finished"] = status == 0
    finally:
        record["seconds"] = before + time.perf_counter() - started
        (step.folder / _RECORD).write_text(json.dumps(record, indent=1) + "\n")
    if status:
        last = step.log.read_text(errors="replace").strip().splitlines()[-1:]
        raise StepError(f"{step.name} ended with status {status} ({' '.join(last)}): see {step.log}")
    say(f"{step.name}: finished in {record['seconds']:.0f} s")
    return record["seconds"]


def _read_record(step: Step) -> dict:
    """The step's record; a new one if it never ran."""
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in step.inputs}
    wanted = {"arguments": list(step.command[1:]), "inputs": digests}  # the interpreter may move
    path = step.folder / _RECORD
    if not path.is_file():
        return {**wanted, "seconds": 0.0, "finished": False}
    record = json.loads(path.read_text())
    changed = [key for key, value in wanted.items() if record.get(key) != value]
    if changed:
        raise InputError(
            f"{step.folder} holds results of another {' and other '.join(changed)}: "
            "delete it, or name another folder with --out."
        )
    return record


def _run(step: Step, cwd: Path, say: Callable[[str], None]) -> int:
    """Start the command, copy what it prints to the log, show the lines that matter; returns its status."""
    with step.log.open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            list(step.command),
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
            encoding="utf-8",
            errors="replace",
        )
        try:
            for line in process.stdout:
                log.write(line)
                log.flush()
                shown = short_line(line)
                if shown:
                    say(f"  {step.name}: {shown}")
            return process.wait()
        except BaseException:
            # Ctrl-C reaches the command as well: give it time to end by itself, then end it.
            try:
                process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            raise


def short_line(line: str) -> str | None:
    """What to show of one line of the log: an epoch's numbers, a result or a warning; None for others."""
    if ("[WARNING" in line and "jit_analysis" not in line) or "Error: " in line:  # fvcore names each operator
        return line.strip()
    try:
        stats = parse_stats(line)
    except json.JSONDecodeError:
        return None
    if stats is None:
        return None
    if stats.get("_type") == "train_epoch":
        accuracy = 100 - stats["top1_err"]
        return f"epoch {stats['epoch']}, loss {stats['loss']:.3f}, top-1 on training clips {accuracy:.1f} %"
    if stats.get("_type") == "val_epoch":
        return f"epoch {stats['epoch']}, top-1 on validation videos {100 - stats['top1_err']:.1f} %"
    if stats.get("split") == "test_final":
        top5 = f", top-5 {stats['top5_acc']} %" if "top5_acc" in stats else ""
        return f"top-1 {stats['top1_acc']} %{top5} of {stats['num_videos']} videos"
    return None
