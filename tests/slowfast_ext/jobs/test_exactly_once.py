"""A job that is ended anywhere and goes on in another way has each video once, as if left in peace."""

import json
import os
import random
import resource
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from fake_jobs import (
    BAD,
    DAMAGED,
    HANGS,
    POISON,
    fake_job,
    in_process,
    kill_within,
    make_videos,
    manifest_of,
    pids_at_work,
    row_of,
    rows_in,
    run,
    wanted,
)

from slowfast_ext.jobs.names import bucket_of
from slowfast_ext.jobs.records import JobRecords, RowReader
from vtn.errors import InputError


@pytest.fixture
def videos(tmp_path):
    return make_videos(tmp_path / "videos", 40)


def test_each_video_has_a_row_and_an_entry(videos, tmp_path):
    out = tmp_path / "out"
    Path(videos[3]).write_bytes(BAD)
    Path(videos[5]).write_bytes(DAMAGED)
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{name} 3\n" for name in videos[10:20]))
    outcome = run(fake_job(out), videos, [listed], processes=3)
    assert (outcome.num_videos, outcome.done, outcome.repaired, outcome.failed) == (40, 40, 1, 1)
    assert outcome.is_complete
    assert outcome.reasons == {"it is bad": 1}
    sound = [name for name in videos if name != videos[3]]
    assert Counter(rows_in(out)) == wanted(sound) + Counter([f"{videos[3]} failed: {videos[3]}: it is bad."])
    entries = manifest_of(out)
    assert entries.keys() == set(videos)
    assert Counter(entry["state"] for entry in entries.values()) == {"done": 38, "failed": 1, "repaired": 1}
    assert entries[videos[3]]["why"] == f"{videos[3]}: it is bad."
    assert entries[videos[5]]["why"] == "its end"
    assert {entry["model"] for entry in entries.values()} == {"fake"}
    status = os.stat(videos[7])
    assert (entries[videos[7]]["bytes"], entries[videos[7]]["mtime_ns"]) == (
        status.st_size,
        status.st_mtime_ns,
    )
    assert all(entry["by"] for entry in entries.values())  # one fast process may have done them all


def test_any_division_gives_the_same_file(videos, tmp_path):
    one, many, mixed = (tmp_path / name for name in ("one", "many", "mixed"))
    run(fake_job(one), videos)
    processes = [
        in_process(lambda shard=shard: run(fake_job(many, seconds=0.01), videos, shard=shard, shards=5))
        for shard in range(5)
    ]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    run(fake_job(mixed), videos[:25], processes=2)
    run(fake_job(mixed), [*videos[30:], *videos[20:30], *videos[:20]], shard=6, shards=64)
    assert rows_in(one) == rows_in(many) == rows_in(mixed)
    assert Counter(rows_in(one)) == wanted(videos)


def test_what_is_done_is_not_done_again(videos, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    run(fake_job(out, log=log), videos[:30])
    assert len(log.read_text().splitlines()) == 30
    os.utime(videos[4], ns=(1, 1))
    Path(videos[5]).write_bytes(b"longer than it was before")
    run(fake_job(out, log=log), videos, processes=2)
    again = [line.split()[1] for line in log.read_text().splitlines()[30:]]
    assert sorted(again) == sorted([*videos[4:6], *videos[30:]])
    assert Counter(rows_in(out)) == wanted(videos)


def test_fewer_videos_than_before_are_told(videos, tmp_path):
    out, said = tmp_path / "out", []
    run(fake_job(out), videos, say=said.append)
    assert not any("had 40 videos" in line for line in said)
    run(fake_job(out), videos[:30], say=said.append)
    assert f"{out}/videos.jsonl had 40 videos, and now the 30 that are named: " in said[-1]
    assert len(rows_in(out)) == 30
    run(fake_job(out), videos, say=said.append)
    assert len(rows_in(out)) == 40


def test_a_job_that_did_nothing_does_not_keep_the_folder(videos, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError):
        run(fake_job(out), [], [tmp_path / "absent.txt"])
    run(fake_job(out, top=3), videos[:2])
    with pytest.raises(InputError, match="another job: top is 3 there and None here"):
        run(fake_job(out), videos)


def test_failures_are_tried_again_when_that_is_asked_for(videos, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    Path(videos[3]).write_bytes(BAD)
    before = os.stat(videos[3])
    assert run(fake_job(out, log=log), videos).failed == 1
    Path(videos[3]).write_bytes(b"was")  # as long, and of the same time
    os.utime(videos[3], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run(fake_job(out, log=log), videos).failed == 1
    assert len(log.read_text().splitlines()) == 40
    time.sleep(1.1)  # times of records are in seconds
    assert run(fake_job(out, log=log), videos, retry_failed=True, processes=3).failed == 0
    assert len(log.read_text().splitlines()) == 41
    assert Counter(rows_in(out)) == wanted(videos)


def strike(job_of, out: Path, videos: list[str], chance: random.Random) -> str:
    """Begin or go on in any way, and kill something at any moment; says what."""
    processes, shards = chance.choice([1, 2, 3]), chance.choice([1, 1, 2, 7])
    how = {"processes": processes, "shard": chance.randrange(shards), "shards": shards}
    command = in_process(lambda: run(job_of(), videos, **how))
    return kill_within([command], out, chance, seconds=0.5, rest=0.2)


def test_killed_at_random_moments(tmp_path):
    killed(tmp_path, times=6, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_killed_at_many_random_moments(tmp_path, seed):
    killed(tmp_path, times=40, seed=seed)


def killed(tmp_path: Path, times: int, seed: int) -> None:
    videos, chance = make_videos(tmp_path / "videos", 60 * times), random.Random(seed)
    calm, out, log = tmp_path / "calm", tmp_path / "out", tmp_path / "log"
    run(fake_job(calm), videos, processes=2)

    def job():
        return fake_job(out, seconds=0.005, log=log)

    def begun() -> int:
        return len(log.read_text().splitlines()) if log.exists() else 0

    victims = Counter()
    while victims.total() < times or begun() <= times:  # where a start takes long, many come before any work
        victims[strike(job, out, videos, chance)] += 1
        assert victims.total() < 20 * times
    assert not (out / "rows.jsonl").exists() or len(rows_in(out)) == len(videos)
    outcome = run(job(), videos, processes=2)
    assert outcome.is_complete
    assert outcome.failed == 0, victims
    assert rows_in(out) == rows_in(calm)
    assert Counter(rows_in(out)) == wanted(videos)
    assert manifest_of(out).keys() == set(videos)
    # What was killed cost what it was at, not what was done: at most a bucket of each process, of which three
    # and one in place of one that was killed are at work at a time.
    again = begun() - len(videos)
    assert again <= victims.total() * 4 * max(Counter(map(bucket_of, videos)).values())
    assert list((out / "job" / "claims").iterdir()) == []


def test_rows_that_are_cut_off_gone_or_damaged_are_made_again(videos, tmp_path):
    calm, out, log = tmp_path / "calm", tmp_path / "out", tmp_path / "log"
    run(fake_job(calm), videos)
    run(fake_job(out, log=log), videos[:15])
    run(fake_job(out, log=log), videos[15:30])
    run(fake_job(out, log=log), videos)
    parts = sorted((out / "job" / "rows").iterdir(), key=lambda path: path.stat().st_size)
    assert len(parts) == 3
    size = parts[0].stat().st_size
    os.truncate(parts[0], size // 2)
    parts[1].unlink()
    content = bytearray(parts[2].read_bytes())
    content[100] ^= 1
    parts[2].write_bytes(content)
    (out / "rows.jsonl").unlink()
    before = len(log.read_text().splitlines())
    assert run(fake_job(out, log=log), videos, processes=2).is_complete
    assert rows_in(out) == rows_in(calm)
    again = len(log.read_text().splitlines()) - before
    assert 10 < again < 40


def test_a_full_disk_ends_the_job_and_loses_nothing(videos, tmp_path):
    out, calm = tmp_path / "out", tmp_path / "calm"
    run(fake_job(calm), videos)

    def until_the_disk_is_full() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4100, resource.RLIM_INFINITY))  # a part of a write fits
        with pytest.raises(InputError, match="cannot write .*: File too large"):
            run(fake_job(out, seconds=0.06), videos)

    process = in_process(until_the_disk_is_full)
    process.join(60)
    assert process.exitcode == 0
    assert not (out / "rows.jsonl").exists()
    (part,) = (out / "job" / "rows").iterdir()
    assert part.stat().st_size == 4100  # half a row at its end
    assert run(fake_job(out), videos, processes=2).is_complete
    assert rows_in(out) == rows_in(calm)


def test_a_video_that_kills_is_tried_twice_and_the_others_are_done(videos, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    for name in videos[7], videos[30]:
        Path(name).write_bytes(POISON)
    outcome = run(fake_job(out, log=log), videos, processes=2)
    assert outcome.is_complete
    assert outcome.failed == 2
    assert outcome.reasons == {"the process that read it died (signal 9, SIGKILL)": 2}
    entries = manifest_of(out)
    for name in videos[7], videos[30]:
        tried = [line.split()[0] for line in log.read_text().splitlines() if line.endswith(name)]
        assert len(tried) == len(set(tried)) == 2
        assert entries[name]["state"] == "failed"
        assert name in entries[name]["why"]
    sound = [name for name in videos if name not in (videos[7], videos[30])]
    assert Counter(row for row in rows_in(out) if " failed: " not in row) == wanted(sound)


def test_what_a_process_has_keeps_its_parent_until_it_is_buried(videos, tmp_path):
    out = tmp_path / "out"
    driver = in_process(lambda: run(fake_job(out, seconds=30), videos[:1]))
    try:
        while not (pids := pids_at_work(out)):
            assert driver.is_alive()
        owners = [
            json.loads(path.read_text().split("\n")[0]) for path in (out / "job" / "members").glob("[!.]*")
        ]
        of_worker = next(owner["processes"] for owner in owners if owner["processes"][0][0] in pids)
        assert [pid for pid, _ in of_worker] == [*pids, driver.pid]
    finally:
        driver.kill()
        driver.join()


def test_half_a_record_costs_no_other(tmp_path):
    folder = tmp_path / "job"
    (folder / "records").mkdir(parents=True)
    records = JobRecords(folder, "fake")
    entry = {"state": "done", "bytes": 1, "mtime_ns": 1, "part": "x", "offset": 0, "length": 1, "crc": 0}
    records.append("0ab", [{"path": "a", **entry}, {"path": "b", **entry}])
    content = (folder / "records" / "0ab").read_bytes()
    (folder / "records" / "0ab").write_bytes(content[:-20])  # its process was killed
    records.append("0ab", [{"path": "c", **entry}])
    assert records.read("0ab")[0].keys() == {"a", "c"}
    assert JobRecords(folder, "other").read("0ab")[0] == {}


def test_a_video_that_hangs_is_given_up(videos, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    Path(videos[7]).write_bytes(HANGS)
    outcome = run(fake_job(out, log=log), videos, processes=2, timeout=1.5)
    assert outcome.reasons == {"it took longer than 1.5 s": 1}
    assert sum(line.endswith(videos[7]) for line in log.read_text().splitlines()) == 1
    assert len(rows_in(out)) == 40


def test_rows_are_on_disk_before_their_records_and_these_before_the_mark(tmp_path, monkeypatch):
    """In one process, where each fsync and rename is seen."""
    from slowfast_ext.jobs.folder import open_folder
    from slowfast_ext.jobs.plan import make_plan
    from slowfast_ext.jobs.worker import JobShare, JobWorker

    videos, out = make_videos(tmp_path / "videos", 1), tmp_path / "out"
    job, done, fsync, replace = fake_job(out), [], os.fsync, Path.replace

    def there() -> list[str]:
        """Folders that hold anything by now."""
        return [
            name
            for name in ("rows", "records", "finished")
            if any(path.stat().st_size for path in (out / "job" / name).iterdir())
        ]

    def noting(file: int) -> None:
        of = Path(os.readlink(f"/proc/self/fd/{file}")).relative_to(out / "job").parts[0]
        done.append((of, there()))
        fsync(file)

    def noting_replace(source: Path, target: Path) -> Path:
        done.append((Path(target).relative_to(out / "job").parts[0], there()))
        return replace(source, target)

    member = open_folder(job, fresh=False)
    plan = make_plan(job.folder, videos, [], member)
    worker = JobWorker(job.folder, plan, JobRecords(job.folder, "fake"), member, job.work)
    monkeypatch.setattr(os, "fsync", noting)
    monkeypatch.setattr(Path, "replace", noting_replace)
    worker.run(JobShare(0, 1))
    # Of rows the folder comes first and of records it comes last, each for the name of a new file.
    both = ["rows", "records"]
    wanted = [("rows", []), ("rows", ["rows"]), ("records", both), ("records", both)]
    assert done == [*wanted, ("finished", [*both, "finished"])]  # the mark is whole before it has its name
    ((bucket, _),) = plan.buckets.items()
    records = JobRecords(job.folder, "fake")
    assert records.mark_of(bucket, plan, records.sizes()).videos == 1
    with RowReader(job.folder) as reader:
        assert reader.row(records.read(bucket)[0][videos[0]]) == row_of(videos[0], b"video 0")
    assert list((job.folder / "claims").iterdir()) == []
    member.close()
