"""Launching functions of tests/launched.py, here or as a command."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import launched
import pytest

from slowfast_ext.launch import launch_job

SCRIPT = Path(launched.__file__)


@pytest.fixture
def launch(tmp_path) -> Callable[..., None]:
    """Launch a function on this machine."""

    def run(function: Callable, processes: int = 2, timeout: float = 4) -> None:
        launch_job(launched.settings(tmp_path, processes, timeout), "tcp://localhost:1", function)

    return run


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Start a function as a command; what is left of it is killed at the end."""
    started = []

    def run(
        name: str, *machines: str, processes: int = 2, timeout: float = 4, before: list[str] | None = None
    ) -> subprocess.Popen:
        words = [*(before or [sys.executable]), str(SCRIPT), name, str(tmp_path)]
        words += [str(processes), str(timeout), *machines]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        environment["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # as slowfast_ext/cli.py does
        process = subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)  # what it has started, too
        process.communicate()


@pytest.fixture
def free_port() -> int:
    """A port that nobody has, for now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
