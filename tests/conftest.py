"""Shared fixtures: configurations of the demo's size, and random numbers that do not leak between tests."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
SLOW_SECONDS = 1200


def pytest_configure() -> None:
    """Choose the PySlowFast and cure it before a test file imports anything of it."""
    import slowfast_ext

    slowfast_ext.register()


def pytest_report_header() -> str:
    """Which PySlowFast these tests run on, and whether the other one is there."""
    from slowfast_ext.host import describe_host

    other = (
        "" if os.environ.get("SLOWFAST_HOME") else "; SLOWFAST_HOME is not set: main from git is not tested"
    )
    return f"{describe_host()}{other}"


def pytest_collection_modifyitems(items) -> None:
    """Slow tests may take longer than others before they count as hanging."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))


def pytest_runtest_setup(item) -> None:
    """Skip what needs a GPU where there is none."""
    if item.get_closest_marker("needs_cuda") and not torch.cuda.is_available():
        pytest.skip("PyTorch sees no CUDA device")


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture(autouse=True)
def _not_settled(monkeypatch):
    """Whether a process may use a GPU is asked anew in each test."""
    from slowfast_ext import distributed

    monkeypatch.setattr(distributed, "_on_cpu", False)


@pytest.fixture
def demo_cfg(tmp_path) -> Callable:
    """Load configs/Demo/NAME.yaml with overrides; output goes to the test's folder."""

    def load(name: str, *overrides: str):
        from slowfast_ext.config import load_config

        path = ROOT / "configs" / "Demo" / f"{name}.yaml"
        return load_config(path, ["OUTPUT_DIR", str(tmp_path), *overrides]).clone()

    return load


def pytest_runtest_teardown() -> None:
    """Undo what SVT-AV1 does where root encodes with it: threads become real-time ones of the highest rank.

    Processes that are started later inherit it, and whatever spins in one of them starves the machine.
    """
    if not hasattr(os, "sched_setscheduler") or os.sched_getscheduler(0) == os.SCHED_OTHER:
        return
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setscheduler(int(thread), os.SCHED_OTHER, os.sched_param(0))
