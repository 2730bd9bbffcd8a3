"""Rounds of a soak: a training that is struck until it is done, and what is wrong with how it ended."""

import shutil
import time
from pathlib import Path
from random import Random
from typing import Any

from soaking.disk import Disk, may_mount
from soaking.evidence import (
    damaged_files,
    differences,
    half_files,
    last_checkpoint,
    left_behind,
    processes_of,
    result_of,
    shared_memory,
)
from soaking.phases import PLACES, Phases
from soaking.runs import SCENARIOS, Attempt, Scenario, make_data
from soaking.strikes import Strike, choose

# Of root's attempts: permissions bind it, and what is left behind is found by it.
_USER = 61_234
# A training that is left in peace takes a few seconds.
_MOST_SECONDS = 90.0
_MOST_MOMENTS = 12  # of a round; then it may end in peace
# What started the ranks may have been killed: they notice it within DIST_TIMEOUT, and end what they do.
_SECONDS_TO_CLEAN_UP = 30.0


class Soak:
    """Trainings in a folder; `with` removes it at the end.

    Args:
        folder: Empty.
        rng: Chooses what is done.

    Attributes:
        moments: Of each blow, what was done and what was being done then.
        attempts: Commands that were started.
        problems: What is wrong.
    """

    def __init__(self, folder: Path, rng: Random) -> None:
        self._folder, self._rng, self._phases = folder, rng, Phases()
        self._user = _USER if may_mount() else None
        self.moments: list[tuple[str, str]] = []
        self.attempts, self.problems = 0, []
        self._peaceful: dict[str, dict[str, Any]] = {}
        folder.chmod(0o755)
        self._data = folder / "data"
        self._data.mkdir()
        make_data(self._data)
        (folder / "disk").mkdir()
        self._disk = Disk(folder / "disk")
        self._shared_before = shared_memory(self._user)

    def __enter__(self) -> "Soak":
        return self

    def __exit__(self, *_: Any) -> None:
        self._disk.remove()
        shutil.rmtree(self._folder)

    @property
    def how(self) -> str:
        """In words, how disk and permissions are taken away."""
        who = "this user" if self._user is None else f"user {self._user}, so that permissions bind"
        return f"full disk: {self._disk.how}; trainings run as {who}"

    def round(self, number: int) -> str:
        """Train once, struck until it is done; returns a line about it."""
        scenario = SCENARIOS[number % len(SCENARIOS)]
        if scenario.name not in self._peaceful:
            self._peaceful[scenario.name] = self._train_in_peace(scenario)
        begun, moments, attempts = time.monotonic(), len(self.moments), self.attempts
        home = self._folder / "disk" / f"round{number}"
        home.mkdir()
        out = home / "out"
        while not self._attempt(scenario, out, len(self.moments) - moments):
            pass
        if last_checkpoint(out).is_file():
            wrong = differences(self._peaceful[scenario.name], result_of(out))
            self._expect(not wrong, scenario, f"other bits than in peace: {', '.join(wrong[:5])}")
        else:
            self._expect(False, scenario, "ended with status 0, but without its last checkpoint")
        self._expect(not half_files(out), scenario, f"half files: {half_files(out)}")
        shutil.rmtree(home)
        return (
            f"{scenario.name}, {len(self.moments) - moments} moments, {self.attempts - attempts} attempts, "
            f"{time.monotonic() - begun:.0f} s"
        )

    def _train_in_peace(self, scenario: Scenario) -> dict[str, Any]:
        home = self._folder / "disk" / "peace"
        home.mkdir()
        begun = time.monotonic()
        attempt = Attempt(scenario, self._data, home / "out", self._phases, self._user)
        if attempt.wait(_MOST_SECONDS) != 0:
            attempt.end()
            raise RuntimeError(f"{scenario.name} in peace ended with {attempt.status}:\n{attempt.said}")
        print(f"in peace: {scenario.name}, {time.monotonic() - begun:.1f} s", flush=True)
        result = result_of(home / "out")
        shutil.rmtree(home)
        return result

    def _attempt(self, scenario: Scenario, out: Path, moments: int) -> bool:
        """Start the command and strike it; returns whether the training is done."""
        attempt = Attempt(scenario, self._data, out, self._phases, self._user)
        self.attempts += 1
        known: list[Strike] = []
        wanted = self._rng.randint(1, 3) if moments < _MOST_MOMENTS else 0
        while len(known) < wanted and not (known and known[-1].ends):
            strike = choose(self._rng, scenario.processes, known={one.name for one in known})
            if not attempt.reach(self._rng.choice(PLACES), _MOST_SECONDS):
                break
            time.sleep(self._rng.uniform(0, 0.02))
            doing = self._phases.describe()
            if attempt.is_alive() and strike.deliver(attempt, self._rng, self._disk):
                self.moments.append((strike.name, doing))
                known.append(strike)
        self._judge(attempt, known)
        return attempt.status == 0

    def _judge(self, attempt: Attempt, known: list[Strike]) -> None:
        """Wait until the command has ended, and look what is wrong."""
        scenario, status = attempt.scenario, attempt.wait(_MOST_SECONDS)
        what = f"after {', then '.join(one.name for one in known) or 'nothing'}"
        if status is None:
            states = [(pid, self._state(pid)) for pid in processes_of(attempt)]
            self._expect(False, scenario, f"{what}: hangs, {self._phases.describe()}, {states}", attempt)
            attempt.end()
        killed = any(word in one.name for one in known for word in ("killed", "for ever"))
        left = left_behind(attempt, self._shared_before, _SECONDS_TO_CLEAN_UP, killed=killed)
        self._shared_before |= shared_memory(self._user)  # told once
        self._expect(not left, scenario, f"{what}: left behind: {'; '.join(left)}", attempt)
        for pid in processes_of(attempt):
            attempt.signal(9, pid)
        if status is not None:
            allowed = known[-1].statuses if known and known[-1].ends else ()
            # A save that failed last is told by the status.
            starved = any("for a while" in one.name for one in known) and "last save failed" in attempt.said
            fine = status == 0 or status in allowed or (starved and status == 2)
            self._expect(fine, scenario, f"{what}: status {status}", attempt)
        loud = "Traceback" in attempt.said and all(one.quiet for one in known)
        self._expect(not loud, scenario, f"{what}: a traceback", attempt)
        damaged = damaged_files(attempt.out)
        self._expect(not damaged, scenario, f"{what}: not whole: {', '.join(damaged)}", attempt)

    @staticmethod
    def _state(pid: int) -> str:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return "gone"

    def _expect(self, fine: bool, scenario: Scenario, problem: str, attempt: Attempt | None = None) -> None:
        if not fine:
            self.problems.append(f"{scenario.name}: {problem}")
            print(f"FOUND: {self.problems[-1]}", flush=True)
            if attempt is not None:
                print("\n".join(f"    | {line}" for line in attempt.said.splitlines()[-40:]), flush=True)
