"""`python -m slowfast_ext.doctor`: what it finds, what it asks for, and that nothing broken ends it."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from slowfast_ext import doctor
from slowfast_ext.doctor import Finding, Report, Slowfast, Task, find_tasks
from slowfast_ext.doctor_machine import Package
from slowfast_ext.host import get_host
from vtn.errors import InputError

PIP = f"{sys.executable} -m pip install"
CHECKOUT = os.environ.get("SLOWFAST_HOME", "")
KIND = get_host().NAME
needs_checkout = pytest.mark.skipif(not CHECKOUT, reason="SLOWFAST_HOME names no checkout of PySlowFast main")


GIT = Slowfast("git", "PySlowFast main, commit 1234567, in /s", "/s", "1234567", "/s/tools")


def test_each_cause_is_said_once():
    missing = "ModuleNotFoundError: No module named 'pandas'"
    packages = [
        Package("pandas", None, ">=2.0", "MISSING", missing),
        Package("scikit-learn", "1.5", ">=1.3", "BROKEN", missing),
        Package("timm", "0.9", ">=1.0", "TOO OLD"),
        Package("detectron2", None, remark="optional"),
    ]
    assert find_tasks(GIT, packages, missing) == [
        Task("Packages are needed: pandas (missing), timm (too old)", (f"{PIP} 'pandas>=2.0' 'timm>=1.0'",))
    ]


def test_pyslowfast_that_cannot_be_imported():
    problem = "PySlowFast main, commit 1234567, in /s cannot be used: OSError: no"
    assert find_tasks(GIT, [], "OSError: no") == [Task(problem, ("git -C /s checkout 287ec00",))]
    wheel = Slowfast("wheel", "PySlowFast 1.0 from PyPI", "/p", "1.0")
    assert find_tasks(wheel, [], "ModuleNotFoundError: No module named 'x'")[0].commands == ()
    (task,) = find_tasks(wheel, [], "SyntaxError: no (/p/slowfast/models/losses.py, line 3)")
    assert task.commands == (f"{PIP} --force-reinstall --no-deps pyslowfast==1.0",)


def test_no_pyslowfast(monkeypatch):
    monkeypatch.delenv("SLOWFAST_HOME", raising=False)
    (task,) = find_tasks(Slowfast(error="PySlowFast is not installed: type this"), [], "")
    assert task.problem == "PySlowFast is not installed: type this"
    assert task.commands[0] == f"{PIP} pyslowfast==1.0"
    assert 'export SLOWFAST_HOME="$PWD/SlowFast"' in task.commands


def test_nothing_to_do():
    assert find_tasks(GIT, [Package("torch", "2.9", ">=2.6")], "") == []


def test_report_as_a_person_reads_it():
    report = Report(
        ok=False,
        slowfast=Slowfast("wheel", "PySlowFast 1.0 from PyPI", "/p", "1.0", "", ("/q",)),
        machine={"Python": "3.11"},
        packages=(
            Package("torch", "2.0", ">=2.6", "TOO OLD"),
            Package("detectron2", None, remark="optional"),
        ),
        cured=(Finding("slowfast.a", "any version: b"),),
        needless=(Finding("slowfast.c", "d"), Finding("slowfast.e", "f")),
        not_cured=(),
        tasks=(Task("torch is old", ("pip install torch",)),),
    )
    assert doctor.format_report(report).splitlines() == [
        "Found",
        "  PySlowFast              PySlowFast 1.0 from PyPI",
        "  not used                PySlowFast in /q",
        "  its train and test      none: those of slowfast_ext are used",
        "  Python                  3.11",
        "  torch                   2.0                   TOO OLD, needs >=2.6",
        "  detectron2              not installed         optional",
        "",
        "Broken, and cured in memory by slowfast_ext.register() before slowfast is imported",
        "  slowfast.a",
        "      any version: b",
        "  Looked for and found in order: slowfast.c, slowfast.e",
        "",
        "Not cured",
        "  Nothing that is known.",
        "",
        "What you must do",
        "  1. torch is old",
        "       pip install torch",
    ]


def run(*options: str, path: Path | None = None, **environment: str) -> subprocess.CompletedProcess:
    variables = {**os.environ, **environment}
    # A package of the working folder would hide one of PYTHONPATH, so the doctor runs elsewhere.
    entries = [*([str(path)] if path else []), *(entry for entry in sys.path if entry)]
    variables["PYTHONPATH"] = os.pathsep.join(entries)
    command = [sys.executable, "-m", "slowfast_ext.doctor", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=variables, cwd="/")


def test_this_machine():
    result = run("--json")
    report = json.loads(result.stdout)
    assert "Traceback" not in result.stderr
    assert result.returncode == (0 if report["ok"] else 1)
    assert report["ok"] == (not report["tasks"])
    assert report["slowfast"]["kind"] == KIND
    versions = {package["name"]: package["version"] for package in report["packages"]}
    assert versions["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert "slowfast.utils.metrics.topks_correct" in {cure["name"] for cure in report["cured"]}
    if CHECKOUT:
        git = ["git", "-C", CHECKOUT, "rev-parse", "HEAD"]
        # Of a checkout without .git, such as a downloaded ZIP, no commit is known.
        head = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
        assert (report["slowfast"]["version"], report["slowfast"]["root"]) == (
            head,
            str(Path(CHECKOUT).resolve()),
        )


def test_home_that_points_nowhere():
    result = run(SLOWFAST_HOME="/nonexistent")
    assert (result.returncode, "Traceback" in result.stderr) == (1, False)
    assert "SLOWFAST_HOME is '/nonexistent'" in result.stdout
    assert "\n       unset SLOWFAST_HOME" in result.stdout
    assert result.stdout.count("Not looked for.") == 2


@pytest.mark.slow
def test_pyslowfast_that_raises(tmp_path):
    pytest.importorskip("pytorchvideo", reason="main's own packages, the extra `git`, are not installed")
    package = tmp_path / "slowfast"
    (package / "models").mkdir(parents=True)
    (package / "models" / "build.py").touch()
    (package / "__init__.py").write_text("\nraise OSError('libxyz.so.1 is missing')\n")
    result = run(SLOWFAST_HOME=str(tmp_path))
    assert (result.returncode, "Traceback" in result.stderr) == (1, False)
    text = " ".join(result.stdout.split())
    assert f"cannot be used: OSError: libxyz.so.1 is missing ({package / '__init__.py'}, line 2)" in text


@pytest.mark.slow
def test_package_that_raises(tmp_path):
    (tmp_path / "simplejson.py").write_text("raise RuntimeError('half an installation')")
    result = run("--json", path=tmp_path)
    report = json.loads(result.stdout)
    assert (result.returncode, "Traceback" in result.stderr) == (1, False)
    problems = [task["problem"] for task in report["tasks"]]
    cause = f"RuntimeError: half an installation ({tmp_path / 'simplejson.py'}, line 1)"
    assert any(problem.endswith(cause) for problem in problems)
    assert sum(cause in problem for problem in problems) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch", "av"])
def test_package_that_slowfast_ext_itself_imports_raises(tmp_path, name):
    (tmp_path / f"{name}.py").write_text("raise RuntimeError('half an installation')")
    result = run(path=tmp_path)
    assert (result.returncode, "Traceback" in result.stderr) == (1, False)
    assert f"RuntimeError: half an installation ({tmp_path / name}.py" in " ".join(result.stdout.split())


def test_unknown_argument():
    with pytest.raises(SystemExit, match="2"):
        doctor.main(["--nonsense"])


def test_help_tells_the_exit_codes(capsys):
    with pytest.raises(SystemExit, match="0"):
        doctor.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "0, everything that is needed works; 1, there is something that you must do" in text


def names_of_not_cured(kind: str, detectron2: str | None) -> str:
    return " ".join(
        finding.name for finding in doctor.find_not_cured(kind, [Package("detectron2", detectron2)])
    )


def test_not_cured_is_of_the_pyslowfast_that_was_found():
    assert names_of_not_cured("", None) == ""
    assert "is_master_proc" in names_of_not_cured("wheel", None)
    assert "configs/" not in names_of_not_cured("wheel", None)
    assert "demo_net" in names_of_not_cured("git", None)
    assert "demo_net" not in names_of_not_cured("git", "0.6")


@pytest.mark.skipif(KIND != "wheel", reason="claims about the wheel")
def test_what_is_not_cured_in_the_wheel_does_not_work(monkeypatch):
    import numpy as np
    from slowfast.utils import distributed
    from slowfast.utils.ava_evaluation import metrics

    with pytest.raises(AttributeError, match="float"):
        metrics.compute_average_precision(np.array([1.0, 0.5]), np.array([0.5, 1.0]))
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed.dist, "get_rank", lambda: 0)
    with pytest.raises(ZeroDivisionError):
        distributed.is_master_proc(0)


def main_model(name: str, *overrides):
    from slowfast.config.defaults import assert_and_infer_cfg, get_cfg
    from slowfast.models import build_model

    cfg = get_cfg()
    cfg.merge_from_file(f"{CHECKOUT}/configs/{name}.yaml")
    cfg.merge_from_list(["NUM_GPUS", 0, *overrides])
    return build_model(assert_and_infer_cfg(cfg))


@needs_checkout
def test_what_is_not_cured_in_main_does_not_work(tmp_path):
    from slowfast.utils import misc

    with pytest.raises(KeyError, match="ResNet_nopool"):
        main_model("Kinetics/c2/C2D_NOPOOL_8x8_R50")
    with pytest.raises(AssertionError):
        main_model("Kinetics/REV_MVIT_B_16x4_CONV")
    main_model("Kinetics/REV_MVIT_B_16x4_CONV", "MVIT.CLS_EMBED_ON", False)
    with pytest.raises(RuntimeError, match="channels"):
        main_model("ImageNet/RES_R50")([torch.zeros(2, 3, 224, 224)])
    if "detectron2" in names_of_not_cured("git", None):
        with pytest.raises(InputError, match="detectron2"):
            main_model("AVA/SLOWFAST_32x2_R50_SHORT")
    if "plot_input_normed" in names_of_not_cured("git", None):
        video = torch.rand(2, 4, 3, 16, 16)
        with pytest.raises(AttributeError, match="video"):
            misc.plot_input_normed(video, path=f"{tmp_path}/a.mp4", folder_path=tmp_path, output_video=True)


@needs_checkout
def test_visualization_of_main_unpacks_too_few():
    tool = ast.parse(Path(CHECKOUT, "tools", "visualization.py").read_text())
    loops = [
        node
        for node in ast.walk(tool)
        if isinstance(node, ast.For) and "vis_loader" in ast.unparse(node.iter)
    ]
    items = [
        target.elts[-1] if isinstance(target.elts[-1], ast.Tuple) else target
        for target in (loop.target for loop in loops)
    ]
    assert [len(item.elts) for item in items] == [4, 4]
    data_set = ast.parse(Path(CHECKOUT, "slowfast", "datasets", "kinetics.py").read_text())
    returned = [node.value for node in ast.walk(data_set) if isinstance(node, ast.Return)]
    assert 5 in {len(value.elts) for value in returned if isinstance(value, ast.Tuple)}


def test_why_an_older_torch_will_not_do():
    (task,) = find_tasks(GIT, [Package("torch", "2.9.1", ">=2.10", "TOO OLD")], "")
    assert "torch (too old; before 2.10 a checkpoint can run code" in task.problem
    assert "CVE-2026-24747" in task.problem
    (task,) = find_tasks(GIT, [Package("torch", None, ">=2.10", "MISSING")], "")
    assert "CVE" not in task.problem
