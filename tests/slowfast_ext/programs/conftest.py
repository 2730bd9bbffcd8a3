"""Checkpoints of tiny random models whose answers depend on all that they are given."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from predictions import NAMES
from tiny_runs import TINY

from slowfast_ext.config import load_config
from slowfast_ext.host import checkpoint, get_host
from slowfast_ext.models import make_model


@pytest.fixture(scope="session")
def checkpoint_of(tmp_path_factory) -> Callable[..., Path]:
    """Make the checkpoint of a model with random weights, and names of classes."""

    def make(*overrides: str) -> Path:
        folder = tmp_path_factory.mktemp("run")
        (folder / "tiny.yaml").write_text(TINY)
        (folder / "classes.txt").write_text("\n".join(NAMES) + "\n")
        (folder / "test.csv").write_text("none.mp4 0\n")
        places = ["DATA.PATH_TO_DATA_DIR", str(folder), "OUTPUT_DIR", str(folder), "TRAIN.ENABLE", "False"]
        cfg = load_config(folder / "tiny.yaml", [*places, *overrides])
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = make_model(cfg)
        for name, weight in model.named_parameters() if cfg.MODEL.MODEL_NAME == "VTN" else ():
            if weight.ndim > 1:
                weight.data.mul_(150 if "positions" in name else 2.5)
        optimizer = get_host().construct_optimizer(model, cfg)
        return Path(checkpoint.save_checkpoint(cfg.OUTPUT_DIR, model, optimizer, 0, cfg))

    return make
