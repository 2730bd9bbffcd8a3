"""Many cases in watched processes, and the table of what was found."""

import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from fuzzing.cases import Case, original
from fuzzing.checks import FINDINGS, Finding
from fuzzing.damages import DAMAGES
from fuzzing.explained import ANY, EXPLAINED
from fuzzing.kinds import KINDS
from fuzzing.tasks import Lost, run_tasks
from fuzzing.watch import TOO_MUCH_MEMORY
from fuzzing.worker import Report, Task, run_case
from slowfast_ext.data.ledger import OUTCOMES
from slowfast_ext.report.tables import Column, to_markdown

CPU_SECONDS = 20.0
MEMORY = 1_500_000_000
# A loaded machine gives a process less time than it has; one that waits for ever gets no processor time.
_WALL_PER_CPU = 4
_SAY_EVERY = 20.0


@dataclass(frozen=True)
class Result:
    """What came of a case.

    Attributes:
        case: The case.
        findings: On it, each name once.
        outcome: Of reading in order; empty if that did not end.
        num_bytes: Size of the damaged file where there are findings.
    """

    case: Case
    findings: list[Finding]
    outcome: str
    num_bytes: int = 0


def run_cases(
    cases: Iterable[Case],
    folder: Path,
    *,
    jobs: int,
    cpu_seconds: float = CPU_SECONDS,
    memory: int = MEMORY,
) -> Iterator[Result]:
    """Run cases as processes become free.

    Args:
        cases: What to run.
        folder: For the undamaged videos, which are written first, and the damaged ones while they are read.
        jobs: Processes.
        cpu_seconds: Processor time that a case may take.
        memory: Bytes by which it may make its process grow.

    Yields:
        What came of each, as they are done.
    """
    cases, folder = list(cases), folder.absolute()
    for kind in {kind for case in cases for kind in (case.kind, case.appended) if kind is not None}:
        original(kind, folder)
    tasks = [Task(case.number, str(folder), cpu_seconds, memory) for case in cases]
    for task, answer in run_tasks(run_case, tasks, jobs=jobs, timeout=_WALL_PER_CPU * cpu_seconds):
        case = Case.of(task.number)
        report = Report([death_of(task, answer)], {}) if isinstance(answer, Lost) else answer
        outcome = report.outcomes["in order"].outcome if "in order" in report.outcomes else ""
        num_bytes = len(case.make(folder)) if report.findings else 0
        yield Result(case, report.findings, outcome, num_bytes)


def death_of(task: Task, lost: Lost) -> Finding:
    """What a process without an answer means.

    Raises:
        RuntimeError: If it raised: a fault of the tests, where whatever a file leads to is a finding.
    """
    if not lost.reason.startswith(("the process", "reading it took")):
        raise RuntimeError(f"case {task.number}: {lost.reason}")
    stage = task.stage_file.read_text() if task.stage_file.exists() else "before reading"
    task.stage_file.unlink(missing_ok=True)
    name = "crash"
    if lost.reason.endswith(f"(exit status {TOO_MUCH_MEMORY})"):
        name = "memory"
    elif signal.SIGXCPU.name in lost.reason or lost.reason.startswith("reading it took"):
        name = "hang"
    return Finding(name, f"{stage}: {lost.reason}")


def show_progress(results: Iterator[Result], total: int) -> Iterator[Result]:
    """Pass results on; on stderr a bar on a terminal, a line now and then elsewhere."""
    if sys.stderr.isatty():
        yield from tqdm(results, total=total, unit="case", desc="fuzzing", smoothing=0.05)
        return
    begun = said = time.monotonic()
    found = 0
    for done, result in enumerate(results, start=1):
        found += bool(result.findings)
        now = time.monotonic()
        if now - said >= _SAY_EVERY or done == total:
            said = now
            print(f"{done} of {total} cases, {found} with findings, {now - begun:.0f} s", file=sys.stderr)
        yield result


def is_explained(result: Result, finding: Finding) -> bool:
    """Whether it is known why this cannot be helped."""
    return any((kind, finding.name) in EXPLAINED for kind in (ANY, result.case.kind))


def format_tables(results: list[Result], seconds: float) -> str:
    """Findings by kind of file and by damage, then the totals."""
    parts = [
        _table("kind of file", KINDS, [(result.case.kind, result) for result in results]),
        _table("damage", DAMAGES, [(result.case.damage, result) for result in results]),
    ]
    outcomes = Counter(result.outcome for result in results)
    told = ", ".join(f"{outcomes[name]} {name}" for name in OUTCOMES if outcomes[name])
    findings = [(result, finding) for result in results for finding in result.findings]
    explained = sum(is_explained(*pair) for pair in findings)
    parts.append(_list_unexplained(findings))
    parts.append(
        f"{len(results)} cases in {seconds:.0f} s, {len(results) / max(seconds, 1e-9):.1f} a second; "
        f"read in order: {told or 'none'}\n"
        f"{len(findings)} findings, {explained} of them explained, on "
        f"{sum(bool(result.findings) for result in results)} cases\n"
    )
    return "\n".join(parts)


def _list_unexplained(findings: list[tuple[Result, Finding]]) -> str:
    """A line for each finding, kind and damage, with the numbers of the cases."""
    cases: dict[tuple[str, str, str], list[int]] = {}
    for result, finding in findings:
        if not is_explained(result, finding):
            key = finding.name, result.case.kind, result.case.damage
            cases.setdefault(key, []).append(result.case.number)
    ordered = sorted(cases.items(), key=lambda item: (FINDINGS.index(item[0][0]), item[0]))
    return "".join(f"{', '.join(key)}: {' '.join(map(str, sorted(c)))}\n" for key, c in ordered)


def _table(title: str, keys: Iterable[str], results: list[tuple[str, Result]]) -> str:
    """A row for each key that there are results of, a column for each finding that there is; totals last."""
    counts = Counter((key, finding.name) for key, result in results for finding in result.findings)
    names = [name for name in FINDINGS if any(found == name for _, found in counts)]
    cases = Counter(key for key, _ in results)
    rows = [
        {"key": key, "cases": cases[key]} | {name: counts[key, name] for name in names}
        for key in keys
        if cases[key]
    ]
    rows.append(
        {"key": "all", "cases": sum(cases.values())} | {n: sum(row[n] for row in rows) for n in names}
    )
    columns = [Column("key", title), Column("cases", "cases"), *(Column(name, name) for name in names)]
    return to_markdown(rows, columns)


def keep_smallest(results: list[Result], folder: Path, target: Path) -> list[str]:
    """Write the smallest file of each (finding, kind), and how to run its case again."""
    target.mkdir(parents=True, exist_ok=True)
    smallest: dict[tuple[str, str], tuple[Result, Finding]] = {}
    for result in sorted(results, key=lambda result: result.num_bytes):
        for finding in result.findings:
            smallest.setdefault((finding.name, result.case.kind), (result, finding))
    lines = []
    for (name, kind), (result, finding) in sorted(smallest.items()):
        path = target / f"{name.replace(' ', '_')}_{result.case.file_name}"
        path.write_bytes(result.case.make(folder))
        lines.append(
            f"{path}: {name}, {kind}, {result.case.damage}; {finding.detail}; "
            f"again: python tests/fuzz_videos.py --cases 1 --first {result.case.number}"
        )
    return lines
