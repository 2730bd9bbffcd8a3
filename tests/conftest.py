"""Shared fixtures: configurations of the demo's size, and random numbers that do not leak between tests."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def demo_cfg(tmp_path) -> Callable:
    """Load configs/Demo/NAME.yaml with overrides; output goes to the test's folder."""

    def load(name: str, *overrides: str):
        from slowfast_ext.config import load_config

        path = ROOT / "configs" / "Demo" / f"{name}.yaml"
        return load_config(path, ["OUTPUT_DIR", str(tmp_path), *overrides]).clone()

    return load
