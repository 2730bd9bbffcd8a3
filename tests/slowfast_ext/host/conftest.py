"""Fake PySlowFasts: folders with the few files that tell main from the wheel."""

import importlib.machinery
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import slowfast_ext.host.find as find_module
from slowfast_ext.host.find import GIT, WHEEL, Installation, find_installation

FILES = {
    GIT: {"build.py": "", "__init__.py": "from .build import build_model, MODEL_REGISTRY  # noqa\n"},
    WHEEL: {"model_builder.py": "", "__init__.py": "# Copyright\n"},
    "neither": {"__init__.py": ""},
}


@pytest.fixture
def put(tmp_path) -> Callable[..., Path]:
    """Write fake PySlowFasts of these kinds into a folder, one over the other as pip does; returns it."""

    def write(folder: str, *kinds: str) -> Path:
        root = (tmp_path / folder).resolve()
        models = root / "slowfast" / "models"
        models.mkdir(parents=True)
        (root / "slowfast" / "__init__.py").write_text("")
        for kind in kinds:
            for name, text in FILES[kind].items():
                (models / name).write_text(text)
        return root

    return write


@pytest.fixture
def look(monkeypatch, tmp_path) -> Callable[..., Installation]:
    """Find a PySlowFast where only these folders are importable; none is in the process before."""
    monkeypatch.delitem(sys.modules, "slowfast", raising=False)
    monkeypatch.delenv("SLOWFAST_HOME", raising=False)
    monkeypatch.setattr(find_module, "OWN_CHECKOUT", tmp_path / "none")
    builtin = importlib.machinery.BuiltinImporter, importlib.machinery.FrozenImporter
    monkeypatch.setattr(sys, "meta_path", [*builtin, importlib.machinery.PathFinder])
    standard = [entry for entry in sys.path if entry.startswith(sys.base_prefix) and "-packages" not in entry]

    def find(*path: Path | str, home: Path | str | None = None) -> Installation:
        monkeypatch.setattr(sys, "path", [*map(str, path), *standard])
        if home is not None:
            monkeypatch.setenv("SLOWFAST_HOME", str(home))
        return find_installation()

    return find
