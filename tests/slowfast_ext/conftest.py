"""A data set of tiny videos, a tiny VTN that trains on it in seconds, and a way to run the command."""

import subprocess
from pathlib import Path

import pytest
import torch
from tiny_runs import ROOT, TINY, command
from videos import make_video


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> Path:
    """Eight videos of five classes, listed as train, val (seven of them) and test."""
    folder = tmp_path_factory.mktemp("videos")
    rows = []
    for number in range(8):
        make_video(folder / f"{number}.mp4", 20 + 3 * number, fps=25, size=(64, 48))
        rows.append(f"{number}.mp4 {number % 5}")
    for split, part in (("train", rows), ("val", rows[:7]), ("test", rows[:7])):
        (folder / f"{split}.csv").write_text("\n".join(part) + "\n")
    return folder


@pytest.fixture
def tiny_config(tmp_path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture
def tiny_cfg(tiny_config, data_dir, tmp_path):
    """Load the tiny configuration with overrides."""
    from slowfast_ext.config import load_config

    def load(*overrides: str):
        base = ["DATA.PATH_TO_DATA_DIR", str(data_dir), "OUTPUT_DIR", str(tmp_path / "out")]
        return load_config(tiny_config, [*base, *overrides])

    return load


@pytest.fixture
def attentive_run(tiny_config, tmp_path):
    """Make a run's folder, with random weights and sharp attention; returns its config and checkpoint.

    Its data are in `data` beside it, where there are only the names of classes at first.
    """
    from slowfast_ext.config import load_config
    from slowfast_ext.host import checkpoint, get_host
    from slowfast_ext.models import make_model

    def make(name: str, *overrides: str) -> tuple[str, str]:
        out = tmp_path / name
        paths = ["DATA.PATH_TO_DATA_DIR", str(tmp_path / "data"), "OUTPUT_DIR", str(out)]
        cfg = load_config(tiny_config, [*paths, *overrides])
        torch.manual_seed(0)
        model = make_model(cfg)
        for layer in model.temporal_encoder.layers:
            layer.attention.query_global.weight.data.mul_(60)
            layer.attention.key_global.weight.data.mul_(60)
        optimizer = get_host().construct_optimizer(model, cfg)
        path = checkpoint.save_checkpoint(str(out), model, optimizer, 0, cfg)
        (out / "config.yaml").write_text(cfg.dump())
        return str(out / "config.yaml"), path

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "classes.txt").write_text("jump\nsit\nrun\nfall\nwave\n")
    return make


@pytest.fixture
def run_net(tiny_config, data_dir):
    """Run tools/run_net.py as a user does; returns the finished process.

    The limit only ends what hangs: two processes take over two minutes where several programs share a core.
    """

    def run(output_dir: Path, *overrides: str, timeout: float = 900) -> subprocess.CompletedProcess:
        line = command(tiny_config, data_dir, output_dir, *overrides)
        return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=timeout)

    return run
