"""Trainings that are killed, stopped, signalled and starved: tests/soak.py, with fifty random moments."""

import re
import subprocess
import sys

import pytest
from tiny_runs import ROOT


@pytest.mark.slow
def test_struck_trainings_end_with_the_bits_of_those_in_peace():
    """In a process of its own, which must have no threads: it is forked."""
    command = [sys.executable, "tests/soak.py", "--moments", "50", "--seed", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    found = re.search(r"^(\d+) moments in \d+ attempts", done.stdout, re.MULTILINE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(found[1]) >= 50
    assert "nothing found" in done.stdout
