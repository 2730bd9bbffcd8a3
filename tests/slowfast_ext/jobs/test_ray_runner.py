"""A job on Ray, and what is left of it when Ray or a part of it dies: each video once, as without Ray."""

import contextlib
import importlib.util
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
from fake_jobs import (
    BAD,
    DAMAGED,
    HANGS,
    KILLS_MODEL,
    LARGE,
    POISON,
    StagedFakeWork,
    fake_job,
    in_process,
    make_videos,
    manifest_of,
    pids_at_work,
    rows_in,
    run,
    wanted,
)

from slowfast_ext.jobs.ray_how import RayHow
from slowfast_ext.processes import PROC, process_status
from vtn.errors import InputError

# Not imported here: the processes of a command are forked, and Ray reads its environment when it is imported.
pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
RAY = {"ray": RayHow()}
_DIED = "the process that read it died"


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def below(pid: int) -> dict[int, str]:
    """Processes that one has started, and those that they have, and their names."""
    parents, found = {}, {}
    for path in PROC.glob("[0-9]*"):
        status = process_status(int(path.name))
        if status[0] not in "ZX":
            parents.setdefault(int(status[1]), []).append(int(path.name))
    waiting = [pid]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            with contextlib.suppress(OSError):
                found[child] = (PROC / str(child) / "comm").read_text().strip()
                waiting.append(child)
    return found


def kill(pids) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def until_at_work(out: Path, command, least: int = 1) -> list[int]:
    while len(pids := pids_at_work(out)) < least:
        assert command.is_alive()
        time.sleep(0.02)
    return pids


def assert_gone(pids) -> None:
    deadline = time.monotonic() + 20
    while left := [pid for pid in pids if process_status(pid)[0] not in "ZX"]:
        assert time.monotonic() < deadline, [process_status(pid) for pid in left]
        time.sleep(0.1)


@pytest.mark.slow
def test_an_actor_that_is_killed_costs_no_video(tmp_path):
    videos, out, calm = make_videos(tmp_path / "videos", 40), tmp_path / "out", tmp_path / "calm"
    for name, content in ((videos[3], BAD), (videos[5], DAMAGED), (videos[6], LARGE)):
        Path(name).write_bytes(content)
    run(fake_job(calm, staged=True), videos)
    log = tmp_path / "log"
    command = in_process(
        lambda: run(fake_job(out, staged=True, seconds=0.1, log=log), videos, processes=1, **RAY)
    )
    kill(until_at_work(out, command))
    started = below(command.pid)
    command.join(280)
    assert command.exitcode == 0
    assert_gone(started)
    assert {"raylet", "gcs_server"} <= set(started.values())
    assert rows_in(out) == rows_in(calm)
    assert manifest_of(out).keys() == set(videos)
    assert manifest_of(out)[videos[3]]["why"] == f"{videos[3]}: it is bad."
    assert not list((out / "job" / "members").iterdir())
    assert not list((out / "job" / "claims").iterdir())
    tried = Counter(line.split()[1] for line in log.read_text().splitlines())
    assert set(tried) == set(videos)
    assert sum(tried.values()) <= len(videos) + 12  # not all anew


@pytest.mark.parametrize("count", [1, 32, 33, 511, 512, 513, 25_000])
def test_pieces_have_each_video_of_a_bucket_once(count):
    from slowfast_ext.jobs.ray_driver import pieces_of

    pieces = list(pieces_of("0ab", count))
    assert [number for _, begin, end in pieces for number in range(count)[begin:end]] == list(range(count))
    assert len(pieces) <= 16  # each reads the records of the bucket


@pytest.mark.slow
@pytest.mark.parametrize("staged", [False, True])
def test_what_kills_or_hangs_has_failed_and_the_rest_is_done(tmp_path, staged):
    videos, out, log = make_videos(tmp_path / "videos", 40), tmp_path / "out", tmp_path / "log"
    bad = {videos[7]: POISON, videos[8]: KILLS_MODEL if staged else POISON, videos[9]: HANGS}
    for name, content in bad.items():
        Path(name).write_bytes(content)
    outcome = run(fake_job(out, staged=staged, log=log), videos, processes=2, timeout=3.0, **RAY)
    assert outcome.is_complete
    assert outcome.reasons == {_DIED: 2, "it took longer than 3 s": 1}
    assert re.search(r"processes that ended at a video +\| +5 ", (out / "job_report.md").read_text())
    tried = Counter(line.split()[1] for line in log.read_text().splitlines())
    assert (tried[videos[7]], tried[videos[8]], tried[videos[9]]) == (2, 2, 1)
    sound = [name for name in videos if name not in bad]
    assert Counter(row for row in rows_in(out) if " failed: " not in row) == wanted(sound)


def with_a_full_disk(log: Path) -> StagedFakeWork:
    """Work of an actor that can write only a part of what it should."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    return StagedFakeWork(0.0, log)


@pytest.mark.slow
def test_a_full_disk_ends_it_and_other_runners_go_on(tmp_path):
    import dataclasses
    import functools

    videos, out, calm = make_videos(tmp_path / "videos", 40), tmp_path / "out", tmp_path / "calm"
    run(fake_job(calm, staged=True), videos)
    job = fake_job(out, staged=True)
    full = dataclasses.replace(job, make=functools.partial(with_a_full_disk, None))
    with pytest.raises(InputError, match="cannot write .*: File too large"):
        run(full, videos, processes=2, **RAY)
    assert not (out / "rows.jsonl").exists()
    assert [path.stat().st_size for path in (out / "job" / "rows").iterdir()].count(1000) >= 1
    run(job, videos[:20], processes=2)  # local
    assert run(job, videos, processes=1, **RAY).is_complete
    assert rows_in(out) == rows_in(calm)
    # Rows that are cut off afterwards are made again, by Ray too.
    part = max((out / "job" / "rows").iterdir(), key=lambda path: path.stat().st_size)
    os.truncate(part, part.stat().st_size // 2)
    (out / "rows.jsonl").unlink()
    assert run(job, videos, processes=2, **RAY).is_complete
    assert rows_in(out) == rows_in(calm)


def strike(job_of, out: Path, videos: list[str], chance: random.Random) -> str:
    """Begin or go on in any way, and kill something of it at any moment; says what."""
    runner = chance.choice(["ray", "ray", "ray", "local", "array"])
    how = {"processes": chance.choice([1, 1, 2])}
    if runner == "array":
        how |= {"shard": chance.randrange(7), "shards": 7}
    if runner == "ray":
        how |= RAY
    command = in_process(lambda: run(job_of(), videos, **how))
    started: dict[int, str] = {}
    victim = chance.choice(["command", "speaker", "actor", "actor", "node"]) if runner == "ray" else "command"
    try:
        if runner == "ray" and chance.random() < 0.8:  # not before any work
            until_at_work(out, command)
        time.sleep(chance.uniform(0.0, 1.0))
        started = below(command.pid)
        if victim == "speaker":
            kill(pid for pid in started if process_status(pid)[1] == str(command.pid))
        if victim == "actor":
            kill(chance.sample(pids, 1) if (pids := pids_at_work(out)) else [])
        if victim == "node":
            kill(pid for pid, name in started.items() if name in ("raylet", "gcs_server"))
        if victim != "command":
            time.sleep(chance.uniform(0.0, 6.0))
            started |= below(command.pid)
    finally:
        command.kill()
        command.join()
    assert_gone(started)
    return f"{runner}: {victim}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_killed_at_many_random_moments(tmp_path, seed):
    chance, times = random.Random(seed), 8
    videos = make_videos(tmp_path / "videos", 600)
    Path(videos[11]).write_bytes(BAD)
    calm, out, log = tmp_path / "calm", tmp_path / "out", tmp_path / "log"
    run(fake_job(calm, staged=True), videos, processes=2)

    def job():
        return fake_job(out, staged=True, seconds=0.05, log=log)

    struck = Counter(strike(job, out, videos, chance) for _ in range(times))
    begun = len(set(log.read_text().splitlines()))
    assert begun > times
    assert not (out / "rows.jsonl").exists() or len(rows_in(out)) == len(videos)
    outcome = run(job(), videos, processes=2, **RAY)
    assert outcome.is_complete
    assert outcome.failed == 1, struck
    assert rows_in(out) == rows_in(calm)
    assert manifest_of(out).keys() == set(videos)


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_behind(tmp_path):
    videos, out = make_videos(tmp_path / "videos", 40), tmp_path / "out"
    command = in_process(lambda: run(fake_job(out, seconds=0.5), videos, processes=2, **RAY))
    until_at_work(out, command)
    started = below(command.pid)
    os.kill(command.pid, signal.SIGINT)
    command.join(30)
    assert command.exitcode
    assert_gone(started)
    assert not list(Path("/tmp").glob(f"vtn-ray-*/session_*_{command.pid}"))


def head(folder: Path, port: int, *options: str) -> subprocess.Popen:
    """A cluster of one machine, as a person starts it."""
    words = ["start", "--head", "--block", "--include-dashboard=false", "--disable-usage-stats"]
    more = [f"--port={port}", f"--temp-dir={folder}", "--object-store-memory=200000000", *options]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with (folder / "out.txt").open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", *words, *more],
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def end_cluster(process: subprocess.Popen) -> None:
    started = [process.pid, *below(process.pid)]
    kill(reversed(started))
    process.wait()
    assert_gone(started)


@pytest.fixture
def short_folder():
    """Ray has sockets there, whose names must be short."""
    with tempfile.TemporaryDirectory(prefix="vtn-ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.mark.slow
def test_a_cluster_that_goes_away_and_comes_back(tmp_path, short_folder):
    videos, out, calm = make_videos(tmp_path / "videos", 60), tmp_path / "out", tmp_path / "calm"
    run(fake_job(calm, staged=True), videos)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    joins = {"ray": RayHow(f"127.0.0.1:{port}")}
    cluster = head(short_folder, port, "--num-cpus=1")
    ended = tmp_path / "ended"

    def command() -> None:
        with pytest.raises(InputError, match=rf"the Ray cluster at 127.0.0.1:{port} is gone"):
            run(fake_job(out, staged=True, seconds=0.5), videos, **joins)
        ended.touch()

    try:
        wait_for(port)
        running = in_process(command)
        until_at_work(out, running)
        time.sleep(2)
    finally:
        end_cluster(cluster)
    running.join(120)
    assert ended.exists()
    # Two models share what Ray is told is a GPU.
    cluster = head(short_folder, port, "--num-cpus=1", "--num-gpus=1")
    try:
        wait_for(port)
        joins = {"ray": RayHow(f"127.0.0.1:{port}", 0.5)}
        assert run(fake_job(out, staged=True), videos, **joins).is_complete
        with pytest.raises(InputError, match="--gpus 2 is more than the 1 GPUs of this cluster"):
            run(fake_job(tmp_path / "other"), videos, ray=RayHow(f"127.0.0.1:{port}", 2.0))
    finally:
        end_cluster(cluster)
    assert rows_in(out) == rows_in(calm)


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.slow
def test_something_else_listens_at_the_port(tmp_path):
    videos = make_videos(tmp_path / "videos", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(InputError, match=f"the Ray cluster at {address} "):
            run(fake_job(tmp_path / "out"), videos, ray=RayHow(address))
        assert time.monotonic() - began < 45
