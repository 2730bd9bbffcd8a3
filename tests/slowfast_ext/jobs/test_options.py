"""What the options of a job take, and what is refused, in one sentence."""

import argparse
import importlib.util
import os
import shlex
import socket
from pathlib import Path

import pytest
from fake_jobs import BAD, fake_job, in_process, make_videos, pids_at_work, rows_in, run

from slowfast_ext.jobs import driver
from slowfast_ext.jobs.options import add_runner, how_to_run, run_and_tell
from slowfast_ext.jobs.ray_how import RayHow
from vtn.errors import InputError


def options(*words: str, models: bool = True) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    parser.add_argument("--list", action="append", default=[])
    add_runner(parser, models=models)
    return parser.parse_args(words)


def how(*words: str):
    return how_to_run(options(*words))


@pytest.fixture(autouse=True)
def no_slurm(monkeypatch):
    for name in ("ID", "COUNT"):
        monkeypatch.delenv(f"SLURM_ARRAY_TASK_{name}", raising=False)


def test_what_is_asked_for(tmp_path, monkeypatch):
    assert how("--out", str(tmp_path)) is None
    found = how("--runner", "local", "--out", str(tmp_path))
    assert (found.shard, found.shards, found.processes) == (0, 1, len(os.sched_getaffinity(0)))
    found = how(*f"--runner array --shard 3/64 --processes 5 --video-timeout 7 --out {tmp_path}".split())
    assert (found.shard, found.shards, found.processes, found.timeout) == (3, 64, 5, 7.0)
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "64")
    for number, shard in (("0", 0), ("63", 63), ("64", 0), ("130", 2)):  # 1-64, and parts of an array
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", number)
        found = how("--runner", "array", "--out", str(tmp_path))
        assert (found.shard, found.shards) == (shard, 64)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--shard 1/2", "--shard is for very many videos: add --runner local"),
        ("--fresh", "--fresh is for very many videos"),
        ("--processes 2", "--processes is for very many"),
        ("--video-timeout 2", "--video-timeout is for very many"),
        ("--runner local", "--runner fills a folder: name it with --out DIR"),
        ("--runner local --out FILE", "--out .* is a file: with --runner it is a folder"),
        ("--runner local --out DIR --shard 1/2", "--shard is for --runner array"),
        ("--runner local --out DIR --processes 0", "--processes is 0: it must be more than 0"),
        ("--runner local --out DIR --video-timeout -1", "--video-timeout is -1.0: it must be more than 0"),
        ("--runner array --out DIR", "--runner array needs --shard K/N, or SLURM_ARRAY_TASK_ID and"),
        ("--runner array --out DIR --shard 2", "--shard is '2': type it as 3/64"),
        ("--runner array --out DIR --shard 64/64", "--shard is 64/64: it must be from 0/64 to 63/64"),
        ("--runner array --out DIR --shard 0/0", "--shard is 0/0: it must be"),
        (
            "--runner array --out DIR --shard 0/2 --fresh",
            "--fresh would throw away what the other tasks have",
        ),
        ("--address auto", "--address is for very many videos"),
        ("--runner local --out DIR --address auto", "--address is for --runner ray"),
        ("--runner array --out DIR --shard 0/2 --gpus 1", "--gpus is for --runner ray"),
        ("--runner ray --out DIR --shard 0/2", "--shard is for --runner array"),
        ("--runner ray --out DIR --gpus 1.5", r"--gpus is 1\.5: it must be a part of 1, or a whole number"),
        ("--runner ray --out DIR --gpus -1", "--gpus is -1: it must be a part of 1"),
        (
            "--runner ray --out DIR --address auto --processes 2",
            "--processes is of a cluster that is started",
        ),
        (
            "--runner ray --out DIR --address ray://head:10001",
            "--address ray://head:10001: type the address as head:6379, and the command on a machine of",
        ),
        ("--runner ray --out DIR --address head", "--address head: type it as HOST:6379, or auto"),
        (
            "--runner ray --out DIR --address 127.0.0.1:PORT",
            "no Ray cluster answers at 127.0.0.1:.*: Connection refused",
        ),
    ],
)
def test_what_is_refused(words, why, tmp_path):
    (tmp_path / "file").write_text("")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        words = words.replace("PORT", str(free.getsockname()[1]))
    words = words.replace("FILE", str(tmp_path / "file")).replace("DIR", str(tmp_path / "out"))
    with pytest.raises(InputError, match=why):
        how(*words.split())


def test_the_command_for_what_is_left_holds_no_credentials(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["vtn"])
    args = options("--runner", "local", "--out", str(tmp_path / "out"), "--retry-failed")
    url = "https://me:secret@host/a b.mp4?token=abc"
    args.typed = ["run", url, "--fresh", "--retry-failed", "--opts", "A", "1"]
    found = how_to_run(args, "predict")
    assert found.retry_failed
    wanted = ["run", "https://host/a b.mp4?token=***", "--opts", "A", "1"]
    assert shlex.split(found.again) == ["vtn", "predict", "--retry-failed", *wanted]
    assert how_to_run(args).again == ""


def test_a_command_without_a_model_takes_no_gpu_of_a_cluster(tmp_path, capsys):
    words = ("--runner", "ray", "--out", str(tmp_path))
    assert how_to_run(options(*words, models=False)).ray == RayHow("", 0.0)
    with pytest.raises(SystemExit):
        options(*words, "--gpus", "1", models=False)
    assert "unrecognized arguments: --gpus" in capsys.readouterr().err


def test_ray_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    words = ("--runner", "ray", "--out", str(tmp_path))
    found = how(*words, "--processes", "3", "--gpus", "0.5")
    assert (found.shards, found.processes, found.ray) == (1, 3, RayHow("", 0.5))
    assert how(*words, "--address", "auto").ray == RayHow("auto")
    monkeypatch.setenv("RAY_ADDRESS", "local")
    assert how(*words).ray == RayHow()
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert how(*words).ray == RayHow(address)
        with pytest.raises(InputError, match=f"the one at {address} has its own: leave it out"):
            how(*words, "--processes", "2")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else find(name))
    monkeypatch.delenv("RAY_ADDRESS")
    with pytest.raises(InputError, match=r"--runner ray needs ray: type `pip install -e '\.\[ray\]'`"):
        how(*words)
    assert how("--runner", "local", "--out", str(tmp_path)).ray is None


def told(job, words: list[str], videos: list[str]) -> tuple[int, str]:
    args, said = options(*words), []
    return run_and_tell(job, args, videos, how_to_run(args), said.append), "\n".join(said)


def test_what_is_said(tmp_path, capsys):
    videos, out = make_videos(tmp_path / "videos", 6), tmp_path / "out"
    for name in videos[:2]:
        Path(name).write_bytes(BAD)
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(videos[3:5]))
    words = ["--runner", "local", "--out", str(out), "--processes", "1", "--list", str(listed)]
    status, said = told(fake_job(out), words, videos)
    assert status == 1
    assert "2 of 8 rows name a video again" in said
    assert f"4 of 6 videos, 2 failed: {out / 'rows.jsonl'}; of each video: {out / 'videos.jsonl'}" in said
    assert said.endswith(f"; report: {out / 'job_report.md'}")
    assert capsys.readouterr().err == "2 failed: it is bad\n"
    status, said = told(fake_job(out), words, videos)
    assert "6 of 6 videos were done before" in said
    assert capsys.readouterr().err == "2 failed: it is bad\n"
    with pytest.raises(InputError, match="none of the 2 videos could be read"):
        told(fake_job(tmp_path / "other"), [*words[:3], str(tmp_path / "other")], videos[:2])
    with pytest.raises(InputError, match="there is no video"):
        told(fake_job(out), words[:6], [])


def test_what_others_are_at_is_left_to_them(tmp_path):
    videos, out = make_videos(tmp_path / "videos", 4), tmp_path / "out"
    other = in_process(lambda: run(fake_job(out, seconds=60), videos[:1]))
    try:
        while not pids_at_work(out):
            assert other.is_alive()
        words = ["--runner", "array", "--shard", "1/2", "--out", str(out), "--processes", "1"]
        status, said = told(fake_job(out), words, videos)
        assert status == 0
        assert "3 of 4 videos so far, 0 failed: 1 process of another command is at work on the rest" in said
        assert not (out / "rows.jsonl").exists()
        with pytest.raises(InputError, match=r"--fresh throws away .* 2 processes are at work there"):
            run(fake_job(out), videos, fresh=True)
    finally:
        other.kill()
        other.join()
    assert run(fake_job(out), videos).is_complete


def test_two_jobs_in_one_folder(tmp_path):
    videos, out = make_videos(tmp_path / "videos", 4), tmp_path / "out"
    run(fake_job(out, top=5), videos)
    with pytest.raises(
        InputError, match=r"holds the results of another job: top is 5 there and 3 here; name"
    ):
        run(fake_job(out, top=3), videos)
    with pytest.raises(InputError, match=r"model is 'fake' there and 'other' here"):
        run(fake_job(out, model="other", top=5), videos)
    assert run(fake_job(out, model="other", top=3), videos[:2], fresh=True).is_complete
    assert len(rows_in(out)) == 2
    (out / "job" / "job.json").write_text("[")
    with pytest.raises(InputError, match=r"job.json is no description of a job"):
        run(fake_job(out, model="other", top=3), videos)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write .*: Not a directory"):
        run(fake_job(tmp_path / "file"), [])


def test_processes_that_die_at_once_end_the_job(tmp_path, monkeypatch):
    videos, out = make_videos(tmp_path / "videos", 4), tmp_path / "out"
    monkeypatch.setattr(driver, "JobWorker", lambda *args: os._exit(3))
    with pytest.raises(
        InputError, match=r"have died 5 times before they were at a video, the last by exit sta"
    ):
        run(fake_job(out), videos, processes=2)


def test_a_worker_that_cannot_go_on_ends_the_job(tmp_path, monkeypatch):
    videos, out = make_videos(tmp_path / "videos", 40), tmp_path / "out"
    job = fake_job(out)

    def full(*args):
        raise InputError("cannot write x: No space left on device.")

    monkeypatch.setattr(job.work, "do", full)
    with pytest.raises(InputError, match=r"^cannot write x: No space left on device\.$"):
        run(job, videos, processes=2)


def test_a_disk_that_loses_what_is_written(tmp_path, monkeypatch):
    videos, out = make_videos(tmp_path / "videos", 4), tmp_path / "out"
    job = fake_job(out)
    monkeypatch.setattr(job.output, "is_sound", lambda row: False)
    with pytest.raises(InputError, match="does not keep what is written there"):
        run(job, videos)
