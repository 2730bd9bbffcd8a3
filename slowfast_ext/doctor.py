"""What is installed on this machine, what is broken in it, what the bridge cures and what it cannot.

For everybody who uses PySlowFast, with VTN or without. Whatever is missing or broken belongs in the report
and must not end it, so nothing that could be is imported before `attempt` guards it.
"""

import argparse
import contextlib
import dataclasses
import importlib
import json
import os
import shlex
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slowfast_ext.doctor_machine import (
    PROJECT,
    Package,
    attempt,
    find_packages,
    pip_install,
    raised_by,
    read_machine,
    read_requirements,
    repair,
)
from slowfast_ext.typed import as_typed
from slowfast_ext.version import __version__

_TESTED_COMMIT = "287ec00"
_WHEEL = f"{PROJECT.replace('-', '_')}-{__version__}-py3-none-any.whl"  # the file that pip has installed
_CLONE = ("git clone https://github.com/facebookresearch/SlowFast", 'export SLOWFAST_HOME="$PWD/SlowFast"')


@dataclass(frozen=True)
class Finding:
    """Something that does not work, and why."""

    name: str
    cause: str


@dataclass(frozen=True)
class Task:
    """What the user must do: what is wrong, and commands that help; lines with "or" are words."""

    problem: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Slowfast:
    """The PySlowFast in use; `kind` is "wheel", "git" or, where none can be used, "" with the reason."""

    kind: str = ""
    description: str = ""
    root: str = ""
    version: str = ""
    tools: str = ""
    unused: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Report:
    """All that was found; `ok` is whether `tasks` is empty."""

    ok: bool
    slowfast: Slowfast
    machine: dict[str, str]
    packages: tuple[Package, ...]
    cured: tuple[Finding, ...]
    needless: tuple[Finding, ...]
    not_cured: tuple[Finding, ...]
    tasks: tuple[Task, ...]


def find_slowfast() -> Slowfast:
    """Find the PySlowFast that the bridge would use."""

    def find() -> Any:
        from slowfast_ext.host.find import find_installation

        return find_installation()

    found, error = attempt(find)
    if found is None:
        return Slowfast(error=error)
    return Slowfast(
        found.kind,
        found.description,
        str(found.root),
        found.version,
        str(found.tools or ""),
        tuple(map(str, found.unused)),
    )


def import_slowfast() -> str:
    """Import and cure PySlowFast and register VTN in it; returns why that failed, or ""."""

    def register() -> None:
        import slowfast_ext

        slowfast_ext.register()

    return attempt(register)[1]


def read_cures() -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """What was broken and is cured in this process, and what was looked for and found in order."""

    def read() -> tuple[tuple[Finding, ...], ...]:
        from slowfast_ext.host.cures import applied_cures, needless_cures

        lists = applied_cures(), needless_cures()
        return tuple(tuple(Finding(cure.name, cure.cause) for cure in cures) for cures in lists)

    return attempt(read)[0] or ((), ())


def find_not_cured(kind: str, packages: Iterable[Package]) -> tuple[Finding, ...]:
    """What does not work in this PySlowFast, whether slowfast_ext is imported or not."""
    if kind == "wheel":
        return (
            Finding("DETECTION.ENABLE True (AVA)", "its evaluation uses numpy.float, gone since NumPy 1.24"),
            Finding(
                "slowfast.utils.distributed.is_master_proc(0)",
                "NUM_GPUS 0 in several processes: divides by the number of GPUs",
            ),
        )
    if kind != "git":
        return ()
    found = [
        Finding(
            "TENSORBOARD.MODEL_VIS, TENSORBOARD.WRONG_PRED_VIS (tools/visualization.py)",
            "any version: unpack four of the five things that its data sets return",
        ),
        Finding("configs/Kinetics/c2/C2D_NOPOOL_8x8_R50.yaml", "no model is named ResNet_nopool"),
        Finding("configs/ImageNet/RES_R50.yaml", "ResNet wants a time axis, which these images do not have"),
        Finding(
            "configs/Kinetics/REV_MVIT_B_16x4_CONV.yaml",
            "reversible models take no CLS token: add MVIT.CLS_EMBED_ON False",
        ),
    ]
    if any(package.name == "detectron2" and package.version is None for package in packages):
        what = "DETECTION.ENABLE True (AVA), DEMO.ENABLE True (tools/demo_net.py)"
        found.insert(0, Finding(what, "need detectron2: https://github.com/facebookresearch/detectron2"))
    _, error = attempt(lambda: importlib.import_module("torchvision.io").video.write_video)
    if error.startswith("AttributeError"):
        what = "slowfast.utils.misc.plot_input_normed(output_video=True), for VIS_MASK.ENABLE True"
        found.append(Finding(what, "this torchvision has no torchvision.io.video.write_video"))
    return tuple(found)


def find_tasks(slowfast: Slowfast, packages: Iterable[Package], import_error: str) -> list[Task]:
    """What the user must do about the packages and PySlowFast; a cause that explains another is said once."""
    tasks = []
    wrong = [package for package in packages if package.problem and package.problem != "BROKEN"]
    if wrong:
        names = ", ".join(f"{package.name} ({package.problem.lower()}{_why(package)})" for package in wrong)
        command = pip_install(*(package.wanted for package in wrong))
        tasks.append(Task(f"Packages are needed: {names}", (command,)))
    said = {package.error for package in wrong} - {""}
    broken = [package for package in packages if package.problem == "BROKEN"]
    for package in sorted(broken, key=raised_by, reverse=True):
        if package.error not in said:
            said.add(package.error)
            what = f"{package.name} {package.version} cannot be imported: {package.error}"
            tasks.append(Task(what, (repair(package),)))
    error = slowfast.error or import_error
    if not error or error in said:
        return tasks
    if slowfast.kind:
        return [*tasks, _task_of_import(slowfast, error)]
    if os.environ.get("SLOWFAST_HOME"):
        commands = (*_CLONE, "or, for the PySlowFast that is installed, if one is:", "unset SLOWFAST_HOME")
    elif "not installed" in error:
        commands = (pip_install("pyslowfast==1.0"), "or:", *_CLONE)
    else:
        commands = ()  # the sentence has it
    return [*tasks, Task(error, commands)]


def _why(package: Package) -> str:
    """Why an older version will not do, where that is more than a missing function."""
    if package.name == "torch" and package.problem == "TOO OLD":
        return "; before 2.10 a checkpoint can run code in spite of weights_only=True, CVE-2026-24747"
    return ""


def _task_of_import(slowfast: Slowfast, error: str) -> Task:
    commands = ()
    if slowfast.kind == "wheel" and "slowfast" in error:
        commands = (pip_install("--force-reinstall", "--no-deps", "pyslowfast==1.0"),)
    elif slowfast.tools and not slowfast.version.startswith(_TESTED_COMMIT):
        commands = (shlex.join(["git", "-C", slowfast.root, "checkout", _TESTED_COMMIT]),)
    return Task(f"{slowfast.description} cannot be used: {error}", commands)


def _task_of_metadata(kind: str, requirements: dict[str, tuple[str, str]], error: str) -> list[Task]:
    """What to do where it is not known which packages are needed."""
    if "packaging" in error:
        return [Task("Package packaging is needed to read which others are", (pip_install("packaging"),))]
    project = Path(__file__).resolve().parents[1]
    extra = "[git]" if kind == "git" else ""
    if (project / "setup.py").is_file():  # a checkout
        install = (pip_install("-e", f"{project}{extra}"),)
    else:
        install = (pip_install(f"{_WHEEL}{extra}"),)
    if error:
        return [Task(f"{PROJECT} is not installed, so the packages that it needs are not known", install)]
    if kind == "git" and all(extra != "git" for _, extra in requirements.values()):
        return [Task(f"{PROJECT} was installed before it knew what PySlowFast main needs", install)]
    return []


def examine() -> Report:
    """Look at everything; imports PySlowFast and cures it in this process."""
    slowfast = find_slowfast()
    import_error = "" if slowfast.error else import_slowfast()
    cured, needless = read_cures()
    requirements, metadata_error = attempt(lambda: read_requirements(slowfast.kind))
    packages = find_packages(requirements or {}, slowfast.kind)
    tasks = _task_of_metadata(slowfast.kind, requirements or {}, metadata_error)
    tasks += find_tasks(slowfast, packages, import_error if import_error != metadata_error else "")
    not_cured = find_not_cured(slowfast.kind, packages)
    return Report(not tasks, slowfast, read_machine(), packages, cured, needless, not_cured, tuple(tasks))


def format_report(report: Report) -> str:
    """The report as a person reads it."""
    slowfast = report.slowfast
    lines = ["Found", _row("PySlowFast", slowfast.description or "none that can be used, see below")]
    lines += [_row("not used", f"PySlowFast in {root}") for root in slowfast.unused]
    if slowfast.kind:
        lines.append(_row("its train and test", slowfast.tools or "none: those of slowfast_ext are used"))
    lines += [_row(name, text) for name, text in report.machine.items()]
    for package in report.packages:
        needs = f"needs {package.needs}" if package.needs else ""
        remarks = ", ".join(filter(None, (package.problem, package.remark, needs)))
        lines.append(_row(package.name, f"{package.version or 'not installed':<21} {remarks}".rstrip()))
    lines += ["", "Broken, and cured in memory by slowfast_ext.register() before slowfast is imported"]
    lines += _list(report.cured, "Nothing." if slowfast.kind else "Not looked for.")
    if report.needless:
        names = ", ".join(finding.name for finding in report.needless)
        lines += _wrapped(f"Looked for and found in order: {names}", "  ")
    lines += ["", "Not cured"]
    lines += _list(report.not_cured, "Nothing that is known." if slowfast.kind else "Not looked for.")
    lines += ["", "What you must do" if report.tasks else "Nothing to do."]
    for number, task in enumerate(report.tasks, start=1):
        lines += _wrapped(f"{number}. {task.problem}", "  ", "     ")
        lines += [f"       {command}" for command in task.commands]
    return "\n".join(lines)


def _row(name: str, text: str) -> str:
    return f"  {name:<23} {text}"


def _list(findings: Iterable[Finding], nothing: str) -> list[str]:
    lines = []
    for finding in findings:
        lines += [f"  {finding.name}", *_wrapped(finding.cause, "      ")]
    return lines or [f"  {nothing}"]


def _wrapped(text: str, first: str, rest: str | None = None) -> list[str]:
    rest = first if rest is None else rest
    options = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.wrap(text, 110, initial_indent=first, subsequent_indent=rest, **options)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog=as_typed("doctor"),
        description="Say which PySlowFast and packages are on this machine, what is broken in them, what is "
        "cured in memory by slowfast_ext.register(), what is not, and what you must do.",
        epilog="Exit code: 0, everything that is needed works; 1, there is something that you must do; "
        "2, unknown argument.",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text, same exit code")
    args = parser.parse_args(argv)
    with contextlib.redirect_stdout(sys.stderr):  # what packages print while they are imported
        report = examine()
    sys.stdout.reconfigure(errors="backslashreplace")  # a folder's name may not suit the terminal
    print(json.dumps(dataclasses.asdict(report), indent=2) if args.json else format_report(report))
    return 0 if report.ok else 1


if __name__ == "__main__":
    from slowfast_ext.cli import run_command  # answers Ctrl-C in one line

    run_command("doctor")
