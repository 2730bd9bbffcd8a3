"""What slowfast_ext.doctor finds on a machine: packages as they are, and what is wrong with them."""

import importlib
import importlib.machinery
import sys
from pathlib import Path

import pytest
import torch

from slowfast_ext import doctor_machine
from slowfast_ext.doctor_machine import Package, attempt, find_packages, read_requirements
from vtn.errors import InputError

PIP = f"{sys.executable} -m pip install"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a package where Python and importlib.metadata find it, without pip."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, version: str | None, code: str = "", requires: tuple[str, ...] = ()) -> Path:
        module = tmp_path / name.replace("-", "_")
        module.mkdir()
        (module / "__init__.py").write_text(code)
        if version:
            info = tmp_path / f"{module.name}-{version}.dist-info"
            info.mkdir()
            lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {line}" for line in requires)]
            (info / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")
        importlib.invalidate_caches()
        return module

    yield write
    for path in tmp_path.iterdir():
        sys.modules.pop(path.name, None)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("wheel", {"aa": (">=1.0", ""), "yy": (">=0.1.6", ""), "bb": (">=3", "git")}),
        ("git", {"aa": (">=1.0", ""), "bb": (">=3", "git")}),
        ("", {"aa": (">=1.0", ""), "bb": (">=3", "git")}),
    ],
)
def test_what_is_needed_is_read_from_metadata(install, kind, expected):
    git = ['bb>=3; extra == "git"', 'aa>=9; extra == "git"', 'cc>=1; extra == "test"']
    install("vtn-pyslowfast", "1.0", requires=("aa>=1.0", "pyslowfast==1.0", *git))
    install("pyslowfast", "1.0", requires=("yy (>=0.1.6)",))
    assert read_requirements(kind) == expected


def test_each_package_as_it_is(install, tmp_path):
    install("vtn-test-fine", "1.10", "__version__ = 'not this one'")
    install("vtn-test-old", "1.9")  # 1.9 sorts behind 1.10 as text
    install("vtn-test-other", "2.0")
    install("vtn-test-bare", None, "__version__ = '4.5'")
    install("vtn-test-broken", "1.0", "raise SystemExit('no\\nlibrary')")
    install("vtn-test-extra", "1.0", "raise AssertionError('optional packages are not imported')")
    wanted = {
        "vtn-test-fine": (">=1.10", ""),
        "vtn-test-old": (">=1.10", ""),
        "vtn-test-other": ("==1.0", ""),
        "vtn-test-bare": (">=4", ""),
        "vtn-test-broken": ("", ""),
        "vtn-test-nowhere": (">=1", ""),
        "vtn-test-extra": (">=2", "git"),
        "vtn-test-nothing": (">=2", "git"),
    }
    found = {package.name: package for package in find_packages(wanted, "wheel")}
    lines = {name: (found[name].version, found[name].problem, found[name].remark) for name in wanted}
    assert lines == {
        "vtn-test-fine": ("1.10", "", ""),
        "vtn-test-old": ("1.9", "TOO OLD", ""),
        "vtn-test-other": ("2.0", "WRONG VERSION", ""),
        "vtn-test-bare": ("4.5", "", ""),
        "vtn-test-broken": ("1.0", "BROKEN", ""),
        "vtn-test-nowhere": (None, "MISSING", ""),
        "vtn-test-extra": ("1.0", "", "for PySlowFast main"),
        "vtn-test-nothing": (None, "", "for PySlowFast main"),
    }
    broken = tmp_path / "vtn_test_broken" / "__init__.py"
    assert found["vtn-test-broken"].error == f"SystemExit: no library ({broken}, line 1)"
    assert found["vtn-test-nowhere"].error == "ModuleNotFoundError: No module named 'vtn_test_nowhere'"
    needed = {package.name: package for package in find_packages(wanted, "git")}
    assert (needed["vtn-test-extra"].problem, needed["vtn-test-nothing"].problem) == ("TOO OLD", "MISSING")


def test_a_stand_in_is_not_taken_for_detectron2(monkeypatch):
    if importlib.machinery.PathFinder.find_spec("detectron2"):
        pytest.skip("detectron2 is installed")
    monkeypatch.setitem(sys.modules, "detectron2", type(sys)("detectron2"))
    found = {package.name: package.version for package in find_packages({}, "git")}
    assert found["detectron2"] is None


def test_a_failure_is_told_by_its_first_cause():
    def fail():
        try:
            raise OSError("the\n  cause")
        except OSError as error:
            raise InputError("what followed") from error

    line = fail.__code__.co_firstlineno + 2
    assert attempt(fail) == (None, f"OSError: the cause ({__file__}, line {line})")


def test_a_sentence_is_left_as_it_is():
    def fail():
        raise InputError("b.mp4: no such file")

    assert attempt(fail) == (None, "b.mp4: no such file")


def test_interruption_is_let_through():
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(interrupt)


def test_repair_of_what_hides_an_installed_package(install, tmp_path, monkeypatch):
    hidden = tmp_path / "elsewhere"
    (hidden / "vtn_test_hidden").mkdir(parents=True)
    (hidden / "vtn_test_hidden" / "__init__.py").touch()
    install("vtn-test-hidden", "1.0")
    package = Package("vtn-test-hidden", "1.0", ">=1", "BROKEN", "RuntimeError: no (file, line 1)")
    assert doctor_machine.repair(package) == f"{PIP} --force-reinstall --no-deps 'vtn-test-hidden>=1'"
    monkeypatch.syspath_prepend(str(hidden))
    assert doctor_machine.repair(package).startswith(f"take {hidden / 'vtn_test_hidden'} out of Python's way")
    lacks = Package("vtn-test-hidden", "1.0", ">=1", "BROKEN", "ModuleNotFoundError: No module named 'x'")
    assert doctor_machine.repair(lacks) == f"{PIP} 'vtn-test-hidden>=1'"


def test_the_package_that_raises_is_told_from_those_that_import_it(install):
    inner = install("vtn-test-inner", "1.0", "raise OSError('no library')")
    install("vtn-test-outer", "1.0", "import vtn_test_inner")
    names = ("vtn-test-outer", "vtn-test-inner")
    found = [
        package for package in find_packages(dict.fromkeys(names, ("", "")), "") if package.name in names
    ]
    assert {package.error for package in found} == {f"OSError: no library ({inner / '__init__.py'}, line 1)"}
    assert [doctor_machine.raised_by(package) for package in found] == [False, True]


@pytest.mark.parametrize("gpus", [["NVIDIA A", "NVIDIA B"], []])
def test_gpus(monkeypatch, gpus):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(gpus))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(gpus))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda gpu: gpus[gpu])
    expected = "13.0, with NVIDIA A, NVIDIA B" if gpus else "no, torch is built for CUDA 13.0 but sees no GPU"
    assert doctor_machine.read_machine()["CUDA"] == expected
