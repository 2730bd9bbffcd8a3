"""What this machine has, and what is wrong with the packages that are needed; for slowfast_ext.doctor.

Imports nothing that could be missing or broken before `attempt` guards it.
"""

import importlib
import importlib.machinery
import importlib.metadata
import shlex
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from slowfast_ext.version import __version__

T = TypeVar("T")

PROJECT = "vtn-pyslowfast"
# What pip calls them, and what Python does.
_MODULES = {"opencv-python-headless": "cv2", "scikit-learn": "sklearn", "pillow": "PIL", "pyyaml": "yaml"}
_SHOWN_FIRST = "torch torchvision timm transformers av numpy fvcore iopath pytorchvideo detectron2".split()
_EXTRAS = {"": "", "git": "for PySlowFast main"}


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

    @property
    def wanted(self) -> str:
        """What to ask pip for."""
        return self.name + self.needs


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
    for extra in _EXTRAS:  # what is needed comes first
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


def pip_install(*words: str) -> str:
    """The command, for the Python that runs this."""
    return shlex.join([sys.executable, "-m", "pip", "install", *words])


def raised_by(package: Package) -> bool:
    """Whether the error of a broken package comes from its own files, and not from one that it imports."""
    path = _path(package)
    return path is not None and str(path) in package.error


def repair(package: Package) -> str:
    """A command, or words, for a package that is installed and cannot be imported."""
    if package.error.startswith("ModuleNotFoundError"):
        return pip_install(package.wanted)  # also installs what the package itself needs
    home, _ = attempt(lambda: Path(importlib.metadata.distribution(package.name).locate_file("")))
    path = _path(package)
    if path and home and path.parent != home:
        return f"take {path} out of Python's way: it hides the {package.name} in {home}"
    return pip_install("--force-reinstall", "--no-deps", package.wanted)


def _path(package: Package) -> Path | None:
    """The folder or file that `import` takes."""
    spec, _ = attempt(lambda: importlib.machinery.PathFinder.find_spec(_module(package.name)))
    if spec is None or not spec.origin:
        return None
    path = Path(spec.origin)
    return path.parent if path.stem == "__init__" else path


def read_machine() -> dict[str, str]:
    """This project, Python, FFmpeg and GPUs, in words; torch and av are imported, which alone know."""

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

    found = {PROJECT: f"{__version__}, in {Path(__file__).parent}"}
    found |= {"Python": f"{sys.version.split()[0]}, {sys.executable}"}
    for name, read in (("FFmpeg", ffmpeg), ("CUDA", cuda)):
        text, error = attempt(read)
        found[name] = text or f"not known: {error}"
    return found
