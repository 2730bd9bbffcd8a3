"""Checkpoints of tiny runs with sharp random weights, and videos whose pictures differ in time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from predictions import NAMES, moving
from videos import make_video

from slowfast_ext.config import load_config
from slowfast_ext.engine.test import test as run_test
from slowfast_ext.host import checkpoint, get_host
from slowfast_ext.models import make_model


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> list[Path]:
    """Five videos of 15 to 75 frames."""
    folder = tmp_path_factory.mktemp("clips")
    sizes = [(64, 48), (48, 64), (80, 48), (64, 48), (64, 48)]
    return [
        make_video(folder / f"{number}.mp4", 15 * (number + 1), fps=25, size=size, picture=moving)
        for number, size in enumerate(sizes)
    ]


@pytest.fixture
def trained(tiny_config, tmp_path, clips):
    """Make a run's folder; returns its configuration and its checkpoint."""

    def make(*overrides: str, name: str = "run", config: Path = tiny_config):
        data = tmp_path / "data"
        data.mkdir(exist_ok=True)
        (data / "classes.txt").write_text("\n".join(NAMES) + "\n")
        (data / "test.csv").write_text("".join(f"{path} {i % 5}\n" for i, path in enumerate(clips)))
        paths = ["DATA.PATH_TO_DATA_DIR", str(data), "OUTPUT_DIR", str(tmp_path / name)]
        cfg = load_config(config, [*paths, *overrides])
        torch.manual_seed(0)
        model = make_model(cfg)
        for weight in model.parameters() if cfg.MODEL.MODEL_NAME == "VTN" else ():
            if weight.ndim > 1:
                weight.data.mul_(2.5)
        optimizer = get_host().construct_optimizer(model, cfg)
        return cfg, checkpoint.save_checkpoint(cfg.OUTPUT_DIR, model, optimizer, 0, cfg)

    return make


@pytest.fixture
def tested(tiny_config):
    """Scores of the run's own test, by path."""

    def test(cfg, path: str, *overrides: str) -> dict[str, np.ndarray]:
        more = ["TRAIN.ENABLE", "False", "TEST.CHECKPOINT_FILE_PATH", path, "TEST.SAVE_RESULTS_PATH", "s.npz"]
        folder = ["DATA.PATH_TO_DATA_DIR", cfg.DATA.PATH_TO_DATA_DIR, "OUTPUT_DIR", cfg.OUTPUT_DIR]
        config = Path(cfg.OUTPUT_DIR) / "as_run.yaml"
        config.write_text(cfg.dump())
        run_test(load_config(config, [*folder, *more, *overrides]))
        saved = np.load(Path(cfg.OUTPUT_DIR) / "s.npz")
        assert saved["scored"].all()
        return dict(zip(saved["paths"].tolist(), saved["scores"], strict=True))

    return test
