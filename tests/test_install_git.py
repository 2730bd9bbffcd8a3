"""`make install-git`: PySlowFast main at one commit, and a sentence where it cannot be had."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def make(tmp_path):
    """Run `make checkout` in a folder that holds the Makefile alone."""
    shutil.copy(ROOT / "Makefile", tmp_path)

    def run(url: str, commit: str) -> subprocess.CompletedProcess:
        words = ["make", "checkout", f"SLOWFAST_URL={url}", f"SLOWFAST_COMMIT={commit}"]
        # What a `make test` around this test says to the makes beneath it would change what these print.
        own = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        return subprocess.run(words, cwd=tmp_path, env=own, capture_output=True, text=True, timeout=60)

    return run


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_the_commit_that_is_asked_for_and_not_a_later_one(make, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    git(source, "init", "-q")
    commits = []
    for text in ("first", "second"):
        (source / "file").write_text(text)
        git(source, "add", "file")
        git(source, "commit", "-qm", text)
        commits.append(git(source, "rev-parse", "HEAD"))
    done = make(f"file://{source}", commits[0])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "SlowFast" / "file").read_text() == "first"
    shutil.rmtree(source)
    assert make(f"file://{source}", commits[0]).returncode == 0  # it is there already: no network


def test_without_a_network_one_sentence(make, tmp_path):
    done = make(f"file://{tmp_path}/nowhere", "1" * 40)
    assert done.returncode != 0
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"error: file://{tmp_path}/nowhere cannot be reached")
    assert line.endswith("use make install, which takes PySlowFast from PyPI")
