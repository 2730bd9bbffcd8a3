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
import sys
import textwrap
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slowfast_ext.doctor_packages import (
    PROJECT,
    Package,
    attempt,
    find_packages,
    pip_install,
    read_requirements,
    repair,
)

_TESTED_COMMIT = "287ec00"
_CLONE = ("git clone https://github.com/facebookresearch/SlowFast", 'export SLOWFAST_HOME="$PWD/SlowFast"')


@dataclass(frozen=True)
class Finding:
    """Something that does not work, and why."""

    name: str
    cause: str


@dataclass(frozen=True)
class Task:
    """What the user must do: what is wrong, and commands that help; lines that begin with "or" are words."""

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


def read_machine() -> dict[str, str]:
    """Python, FFmpeg and GPUs, in words; torch and av are imported, which alone know."""

    def ffmpeg() -> str:
        import av

        return "libavcodec " + ".".join(map(str, av.library_versions["libavcodec"])) + ", in PyAV"

    def cuda() -> str:
        import torch

        built = torch.version.cuda or torch.version.hip
        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("always")
            gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if gpus:
            return f"{built}, with " + ", ".join(torch.cuda.get_device_name(gpu) for gpu in range(gpus))
        why = f"torch is built for CUDA {built} but sees no GPU" if built else "torch is built without it"
        return f"no, {why}" + "".join(f"; {' '.join(str(note.message).split())}" for note in notes[:1])

    found = {"Python": f"{sys.version.split()[0]}, {sys.executable}"}
    for name, read in (("FFmpeg", ffmpeg), ("CUDA", cuda)):
        text, error = attempt(read)
        found[name] = text or f"not known: {error}"
    return found


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
    if attempt(lambda: importlib.import_module("torchvision.io").video.write_video)[1]:
        what = "slowfast.utils.misc.plot_input_normed(output_video=True), for VIS_MASK.ENABLE True"
        found.append(Finding(what, "this torchvision has no torchvision.io.video.write_video"))
    return tuple(found)


def find_tasks(slowfast: Slowfast, packages: Iterable[Package], import_error: str) -> list[Task]:
    """What the user must do about the packages and PySlowFast; a cause that explains another is said once."""
    tasks = []
    wrong = [package for package in packages if package.problem and package.problem != "BROKEN"]
    if wrong:
        names = ", ".join(f"{package.name} ({package.problem.lower()})" for package in wrong)
        tasks.append(Task(f"Packages are needed: {names}", (pip_install(wrong),)))
    for package in packages:
        if package.problem == "BROKEN":
            what = f"{package.name} {package.version} cannot be imported: {package.error}"
            tasks.append(Task(what, (repair(package),)))
    error = slowfast.error or import_error
    if not error or any(package.error == error for package in packages):
        return tasks
    if slowfast.kind:
        return [*tasks, _task_of_import(slowfast, error)]
    if os.environ.get("SLOWFAST_HOME"):
        commands = (*_CLONE, "or, to use the PySlowFast that is installed:", "unset SLOWFAST_HOME")
    elif "not installed" in error:
        commands = (f"{sys.executable} -m pip install pyslowfast==1.0", "or:", *_CLONE)
    else:
        commands = ()  # the sentence has it
    return [*tasks, Task(error, commands)]


def _task_of_import(slowfast: Slowfast, error: str) -> Task:
    commands = ()
    if slowfast.kind == "wheel":
        again = "-m pip install --force-reinstall --no-deps pyslowfast==1.0"
        commands = (f"{sys.executable} {again}",)
    elif slowfast.tools and not slowfast.version.startswith(_TESTED_COMMIT):
        commands = (f"git -C {slowfast.root} checkout {_TESTED_COMMIT}",)
    return Task(f"{slowfast.description} cannot be used: {error}", commands)
