"""One process for each bucket, whatever became of the process before."""

import json
import os
import subprocess
import sys
import time

import pytest

from slowfast_ext.jobs import claims
from slowfast_ext.jobs.claims import LEASE, Member, read_member


@pytest.fixture
def folder(tmp_path):
    for name in ("claims", "members"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_one_at_a_time(folder):
    one, other = Member(folder), Member(folder)
    assert one.take("0ab")
    assert not other.take("0ab")
    assert not one.take("0ab")
    other.give_back("0ab")  # it is not his
    assert not other.take("0ab")
    assert one.others() == [other.name]
    one.give_back("0ab")
    assert other.take("0ab")
    other.close()
    assert one.others() == []
    assert one.take("0ab")


def of_another(folder, name: str, **owner) -> None:
    """A member as another process would have left it, with a claim."""
    line = json.dumps({"host": "elsewhere", "processes": [[1, "1"]], **owner})
    (folder / "members" / name).write_text(line + "\n")
    os.symlink(name, folder / "claims" / "0ab")


def test_the_claim_of_a_process_that_is_gone_is_taken_over(folder):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    member = Member(folder)
    host = read_member(folder / "members" / member.name)[0]["host"]
    of_another(folder, "gone", host=host, processes=[[gone.pid, "1"]])
    assert member.take("0ab")


def test_the_number_of_a_process_may_have_been_given_to_another_one(folder):
    member = Member(folder)
    host = read_member(folder / "members" / member.name)[0]["host"]
    of_another(folder, "before", host=host, processes=[[os.getpid(), "another time"]])
    assert member.take("0ab")


def test_a_process_that_died_keeps_its_claim_until_its_parent_has_buried_it(folder):
    member = Member(folder)
    host, processes = read_member(folder / "members" / member.name)[0].values()
    of_another(folder, "dead", host=host, processes=[[os.getpid(), "another time"], *processes])
    assert not member.take("0ab")
    (folder / "members" / "dead").unlink()
    assert member.take("0ab")


def test_a_claim_without_its_owner_is_taken_over(folder):
    os.symlink("nobody", folder / "claims" / "0ab")
    assert Member(folder).take("0ab")


def test_another_machine_is_believed_for_the_time_of_a_lease(folder):
    member = Member(folder)
    of_another(folder, "far")
    assert not member.take("0ab")
    past = time.time() - LEASE - 5
    os.utime(folder / "members" / "far", (past, past))
    assert member.take("0ab")


def test_signs_of_life(folder, monkeypatch):
    monkeypatch.setattr(claims, "_BEAT", 0.01)
    member = Member(folder)
    path = folder / "members" / member.name
    os.utime(path, (1, 1))
    deadline = time.monotonic() + 10
    while path.stat().st_mtime < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_a_process_is_at(folder):
    member = Member(folder)
    path = folder / "members" / member.name
    assert read_member(path)[1][:2] == ("", "")
    member.note("0ab", "a long name of a video.mp4")
    member.note("0ab", "short.mp4")
    owner, (bucket, video, since) = read_member(path)
    assert (owner["processes"][0][0], bucket, video) == (os.getpid(), "0ab", "short.mp4")
    assert abs(since - time.time()) < 60
