"""A data set from its videos to its lists: what is listed, what is left out and why, what is done again."""

import os

import pytest
from prepared import prepare_folder, prepare_plan, problems
from videos import make_video

from slowfast_ext.data.video_list import read_video_list
from slowfast_ext.prepare import lists, report
from slowfast_ext.prepare.copies import Copies
from slowfast_ext.prepare.find import VideoIndex
from slowfast_ext.prepare.folders import plan_folders
from slowfast_ext.prepare.plan import Plan, PlanEntry
from slowfast_ext.prepare.process import Outcome, Work, process_video
from slowfast_ext.prepare.run import Settings
from vtn.errors import InputError


@pytest.mark.parametrize("separator", [" ", ",", "\t", ";;"])
def test_lists_are_read_by_training(folder, tmp_path, separator, monkeypatch):
    out = tmp_path / "out"
    lines: list[str] = []
    prepare_folder(folder, out, lines, verify="quick", separator=separator)
    monkeypatch.chdir(tmp_path)
    names = (out / "classes.txt").read_text(encoding="utf-8").splitlines()
    assert names == ["a:b", "jump rope", "日本 12"]
    for split, count in (("train", 4), ("val", 3), ("test", 3)):
        paths, labels = read_video_list(out / f"{split}.csv", num_classes=3, separator=separator)
        assert len(paths) == count
        assert all(names[label] in path for path, label in zip(paths, labels, strict=True))
    assert (out / "test.csv").read_text() == (out / "val.csv").read_text()
    assert [(p["outcome"], p["listed"], p["class"]) for p in problems(out)] == [
        ("failed", "no", "a:b"),
        ("incomplete", "yes", "a:b"),
    ]
    assert "train 4, val 3, test 3 videos, 3 classes; 0 missing, 1 failed, 1 incomplete" in lines[-1]
    report = (out / "report.md").read_text(encoding="utf-8")
    assert "broken.mp4 cannot be decoded as a video" in report
    assert "日本 12" in report
    assert (out / "report.png").read_bytes().startswith(b"\x89PNG")


def test_copies_are_listed_relative_to_the_folder(folder, tmp_path):
    out = tmp_path / "out"
    prepare_folder(folder, out, short_side=32)
    rows = (out / "train.csv").read_text(encoding="utf-8").splitlines()
    assert "videos/train/日本 12/clip, 1 1.mp4 2" in rows
    # The folder may be moved, and what was done is still known there.
    moved = out.rename(tmp_path / "moved")
    paths, _ = read_video_list(moved / "train.csv", num_classes=3)
    assert len(paths) == 4
    assert not list(moved.rglob("*.part"))
    lines: list[str] = []
    prepare_folder(folder, moved, lines, short_side=32)
    assert "8 of 8 videos were done before" in lines


def test_a_class_that_a_list_lost_is_told(folder, tmp_path):
    (folder / "val" / "a:b" / "clip, 2 1.mp4").write_bytes(b"no video at all" * 50)
    lines: list[str] = []
    prepare_folder(folder, tmp_path / "out", lines, verify="quick")
    expected = "Warning: of 1 of the classes in val, such as 'a:b', no video is there or can be read."
    assert [line for line in lines if "of the classes" in line] == [f"note: {expected}"]
    assert expected in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_reading_and_writing_in_one_folder_is_refused(folder):
    with pytest.raises(InputError, match=r"--videos and --out are both .*my videos: choose another folder"):
        VideoIndex(folder, without=folder)


def test_full_verification_finds_what_quick_does_not(tmp_path):
    path = make_video(tmp_path / "a.mp4", 60)
    data = bytearray(path.read_bytes())
    # Whole packets, with nothing in them that can be decoded.
    start, end = len(data) // 4, len(data) // 2
    begin = data.index(b"mdat")
    assert begin < start
    data[start:end] = bytes(end - start)
    path.write_bytes(bytes(data))
    quick = process_video(str(path), Work("quick"))
    full = process_video(str(path), Work("full"))
    assert (quick.missing, quick.num_frames) == ("", 60)
    assert "of its 60 frames cannot be decoded" in full.missing
    assert full.num_frames < 60


def test_a_full_disk_ends_the_run(tmp_path, monkeypatch):
    path = make_video(tmp_path / "a.mp4", 5)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("slowfast_ext.prepare.process.reencode_video", full)
    copies = Copies(tmp_path / "out", tmp_path)
    with pytest.raises(InputError, match=r"cannot write .*/out/a\.mp4: No space left on device"):
        process_video(str(path), Work(short_side=32), copies)
    assert list((tmp_path / "out" / ".parts").iterdir()) == []
    (tmp_path / "v" / "a").mkdir(parents=True)
    path.rename(tmp_path / "v" / "a" / "a.mp4")
    with pytest.raises(InputError, match=r"cannot write .*/out2/videos/a/a\.mp4: No space left on device"):
        prepare_folder(tmp_path / "v", tmp_path / "out2", short_side=32)
    assert not (tmp_path / "out2" / "videos" / ".parts").exists()


def test_repeated_files_are_counted(tmp_path):
    (tmp_path / "v").mkdir()
    path = str(make_video(tmp_path / "v" / "a.mp4", 400, fps=25))
    index = VideoIndex(tmp_path / "v", without=tmp_path / "out")
    entries = [
        PlanEntry("train", 0, "a", path, 10.0),
        PlanEntry("train", 0, "a", path, 10.0),
        PlanEntry("val", 0, "a", path, 10.0),
        PlanEntry("val", 1, "gone", None),
    ]
    lines: list[str] = []
    # An earlier run of other annotations left a list that this one has no videos for.
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "job").mkdir()
    (tmp_path / "out" / "test.csv").write_text("old.mp4 0\n")
    settings = Settings(tmp_path / "out", Work("quick"))
    result = prepare_plan(Plan(["x", "y"], entries), index, settings, lines)
    assert {split: len(listed) for split, listed in result.listed.items()} == {
        "train": 1,
        "val": 1,
        "test": 0,
    }
    assert not (tmp_path / "out" / "test.csv").exists()
    assert [(p["outcome"], p["listed"]) for p in problems(tmp_path / "out")] == [
        ("repeated", "no"),
        ("repeated", "yes"),
        ("missing", "no"),
    ]
    assert any("Warning: 1 entries name a file that stands in another list" in line for line in lines)
    assert any("1 entries are given twice" in line for line in lines)
    assert any("2 videos are longer than the segment" in line for line in lines)


def test_a_file_under_two_classes_of_a_list_is_left_out(tmp_path):
    """What is written is what training takes; another list may have the file."""
    (tmp_path / "v").mkdir()
    a, b = (str(make_video(tmp_path / "v" / f"{name}.mp4", 4)) for name in "ab")
    entries = [PlanEntry("train", 0, "a", a), PlanEntry("train", 1, "b", b), PlanEntry("train", 1, "a", a)]
    entries += [PlanEntry("val", 1, "a", a), PlanEntry("val", 0, "b", b)]
    (tmp_path / "x").mkdir()
    index = VideoIndex(tmp_path / "x" / ".." / "v", without=tmp_path / "out")
    assert index.folder == tmp_path / "v"
    lines: list[str] = []
    settings = Settings(tmp_path / "x" / ".." / "out", Work("quick"))
    prepare_plan(Plan(["x", "y"], entries), index, settings, lines)
    out = tmp_path / "out"
    assert read_video_list(out / "train.csv", num_classes=2) == ([b], [1])
    assert read_video_list(out / "val.csv", num_classes=2) == ([a, b], [1, 0])
    found = [(p["outcome"], p["listed"], p["split"], p["reason"]) for p in problems(out)]
    reason = "the same file is in train as 'x' and 'y'"
    assert [row for row in found if row[0] == "contradictory"] == [
        ("contradictory", "no", "train", reason)
    ] * 2
    assert any(
        "2 entries name a file that stands under several classes of one list" in line for line in lines
    )


def test_thousands_of_classes(tmp_path):
    root = tmp_path / "v"
    video = make_video(tmp_path / "a.mp4", 2)
    for number in range(3000):
        (root / f"class {number}").mkdir(parents=True)
        os.link(video, root / f"class {number}" / f"{number}.mp4")
    index = VideoIndex(root, without=tmp_path / "out")
    plan = plan_folders(index, val_fraction=0)
    outcomes = {entry.path: Outcome("", "", 2, 30.0, 96, 64) for entry in plan.entries}
    result = lists.PreparedDataset(plan, outcomes)
    (tmp_path / "out").mkdir()
    lists.write_lists(result, tmp_path / "out", " ")
    report.write_report(result, tmp_path / "out", "Test")
    _, labels = read_video_list(tmp_path / "out" / "train.csv", num_classes=3000)
    assert sorted(labels) == list(range(3000))
    assert len((tmp_path / "out" / "report.md").read_text().splitlines()) < 60
    assert len((tmp_path / "out" / "class_counts.csv").read_text().splitlines()) == 3001


def test_refusals(folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "train.csv").write_text("label,youtube_id\n")
    with pytest.raises(InputError, match=r"holds train\.csv that this program did not write"):
        prepare_folder(folder, out)
    assert (out / "train.csv").read_text() == "label,youtube_id\n"
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot make the folder"):
        prepare_folder(folder, tmp_path / "file" / "out")
    only = tmp_path / "only" / "a"
    only.mkdir(parents=True)
    (only / "broken.mp4").write_bytes(b"x")
    with pytest.raises(InputError, match=r"No video can be listed: see .*failures\.csv"):
        prepare_folder(only.parent, tmp_path / "out2")


def test_copies_never_overwrite_originals(tmp_path):
    (tmp_path / "out" / "videos" / "a").mkdir(parents=True)
    make_video(tmp_path / "out" / "videos" / "a" / "1.mp4", 3)
    with pytest.raises(InputError, match=r"would overwrite it: name another --out"):
        prepare_folder(tmp_path / "out" / "videos", tmp_path / "out", short_side=32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"work": Work(short_side=255)}, "--short-side must be even"),
        ({"work": Work(crf=60)}, "--crf must be 0 to 51, but is 60"),
        ({"separator": ""}, "--separator is ''"),
        ({"separator": "\n"}, "--separator is"),
        ({"separator": "1"}, "--separator is '1'"),
    ],
)
def test_settings_are_checked(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        Settings(**({"out": tmp_path, "work": Work()} | options))
