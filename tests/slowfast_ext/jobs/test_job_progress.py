"""How far a job is, told from marks and notes that were made by hand."""

import json
import os
import time
from types import SimpleNamespace

import pytest
from fake_jobs import BAD, fake_job, make_videos, run

from slowfast_ext.jobs import progress
from slowfast_ext.jobs.claims import LEASE, Member
from slowfast_ext.jobs.folder import open_folder
from slowfast_ext.jobs.plan import make_plan
from slowfast_ext.jobs.progress import JobProgress
from slowfast_ext.jobs.records import BucketMark, JobRecords


class Job:
    """A folder with a plan of 20,000 videos, whose clock is set by hand."""

    def __init__(self, folder, monkeypatch) -> None:
        self.now, self.said = 1000.0, []
        monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: self.now))
        job = fake_job(folder)
        self.member = open_folder(job, fresh=False)
        self.folder = job.folder
        listed = folder / "list.txt"
        listed.write_text("".join(f"/v/{number}.mp4\n" for number in range(20_000)))
        self.plan = make_plan(job.folder, [], [listed], self.member)
        self.records = JobRecords(job.folder, "fake")
        self.buckets = list(self.plan.buckets)

    def mark(self, number: int, failed: int = 0) -> int:
        """Finish a bucket; how many videos it has."""
        videos = self.plan.buckets[self.buckets[number]][2]
        self.records.mark(self.buckets[number], BucketMark(self.plan.digest, videos, 1, failed, {}))
        return videos

    def far(self, name: str, machine: str, *at) -> None:
        """A process of another machine, with a note."""
        owner = json.dumps({"host": machine, "processes": [[1, "1"]]})
        (self.folder / "members" / name).write_text(f"{owner}\n{json.dumps(at)}\n")

    def progress(self) -> JobProgress:
        return JobProgress(self.folder, self.plan, self.records, self.member, self.said.append)

    def tell(self, found: JobProgress, after: float) -> str:
        self.now += after
        found.tell()
        return self.said[-1]


@pytest.fixture
def job(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    return Job(tmp_path / "out", monkeypatch)


def test_videos_are_counted_before_their_bucket_is_finished(job):
    finished = job.mark(0, failed=2) + job.mark(1)
    here = Member(job.folder)
    here.note(job.buckets[2], "/v/x.mp4", 3, 1, 500)
    job.far("far", "elsewhere", job.buckets[3], "/v/y.mp4", 1.0, 4, 2, 900)
    found = job.progress()
    assert (found.done, found.failed, found.repaired) == (finished + 7, 5, 2)
    assert not found.is_complete()
    # A bucket that is finished is no longer counted by what its process says.
    finished += job.mark(2, failed=1)
    found.look()
    assert (found.done, found.failed) == (finished + 4, 5)
    here.close()


def test_two_processes_in_one_bucket_count_once(job):
    """As after a pause of minutes."""
    for name, done in (("a", 5), ("b", 2), ("c", 3)):
        job.far(name, "elsewhere", job.buckets[3], "x", 1.0, done, 0, 0)
    assert job.progress().done == 5


def test_notes_of_an_earlier_version_and_half_a_note(job):
    job.far("old", "elsewhere", job.buckets[3], "x", 1.0)
    job.far("waits", "elsewhere", "", "", 1.0, 0, 0, 0)
    (job.folder / "members" / "half").write_text('{"host": "elsewhere", "processes": [[1, "1"]]}\n["0a')
    (job.folder / "members" / ".part").write_text("x")
    found = job.progress()
    assert found.done == 0
    assert job.tell(found, 40).endswith(" done (0 failed), 1 process")


def test_who_is_dead_is_not_at_work(job):
    job.far("gone", "elsewhere", job.buckets[3], "x", 1.0, 4, 0, 0)
    past = time.time() - LEASE - 5
    os.utime(job.folder / "members" / "gone", (past, past))
    here = Member(job.folder)
    here.note(job.buckets[2], "x", 3, 0, 0)
    path = job.folder / "members" / here.name
    owner, at, _ = path.read_text().split("\n")
    assert job.progress().done == 3
    owner = json.loads(owner)
    owner["processes"][0][1] = "another time"  # its number was given out again
    path.write_text(f"{json.dumps(owner)}\n{at}\n")
    assert job.progress().done == 0
    here.close()


def test_the_rate_is_of_the_last_minutes_and_of_new_videos(job):
    """Two machines, with 2 videos in a second, then 0.5; an hour before, ten thousand were done at once."""
    job.far("a", "one", job.buckets[0], "x", 1.0, 0, 0, 10_000)
    found = job.progress()
    for number in range(4000):
        job.mark(number)  # found to be done: that is no work
    counts = {"a": 10_000, "b": 0}
    for _ in range(20):
        counts = {name: count + 30 for name, count in counts.items()}
        for (name, count), machine in zip(counts.items(), ("one", "two"), strict=True):
            job.far(name, machine, job.buckets[4000], "x", 1.0, 0, 0, count)
        line = job.tell(found, 30)
    left = 20_000 - found.done
    minutes = -(-left // 120)
    wanted = f"2.00 videos/s, about {minutes // 60}:{minutes % 60:02} h to go, 2 processes on 2 machines"
    assert line == f"{found.done} of 20000 videos done (0 failed), {wanted}"
    for step in range(11):
        job.far("a", "one", job.buckets[4000], "x", 1.0, 0, 0, counts["a"] + 15 * (step + 1))
        line = job.tell(found, 30)
    assert ", 0.50 videos/s, " in line
    for step in range(11):
        job.far("a", "one", job.buckets[4000], "x", 1.0, 0, 0, counts["a"] + 15 * 11 + step // 5)
        line = job.tell(found, 30)
    assert ", 24 videos/h, about " in line  # two videos in five minutes
    for _ in range(11):
        line = job.tell(found, 30)
    assert "videos/" not in line
    assert "to go" not in line


def test_lines_come_now_and_then(job):
    found = job.progress()
    for _ in range(20):
        job.now += 1
        found.tell()
    assert job.said == []
    job.now += 11
    found.tell()
    assert len(job.said) == 1


def test_marks_are_read_once(job, monkeypatch):
    """4096 of them, every few seconds, would be too much for a disk that many machines share."""
    for number in range(50):
        job.mark(number)
    read, mark_of = [], job.records.mark_of
    monkeypatch.setattr(job.records, "mark_of", lambda *given: read.append(given[0]) or mark_of(*given))
    found = job.progress()
    assert len(read) == 50
    job.mark(50)
    (job.folder / "finished" / job.buckets[3]).unlink()
    before = found.done
    found.look()
    assert read[50:] == [job.buckets[50]]
    videos = [count for _, _, count in job.plan.buckets.values()]
    assert found.done == before + videos[50] - videos[3]
    job.mark(4, failed=1)  # tried again, by others
    found.look()
    assert found.failed == 0
    job.now += 301
    found.look()
    assert found.failed == 1
    assert len(read) == 52


def test_a_worker_says_how_far_it_is(tmp_path, monkeypatch):
    """Notes of a real process: what was there, what it did, and what failed."""
    videos, out = make_videos(tmp_path / "videos", 30), tmp_path / "out"
    for name in videos[:2]:
        with open(name, "wb") as file:
            file.write(BAD)
    monkeypatch.setattr("slowfast_ext.jobs.plan.bucket_of", lambda name: "0ab")  # all in one
    run(fake_job(out), videos[:10])
    notes, note = [], Member.note

    def noting(self, *given) -> None:
        notes.append(given)
        note(self, *given)

    from slowfast_ext.jobs.worker import JobShare, JobWorker

    job = fake_job(out)
    member = open_folder(job, fresh=False)
    plan = make_plan(job.folder, videos, [], member)
    monkeypatch.setattr(Member, "note", noting)
    JobWorker(job.folder, plan, JobRecords(job.folder, "fake"), member, job.work).run(JobShare(0, 1))
    assert [(bucket, done, failed, new) for bucket, _, done, failed, new in notes] == [
        *(("0ab", 10 + new, 2, new) for new in range(20)),
        ("0ab", 30, 2, 20),
    ]
    assert [video for _, video, *_ in notes] == [*videos[10:], ""]
