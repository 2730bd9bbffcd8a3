"""A checkpoint with a random backbone, square videos whose pictures differ in time, and their features."""

from pathlib import Path

import numpy as np
import pytest
import torch
from predictions import moving
from tiny_runs import NO_DROPOUT, stats
from videos import make_video

from slowfast_ext.config import load_config
from slowfast_ext.engine.test import test as run_test
from slowfast_ext.features.command import extract_features
from slowfast_ext.host import checkpoint, get_host
from slowfast_ext.models import make_model
from slowfast_ext.plugin.loops import train as run_train

# Without chance: square videos are scaled to the crop, so there is one place to look at.
PLAIN = (*NO_DROPOUT, *"DATA.RANDOM_FLIP False DATA.TRAIN_JITTER_SCALES".split(), "[32, 32]")
FROZEN = (*"VTN.FREEZE_BACKBONE True ENGINE own TEST.SAVE_RESULTS_PATH scores.npz".split(),)


@pytest.fixture
def clips(tmp_path) -> list[Path]:
    """Six videos of 20 to 70 frames."""
    folder = tmp_path / "videos"
    folder.mkdir()
    return [
        make_video(folder / f"{n}.mp4", 20 + 10 * n, fps=25, size=(48, 48), picture=moving) for n in range(6)
    ]


@pytest.fixture
def run_config(tiny_config, tmp_path, clips):
    """Load the tiny configuration for the videos, with overrides."""
    data = tmp_path / "data"
    data.mkdir()
    for split, count in (("train", 6), ("val", 5), ("test", 6)):
        rows = [f"{path} {number % 5}\n" for number, path in enumerate(clips[:count])]
        (data / f"{split}.csv").write_text("".join(rows))

    def load(*overrides: str, name: str = "run"):
        paths = ["DATA.PATH_TO_DATA_DIR", str(data), "OUTPUT_DIR", str(tmp_path / name)]
        return load_config(tiny_config, [*paths, *PLAIN, *FROZEN, *overrides])

    return load


@pytest.fixture
def trained(run_config) -> str:
    """A checkpoint with sharp random weights."""
    cfg = run_config(name="trained")
    torch.manual_seed(0)
    model = make_model(cfg)
    for weight in model.parameters():
        if weight.ndim > 1:
            weight.data.mul_(2.5)
    optimizer = get_host().construct_optimizer(model, cfg)
    return checkpoint.save_checkpoint(cfg.OUTPUT_DIR, model, optimizer, 0, cfg)


@pytest.fixture
def extracted(trained, clips, tmp_path):
    """Store the features of all videos, with options of the command; returns the folder."""

    def extract(*options: str, name: str = "features", status: int = 0) -> Path:
        out = tmp_path / name
        words = [trained, str(clips[0].parent), "--out", str(out), *options]
        assert extract_features(words) == status
        return out

    return extract


@pytest.fixture
def tested(run_config, trained):
    """Scores of the test of a run, by path."""

    def test(*overrides: str) -> dict[str, np.ndarray]:
        start = "TRAIN.ENABLE", "False", "TEST.CHECKPOINT_FILE_PATH", trained
        cfg = run_config(*start, *overrides, name="tested")
        run_test(cfg)
        saved = np.load(Path(cfg.OUTPUT_DIR) / "scores.npz")
        assert saved["scored"].all()
        return dict(zip(saved["paths"].tolist(), saved["scores"], strict=True))

    return test


@pytest.fixture
def losses(run_config, trained):
    """Statistics of the steps and validations of a training of two epochs from the checkpoint's weights."""

    def train(*overrides: str, name: str) -> list[dict]:
        start = "TRAIN.CHECKPOINT_FILE_PATH", trained, "TRAIN.CHECKPOINT_EPOCH_RESET", "True"
        cfg = run_config(*start, *overrides, name=name)
        run_train(cfg)
        return stats((Path(cfg.OUTPUT_DIR) / "stdout.log").read_text())

    return train
