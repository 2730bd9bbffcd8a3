"""The archive of the sources and the wheel: whole, and usable from a folder that is no checkout.

Both are built as pip builds them, but in this environment, so that nothing is downloaded.
"""

import ast
import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from pages import ROOT, sources, strings_of_the_code, text_of
from videos import make_video

from slowfast_ext.cli import COMMANDS
from slowfast_ext.version import __version__

pytest.importorskip("setuptools", minversion="77")
MADE_HERE = ("__pycache__", "*.egg-info", "build", "dist", "outputs", "tmp", "videos", "wheels")
NOT_SOURCES = (".*", "SlowFast", *MADE_HERE)
# What messages say of PySlowFast main's own tools/.
OF_MAIN = ("main's own tools/run_net.py", "tools/run_net.py and utils/ava_eval_helper.py")
# Calls the program for each command, in one process: what is loaded, and from where.
EVERY_HELP = """
import contextlib, io, json, sys
from slowfast_ext import cli
told = {}
for name in cli.COMMANDS:
    with contextlib.redirect_stdout(io.StringIO()) as screen, contextlib.suppress(SystemExit):
        cli.main([name, "--help"])
    told[name] = screen.getvalue()
ours = [module for name, module in sys.modules.items() if name.split(".")[0] in ("vtn", "slowfast_ext")]
files = [module.__file__ for module in ours]
print(json.dumps({"told": told, "files": files}))
"""


def build(kind: str, folder: Path, out: Path) -> Path:
    """What pip asks of the project in `folder`: kind is sdist or wheel."""
    code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(out)!r}))"
    words = [sys.executable, "-W", "error::DeprecationWarning:setuptools", "-c", code]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "SetuptoolsDeprecationWarning" not in done.stderr
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The archive, the wheel that is made of it, and the one that is made of the checkout itself."""
    folder = tmp_path_factory.mktemp("built")
    checkout = folder / "checkout"
    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(*NOT_SOURCES))
    archive = build("sdist", checkout, folder)
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    (unpacked,) = folder.glob("vtn_pyslowfast-*/")
    for name in ("of_checkout", "of_archive"):
        (folder / name).mkdir()
    direct = build("wheel", checkout, folder / "of_checkout")
    return unpacked, build("wheel", unpacked, folder / "of_archive"), direct


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The folder into which pip has put the wheel, without the packages that it needs."""
    target = tmp_path_factory.mktemp("installed")
    words = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--no-index"]
    subprocess.run([sys.executable, *words, "--target", target, built[1]], check=True, timeout=120)
    return target


@pytest.fixture
def run(installed, tmp_path):
    """Run a program in an empty folder, with the packages that pip has put there before all others."""

    def run(*words: str) -> subprocess.CompletedProcess:
        environment = os.environ | {"PYTHONPATH": str(installed)}
        line = [sys.executable, *words]
        return subprocess.run(
            line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
        )

    run.vtn = lambda *words: run(str(installed / "bin" / "vtn"), *words)
    return run


def test_every_module_and_configuration_is_in_both(built):
    unpacked, wheel, direct = built
    names = set(zipfile.ZipFile(wheel).namelist())
    assert names == set(zipfile.ZipFile(direct).namelist())
    wanted = {f"vtn/{path.name}" for path in (ROOT / "projects/vtn").glob("*.py")}
    wanted |= {str(path.relative_to(ROOT)) for path in (ROOT / "slowfast_ext").rglob("*.py")}
    configs = {str(path.relative_to(ROOT)) for path in (ROOT / "configs").rglob("*.yaml")}
    wanted |= {f"slowfast_ext/{name}" for name in configs}
    assert len(configs) > 20
    assert {name for name in names if ".dist-info/" not in name} == wanted
    there = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    tested = {"Makefile", "constraints.txt", "tests/videos.py", "tests/data/README.md", "tools/run_net.py"}
    assert configs | tested | {"docs/vtn.svg", "benchmarks/results/train_step.json"} <= there


def test_metadata(built):
    assert built[1].name == f"vtn_pyslowfast-{__version__}-py3-none-any.whl"  # as the doctor calls it
    with zipfile.ZipFile(built[1]) as wheel:
        found = {Path(name).name: name for name in wheel.namelist() if ".dist-info/" in name}
        about = email.message_from_bytes(wheel.read(found["METADATA"]))
        assert wheel.read(found["LICENSE"]) == (ROOT / "LICENSE").read_bytes()
    assert (about["Version"], about["License-Expression"]) == (__version__, "Apache-2.0")
    assert about["Requires-Python"] == ">=3.10"
    assert about["Description-Content-Type"] == "text/markdown"
    assert about.get_payload(decode=True).decode().strip() == text_of("README.md").strip()
    assert "Programming Language :: Python :: 3" in about.get_all("Classifier")


def test_the_version_stands_in_one_place():
    places = [path for path in (*sources(), ROOT / "setup.py") if f'"{__version__}"' in path.read_text()]
    assert places == [ROOT / "slowfast_ext/version.py"]


def test_every_command_has_a_file_in_tools():
    """It runs the command of its own name, and holds nothing else."""
    files = {path.stem: path.read_text() for path in (ROOT / "tools").glob("*.py")}
    assert files.keys() == COMMANDS.keys()
    for name, text in files.items():
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        assert [ast.unparse(call) for call in calls] == [f"run_command({name!r})"]


def test_every_command_is_in_the_program(run, installed):
    done = run("-c", EVERY_HELP)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert all(text.startswith(f"usage: vtn {name} ") for name, text in found["told"].items())
    assert found["told"].keys() == COMMANDS.keys()
    assert not any("tools/" in text for text in found["told"].values())
    assert {Path(file).is_relative_to(installed) for file in found["files"]} == {True}


def test_the_program_tells_its_version_at_once(run):
    done = run.vtn("--version")
    assert (done.returncode, done.stdout) == (0, f"vtn {__version__}\n")


@pytest.mark.slow
def test_own_videos_are_listed_and_tested_with_a_configuration_of_the_project(run, tmp_path):
    """A file in the working folder comes before the project's; a misspelt name is told with those like it."""
    for number in range(12):
        place = tmp_path / "videos" / ("jump", "sit")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        make_video(place / f"{number}.mp4", 12 + number, fps=25, size=(96, 80))
    words = ["folder", "--videos", "videos", "--out", "data", "--jobs", "1", "--verify", "quick"]
    done = run.vtn("prepare_dataset", *words)
    assert done.returncode == 0, done.stdout + done.stderr

    keys = "NUM_GPUS 0 TRAIN.ENABLE False TEST.ENABLE True TEST.RANDOM_WEIGHTS True ENGINE own".split()
    keys += "MODEL.NUM_CLASSES 2 DATA.PATH_TO_DATA_DIR data OUTPUT_DIR out DATA_LOADER.NUM_WORKERS 0".split()
    done = run.vtn("run_net", "--cfg", "Demo/VTN.yaml", *keys)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^config: \S+/slowfast_ext/configs/Demo/VTN\.yaml$", done.stdout, re.MULTILINE)
    assert "top1_acc" in (tmp_path / "out/stdout.log").read_text()

    (tmp_path / "Demo").mkdir()
    (tmp_path / "Demo/VTN.yaml").write_text("_BASE_: Kinetics/VTN_ViT_B.yaml\nTRAIN:\n  BATCH_SIZE: 0\n")
    done = run.vtn("run_net", "--cfg", "Demo/VTN.yaml")
    assert (done.returncode, done.stderr.partition(":")[2][:24]) == (2, " TRAIN.BATCH_SIZE is 0: ")
    done = run.vtn("run_net", "--cfg", "Demo/VNT.yaml")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --cfg Demo/VNT.yaml: no such file, and no configuration of the")
    assert "did you mean Demo/VTN.yaml" in done.stderr
    done = run.vtn("run_net", "--cfg", "configs/Kinetics/VTN_ViT_B.yaml", "DATA.PATH_TO_DATA_DIR", "none")
    assert done.returncode == 2
    assert "`vtn prepare_dataset` makes such lists" in done.stderr


@pytest.mark.slow
def test_messages_name_the_program_as_it_was_started():
    """No sentence has a file of tools/ in it: slowfast_ext.typed knows whether there is one."""
    ours = re.compile(rf"\btools/({'|'.join(COMMANDS)})\b|-m slowfast_ext")
    wrong = [text for text in strings_of_the_code() if ours.search(text)]
    assert [text for text in wrong if not any(part in text for part in OF_MAIN)] == []
    gone = str(ROOT / "gone")
    script = [sys.executable, "tools/run_net.py", "--cfg", "Kinetics/VTN_ViT_B.yaml"]
    done = subprocess.run(
        [*script, "DATA.PATH_TO_DATA_DIR", gone, "NUM_GPUS", "0"], cwd=ROOT, capture_output=True, text=True
    )
    assert "`python tools/prepare_dataset.py` makes such lists" in done.stderr
