"""Checkpoints of tiny runs with sharp random weights, and videos whose pictures differ in time."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from browser_tab import Tab, new_tab
from predictions import NAMES, moving
from video_pages import explanation, full_of_all, without_lines
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


@pytest.fixture(scope="session")
def video_pages(tmp_path_factory) -> dict[str, Path]:
    """Pages of one model, of two with all that a page may have, and of a model without a time line."""
    folder = tmp_path_factory.mktemp("pages")
    found = {"one": explanation().page(), "all": full_of_all(), "none": without_lines()}
    for name, text in found.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in found}


@pytest.fixture(scope="module")
def browser_tab(tmp_path_factory) -> Iterator[Tab]:
    with new_tab(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def tab(browser_tab) -> Iterator[Tab]:
    """A browser's tab: nothing may be on its console after the test, and nothing asked of the network."""
    browser_tab.console.clear()
    yield browser_tab
    assert browser_tab.console == []
    asked = browser_tab.run("performance.getEntriesByType('resource').map(e => e.name.slice(0, 5))")
    assert set(asked) <= {"data:"}
