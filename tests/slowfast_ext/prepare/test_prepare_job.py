"""Preparing a data set is a job: it goes on after any end, and commands share it."""

import json
import os
import pickle
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from disk import assert_on_disk_before_its_name, watch_disk
from fake_jobs import in_process, pids_at_work
from prepared import done, names_at_work, names_in, prepare_folder, problems
from videos import make_video

from slowfast_ext.prepare import many, run
from slowfast_ext.prepare.copies import Copies
from slowfast_ext.prepare.process import Outcome, Work, process_video
from slowfast_ext.video import VideoReader
from vtn.errors import InputError


def test_what_was_done_is_not_done_again_unless_it_changed(folder, tmp_path):
    out = tmp_path / "out"
    prepare_folder(folder, out, short_side=32)
    before = done(out)
    assert len(before) == len(set(before)) == 8
    # A record that a killed process did not finish, a copy that is gone, and originals that are others now:
    # one of another size, one of the same.
    unfinished = str(folder / "train" / "日本 12" / "clip, 1 1.mp4")
    (record,) = [path for path in (out / "job" / "records").iterdir() if unfinished in names_in(path)]
    os.truncate(record, record.stat().st_size - 30)
    gone = folder / "val" / "a:b" / "clip, 2 1.mp4"
    (out / "videos" / "val" / "a:b" / "clip, 2 1.mp4").unlink()
    changed = make_video(folder / "train" / "a:b" / "broken.mp4", 30)
    spoilt = folder / "val" / "jump rope" / "clip, 0 1.mp4"
    spoilt.write_bytes(bytes(spoilt.stat().st_size))
    say: list[str] = []
    result = prepare_folder(folder, out, say, short_side=32)
    again = Counter(done(out)) - (Counter(before) - Counter([unfinished]))
    assert again == Counter([unfinished, str(gone), str(changed), str(spoilt)])
    assert "1 rows were gone or damaged: their videos are done again" in say
    assert (out / "videos" / "val" / "a:b" / "clip, 2 1.mp4").is_file()
    assert [problem["path"] for problem in problems(out) if problem["outcome"] == "failed"] == [str(spoilt)]
    assert result.count("failed") == 1


def test_other_work_is_another_job(folder, tmp_path):
    """Copies of two sizes would have the same names."""
    out = tmp_path / "out"
    prepare_folder(folder, out, short_side=32)
    with pytest.raises(InputError, match="another job: short_side is 32 there and 48 here; .* --fresh"):
        prepare_folder(folder, out, short_side=48)
    with pytest.raises(InputError, match="another job: short_side is 32 there and 0 here, crf is 20 there"):
        prepare_folder(folder, out)
    prepare_folder(folder, out, short_side=48, fresh=True)
    assert len(done(out)) == 8
    assert VideoReader(out / "videos" / "val" / "a:b" / "clip, 2 1.mp4").info.height == 48


def test_copies_of_other_originals_are_made(folder, tmp_path):
    """The same file, found from another folder, has another place among the copies."""
    out = tmp_path / "out"
    prepare_folder(folder, out, short_side=32)
    copy = out / "videos" / "train" / "日本 12" / "clip, 1 1.mp4"
    there = out / "videos" / "日本 12" / copy.name
    there.parent.mkdir()
    there.write_bytes(bytes(copy.stat().st_size))  # of something else, and as long
    prepare_folder(folder / "train", out, short_side=32)
    assert VideoReader(there).info.num_frames == 21
    rows = [row for name in ("train", "val") for row in (out / f"{name}.csv").read_text("utf-8").splitlines()]
    assert len(rows) == 4
    assert "videos/日本 12/clip, 1 1.mp4 2" in rows
    assert all((out / row.rpartition(" ")[0]).is_file() for row in rows)


def test_failures_are_tried_again_only_if_asked(folder, tmp_path):
    out = tmp_path / "out"
    broken = str(folder / "train" / "a:b" / "broken.mp4")
    for options, attempts in (({}, 1), ({}, 1), ({"retry_failed": True}, 2)):
        prepare_folder(folder, out, verify="quick", **options)
        assert done(out).count(broken) == attempts
        time.sleep(1.1)  # times of records are in seconds


def poisoned(path: str, work: Work, copies: Copies) -> Outcome:
    """Stands for a file that takes its reader down."""
    if "cut" in path:
        with copies.new(path) as part:
            part.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return process_video(path, work, copies)


def test_a_file_that_kills_its_reader_is_named(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(many, "process_video", poisoned)
    out = tmp_path / "out"
    result = prepare_folder(folder, out, short_side=32)
    (row,) = [problem for problem in problems(out) if "cut" in problem["path"]]
    assert row["outcome"] == "failed"
    assert row["reason"].endswith("cut.mp4: the process that read it died (signal 9, SIGKILL).")
    assert len(result.listed["train"]) == 3
    assert not (out / "videos" / ".parts").exists()


def hanging(path: str, work: Work, copies: Copies) -> Outcome:
    """Stands for a file at which its reader hangs."""
    if "cut" in path:
        with copies.new(path) as part:
            part.touch()
            time.sleep(60)
    return process_video(path, work, copies)


def test_a_file_that_hangs_is_given_up(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(many, "process_video", hanging)
    out = tmp_path / "out"
    result = prepare_folder(folder, out, short_side=32, timeout=2.5)
    assert result.count("failed") == 2
    (row,) = [problem for problem in problems(out) if "cut" in problem["path"]]
    assert row["reason"].endswith("cut.mp4: it took longer than 2.5 s.")
    assert not (out / "videos" / ".parts").exists()


def test_parts_of_others_stay(tmp_path):
    """Only what a process has left that ended is removed; of another machine's, what nobody touches."""
    copies = Copies(tmp_path, tmp_path / "v")
    with copies.new(str(tmp_path / "v" / "a.mp4")) as part:
        part.touch()
        elsewhere, long_ago = (part.with_name(f"0123456789ab-{pid}-7-00") for pid in (1, 2))
        for other in elsewhere, long_ago:
            other.touch()
        os.utime(long_ago, (1, 1))
        copies.remove_left()
        assert sorted(part.parent.iterdir()) == sorted([part, elsewhere])
    assert (tmp_path / "a.mp4").exists()


def test_a_copy_is_on_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done, copies = watch_disk(monkeypatch), Copies(tmp_path, tmp_path / "v")
    monkeypatch.setattr(Path, "replace", lambda source, target: os.replace(source, target))
    with copies.new(str(tmp_path / "v" / "a.mp4")) as part:
        part.write_bytes(b"copy")
    assert_on_disk_before_its_name(tmp_path / "a.mp4", done)


def test_the_work_can_be_made_elsewhere(folder, tmp_path, monkeypatch):
    """As processes do that are not forked."""
    jobs = []
    monkeypatch.setattr(run, "run_and_tell", lambda job, *rest: jobs.append(job))
    prepare_folder(folder, tmp_path / "out", short_side=32)
    video = str(folder / "val" / "a:b" / "clip, 2 1.mp4")
    made = pickle.loads(pickle.dumps(jobs[0].make))()
    row, other = (json.loads(work.do(video, video, (1, 1)).row) for work in (made, jobs[0].work))
    assert (row["path"], row["outcome"], row["copy"]) == (video, other["outcome"], other["copy"])
    assert (tmp_path / "out" / "videos" / "val" / "a:b" / "clip, 2 1.mp4").is_file()


def test_lists_of_other_annotations_are_written_anew(folder, tmp_path):
    """No row speaks of classes: the videos are the same, and what is listed is not."""
    out = tmp_path / "out"
    prepare_folder(folder, out, verify="quick")
    (out / "val.csv").unlink()
    before = (out / "train.csv").read_text(encoding="utf-8")
    prepare_folder(folder, out, verify="quick", separator=",")
    assert (out / "train.csv").read_text(encoding="utf-8") == before.replace("mp4 ", "mp4,")
    assert (out / "val.csv").is_file()
    assert len(done(out)) == 8


def test_two_commands_share_the_work_and_the_last_one_writes(folder, tmp_path, monkeypatch):
    out = tmp_path / "out"

    def slow(path: str, work: Work, copies: None) -> Outcome:
        time.sleep(60 * ("broken" in path))
        return process_video(path, work, copies)

    monkeypatch.setattr(many, "process_video", slow)
    other = in_process(lambda: prepare_folder(folder, out, verify="quick", processes=1, shards=2))
    try:
        while not (at := names_at_work(out)) or "broken" not in at[0]:
            assert other.is_alive()
        monkeypatch.undo()
        lines: list[str] = []
        assert prepare_folder(folder, out, lines, verify="quick", shard=1, shards=2) is None
        expected = "7 of 8 videos so far, 0 failed: 1 process of another command is at work on the rest"
        assert expected in lines[-1]
        assert not (out / "train.csv").exists()
        assert not (out / "report.md").exists()
    finally:
        other.kill()
        other.join()
    while pids_at_work(out):  # they end when they are told that it has
        time.sleep(0.01)
    assert prepare_folder(folder, out, verify="quick").count("failed") == 1
    assert len(done(out)) == 8


def test_a_folder_of_an_earlier_version_goes_on(folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "journal.jsonl").write_text("{}\n")
    (out / "train.csv").write_text("old.mp4 0\n")
    journal = f"{out / 'journal.jsonl'} is of an earlier version of this program"
    note = f"note: {journal}: all videos are read again"
    for times in 1, 0:
        lines: list[str] = []
        prepare_folder(folder, out, lines, verify="quick")
        assert lines.count(note) == times
    assert "old.mp4" not in (out / "train.csv").read_text(encoding="utf-8")
