"""One training for each folder: who is at work is refused, who is gone is taken over."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from slowfast_ext.run_lock import LOCK, alone_in_folder, release_for
from vtn import InputError


def left_behind(folder: Path, **entries) -> None:
    """Write a lock as this process would, with other entries."""
    with alone_in_folder(str(folder)):
        found = json.loads((folder / LOCK).read_text())
    (folder / LOCK).write_text(json.dumps(found | entries))


def test_a_second_run_is_refused_and_the_lock_goes_with_the_first(tmp_path):
    out = tmp_path / "new" / "out"
    with alone_in_folder(str(out)) as told:
        assert told == ""
        assert os.listdir(out) == [LOCK]
        with (
            pytest.raises(InputError, match=rf"in use by another run \(process {os.getpid()}, since 20"),
            alone_in_folder(str(out)),
        ):
            pass
        assert os.listdir(out) == [LOCK]
    assert os.listdir(out) == []


def test_a_run_of_another_process_is_refused_while_it_lives(tmp_path):
    code = (
        "import sys\nfrom slowfast_ext.run_lock import alone_in_folder\n"
        f"with alone_in_folder({str(tmp_path)!r}):\n    print(flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as other:
        other.stdout.readline()
        with pytest.raises(InputError, match=f"process {other.pid},"), alone_in_folder(str(tmp_path)):
            pass
        other.kill()
        other.wait()
        with alone_in_folder(str(tmp_path)) as told:
            assert "has ended and left" in told
            assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("entries", [{"pid": 2**22 + 1}, {"began": "12345"}])
def test_what_a_process_that_is_gone_has_left_is_taken_over(tmp_path, entries):
    """Also where its number has been given to another process."""
    left_behind(tmp_path, **entries)
    with alone_in_folder(str(tmp_path)) as told:
        assert f"left {tmp_path / LOCK} behind: it is taken over" in told
    assert os.listdir(tmp_path) == []


def test_what_started_a_process_that_was_killed_releases_its_lock(tmp_path):
    """Never that of one that lives, of another program, or of another host."""
    gone = 2**22 + 1
    release_for([gone], str(tmp_path / "nowhere"))
    for entries in ({}, {"pid": gone + 1}, {"pid": gone, "host": f"not-{socket.gethostname()}"}):
        left_behind(tmp_path, **entries)
        release_for([gone, os.getpid()], str(tmp_path))
        (tmp_path / LOCK).unlink()
    left_behind(tmp_path, pid=gone)
    release_for([gone], str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_nobody_knows_of_another_host(tmp_path):
    left_behind(tmp_path, host=f"not-{socket.gethostname()}", pid=2**22 + 1)
    before = (tmp_path / LOCK).read_text()
    with pytest.raises(InputError, match=f"ended, remove {tmp_path / LOCK}"), alone_in_folder(str(tmp_path)):
        pass
    assert (tmp_path / LOCK).read_text() == before


@pytest.mark.parametrize("text", ["", "[]", "{", '{"host": 3}', "\x00"])
def test_a_damaged_lock_is_taken_over(tmp_path, text):
    (tmp_path / LOCK).write_text(text)
    with alone_in_folder(str(tmp_path)) as told:
        assert "says nothing: it is taken over" in told


def test_a_disk_without_second_names(tmp_path, monkeypatch):
    def refuses(*paths):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuses)
    with alone_in_folder(str(tmp_path)):
        assert os.listdir(tmp_path) == [LOCK]
        with pytest.raises(InputError, match="in use"), alone_in_folder(str(tmp_path)):
            pass


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be locked"), alone_in_folder(str(tmp_path / "file")):
        pass
