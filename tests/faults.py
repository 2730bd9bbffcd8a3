"""Put faults into the code, one at a time, and see which of them the tests notice.

    python tests/faults.py                    all of tests/fault_lists
    python tests/faults.py --area engine      one area (can be repeated)
    python tests/faults.py "learning rate"    those with these words in their name

It works in a temporary copy of the tree. The tests of a fault must pass without it and fail with it. Faults
that need PySlowFast main are run where SLOWFAST_HOME is set, and counted as not run where it is not.
"""

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from fault_lists import AREAS, ROOT, Fault, load_faults

_NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", "outputs", "build", "__pycache__", ".*_cache", "*.egg-info"
)
# A fault may make a test wait for ever. None takes nearly as long.
_SECONDS = 600
_PASSED, _FAILED = 0, 1  # what pytest exits with; anything else means that the tests did not run


class Broken(Exception):
    """An entry that says nothing: it does not fit the code, or its tests fail anyway or do not run."""


class Workshop:
    """A copy of the tree in which faults are put into the code and taken out again.

    Args:
        folder: Empty; the copy goes there.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "tree"
        shutil.copytree(ROOT, self.root, ignore=_NOT_COPIED, symlinks=True)
        self._passed: set[tuple[str, bool, bool]] = set()
        # The paths go before installed packages, in the tests and in what they start. No bytecode is kept:
        # Python takes it for current if the source has the same size and second of change.
        paths = os.pathsep.join([str(self.root), str(self.root / "projects")])
        self._environment = os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
        self._check_imports()

    def _check_imports(self) -> None:
        code = "from importlib.util import find_spec as f; print(f('slowfast_ext').origin, f('vtn').origin)"
        found = subprocess.run(
            [sys.executable, "-c", code],
            env=self._environment,
            cwd=self.root.parent,
            capture_output=True,
            text=True,
            check=True,
        )
        for file in found.stdout.split():
            if self.root.resolve() not in Path(file).resolve().parents:
                raise Broken(f"the tests would import {file}, which is not in the copy {self.root}")

    def is_noticed(self, fault: Fault) -> bool:
        """Whether the tests of a fault fail with it.

        Raises:
            Broken: If the entry is stale, or its tests fail without the fault or cannot be run.
        """
        file = self.root / fault.file
        sound = file.read_text()
        try:
            faulty = fault.put_into(sound)
        except (ValueError, SyntaxError) as error:
            raise Broken(str(error)) from None
        key = fault.tests, fault.main, fault.slow
        if key not in self._passed:
            self._expect(fault, "without the fault", _PASSED)
            self._passed.add(key)
        file.write_text(faulty)
        try:
            return self._expect(fault, "with the fault", _PASSED, _FAILED) == _FAILED
        finally:
            file.write_text(sound)

    def _expect(self, fault: Fault, when: str, *expected: int) -> int:
        """Run the tests of a fault; returns pytest's exit status, which must be an expected one."""
        marked = "slow" if fault.slow else "not slow"
        line = [*"-m pytest -x -q -p no:cacheprovider -m".split(), marked, *shlex.split(fault.tests)]
        host = os.environ["SLOWFAST_HOME"] if fault.main else ""
        with subprocess.Popen(
            [sys.executable, *line],
            env=self._environment | {"SLOWFAST_HOME": host},
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                said, _ = process.communicate(timeout=_SECONDS)
            except subprocess.TimeoutExpired:
                return _FAILED
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode not in expected:
            tail = "\n".join(said.splitlines()[-15:])
            raise Broken(
                f"{fault.name!r}: {when}, `pytest {fault.tests}` exits with {process.returncode}:\n{tail}"
            )
        return process.returncode


def main() -> int:
    """Run the command; returns its exit status: 0 if every fault that was run is noticed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--area", action="append", choices=AREAS, help="only this one")
    parser.add_argument("names", nargs="*", metavar="NAME", help="words in the names of the faults to put in")
    args = parser.parse_args()
    chosen = [
        (area, fault)
        for area, faults in load_faults().items()
        for fault in faults
        if area in (args.area or AREAS)
        and (not args.names or any(name.lower() in fault.name.lower() for name in args.names))
    ]
    if not chosen:
        parser.error("no fault has such a name")
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        counts = _run(Workshop(Path(folder)), chosen)
    print_table(counts)
    return int(any(verdict in ("survived", "broken") for _, verdict in counts))


def _run(workshop: Workshop, chosen: list[tuple[str, Fault]]) -> Counter[tuple[str, str]]:
    """Put the faults in one by one; returns how many of each area came to which end."""
    counts: Counter[tuple[str, str]] = Counter()
    for number, (area, fault) in enumerate(chosen, start=1):
        begun, why = time.monotonic(), ""
        if fault.main and not os.environ.get("SLOWFAST_HOME"):
            verdict = "not run"
        else:
            try:
                verdict = "killed" if workshop.is_noticed(fault) else "survived"
            except Broken as error:
                verdict, why = "broken", f"\n{error}"
        counts[area, verdict] += 1
        seconds = time.monotonic() - begun
        print(
            f"{number}/{len(chosen)}  {area:8}  {verdict:8}  {seconds:4.0f} s  {fault.name}{why}", flush=True
        )
    return counts


def print_table(counts: Counter[tuple[str, str]]) -> None:
    """Print killed / total of each area, of the faults that were run."""

    def show(area: str, of: dict[str, int]) -> None:
        total = sum(of.values()) - of["not run"]
        part = f"{of['killed'] / total:5.0%}" if total else "    -"
        rest = "".join(f", {of[key]} {key}" for key in ("broken", "not run") if of[key])
        print(f"{area:8}  {of['killed']:3} / {total:3}  {part}{rest}")

    verdicts = ("killed", "survived", "broken", "not run")
    print()
    for area in AREAS:
        if any(counts[area, verdict] for verdict in verdicts):
            show(area, {verdict: counts[area, verdict] for verdict in verdicts})
    show("all", {verdict: sum(counts[area, verdict] for area in AREAS) for verdict in verdicts})


if __name__ == "__main__":
    sys.exit(main())
