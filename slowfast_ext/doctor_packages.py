"""Which packages this machine has, and what is wrong with those that are needed; for slowfast_ext.doctor.

Imports nothing that could be missing or broken before `attempt` guards it.
"""

import importlib
import importlib.machinery
import importlib.metadata
import shlex
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

PROJECT = "vtn-pyslowfast"
# What pip calls them, and what Python does.
_MODULES = {"opencv-python-headless": "cv2", "scikit-learn": "sklearn", "pillow": "PIL", "pyyaml": "yaml"}
_SHOWN_FIRST = "torch torchvision timm transformers av numpy fvcore iopath pytorchvideo detectron2".split()
_EXTRAS = {"": "", "git": "for PySlowFast main", "transformers": "for VTN.SEQUENCE_ENCODER"}


@dataclass(frozen=True)
class Package:
    """A package as it was found.

    Attributes:
        name: As pip knows it.
        version: None where it is not installed, "unknown" where it does not tell.
        needs: Versions that will do, such as ">=2.6"; "" is any.
        problem: In a word or two; "" where nothing is wrong, and where nothing needs it.
        error: Why it cannot be imported; only packages that are needed are tried.
        remark: What one that is not needed is for.
    """

    name: str
    version: str | None
    needs: str = ""
    problem: str = ""
    error: str = ""
    remark: str = ""


def attempt(action: Callable[[], T]) -> tuple[T | None, str]:
    """What `action` returns and "", or None and why it failed, in one line.

    A broken package may raise anything, SystemExit too; only Ctrl-C is let through.
    """
    try:
        return action(), ""
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        while error.__cause__ is not None:
            error = error.__cause__
        text = " ".join(str(error).split())
        if type(error).__name__ == "InputError":  # a sentence; the class itself may not be importable
            return None, text
        # The last line of a file: importlib's own are none, and a missing module says enough by its name.
        files = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename[0] != "<"]
        where = f" ({files[-1].filename}, line {files[-1].lineno})"
        return None, f"{type(error).__name__}: {text}" + where * (not isinstance(error, ModuleNotFoundError))


def read_requirements(kind: str) -> dict[str, tuple[str, str]]:
    """What the metadata asks for: this project's, and the wheel's where that is used.

    Args:
        kind: "wheel", "git", or "" where there is no PySlowFast.

    Returns:
        By name: versions that will do, and the extra that asks ("" is for everybody). A package that several
        ask for is in it once, needed if one of them is.

    Raises:
        PackageNotFoundError: This project has no metadata: it is not installed.
        ModuleNotFoundError: Package `packaging`, which reads metadata, is missing.
    """
    from packaging.requirements import Requirement

    lines = [*(importlib.metadata.requires(PROJECT) or ())]
    if kind == "wheel":
        lines += attempt(lambda: importlib.metadata.requires("pyslowfast"))[0] or ()
    found: dict[str, tuple[str, str]] = {}
    for extra in sorted(_EXTRAS, key=lambda extra: extra not in ("", kind)):
        for entry in map(Requirement, lines):
            asks = entry.marker.evaluate({"extra": extra}) if entry.marker else not extra
            if asks and entry.name != "pyslowfast":  # which is found otherwise
                found.setdefault(entry.name, (str(entry.specifier), extra))
    return found


def find_packages(requirements: dict[str, tuple[str, str]], kind: str) -> tuple[Package, ...]:
    """Look for what is asked for and for what can be of use, the well-known first.

    Args:
        requirements: As `read_requirements` returns them.
        kind: "wheel", "git", or "" where there is no PySlowFast.
    """
    found = []
    for name in dict.fromkeys((*_SHOWN_FIRST, *requirements)):
        needs, extra = requirements.get(name, ("", None))
        if extra in ("", kind):
            found.append(_find_needed(name, needs))
        else:
            found.append(_find_optional(name, needs, _EXTRAS.get(extra, "optional")))
    return tuple(found)


def _find_needed(name: str, needs: str) -> Package:
    version, _ = attempt(lambda: importlib.metadata.version(name))
    module, error = attempt(lambda: importlib.import_module(_module(name)))
    if module is not None:  # installed under another name, such as opencv-python
        version = version or str(getattr(module, "__version__", "unknown"))
    problem = "MISSING" if version is None else "BROKEN" if error else ""
    if version and not _satisfies(version, needs):
        problem = "TOO OLD" if needs.startswith(">=") else "WRONG VERSION"
    return Package(name, version, needs, problem, error)


def _find_optional(name: str, needs: str, remark: str) -> Package:
    version, _ = attempt(lambda: importlib.metadata.version(name))
    if version is None:  # PathFinder does not see the stand-ins that the bridge puts into sys.modules
        spec, _ = attempt(lambda: importlib.machinery.PathFinder.find_spec(_module(name)))
        version = "unknown" if spec else None
    return Package(name, version, needs, remark=remark)


def _module(name: str) -> str:
    return _MODULES.get(name.lower(), name.replace("-", "_"))


def _satisfies(version: str, needs: str) -> bool:
    if not needs or version == "unknown":
        return True
    from packaging.specifiers import SpecifierSet

    satisfied, error = attempt(lambda: SpecifierSet(needs).contains(version, prereleases=True))
    return bool(satisfied) or bool(
        error
    )  # a version that is none, such as a build's own name, is let through


def pip_install(packages: Iterable[Package], *options: str) -> str:
    """The command, for the Python that runs this."""
    wanted = [package.name + package.needs for package in packages]
    return shlex.join([sys.executable, "-m", "pip", "install", *options, *wanted])


def repair(package: Package) -> str:
    """A command, or words, for a package that is installed and cannot be imported."""
    if package.error.startswith("ModuleNotFoundError"):
        return pip_install([package])  # also installs what the package itself needs
    spec, _ = attempt(lambda: importlib.machinery.PathFinder.find_spec(_module(package.name)))
    folder = next(iter(spec.submodule_search_locations or ()), spec.origin) if spec else None
    home, _ = attempt(lambda: str(importlib.metadata.distribution(package.name).locate_file("").resolve()))
    if folder and home and not folder.startswith(home):
        return f"take {folder} out of Python's way: it hides the {package.name} in {home}"
    return pip_install([package], "--force-reinstall", "--no-deps")
