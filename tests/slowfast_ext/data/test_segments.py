"""Segments of videos from segments.json: what is read, and a sentence on everything that cannot be used."""

import json
import logging
import re

import pytest

from slowfast_ext.data.annotations import AnnotatedVideo, Segment, beyond_end, main_class
from slowfast_ext.data.segments import read_segments, write_segments
from slowfast_ext.data.video_list import read_video_list
from vtn.errors import InputError

CLASSES = ("Diving", "Cliff Diving", "Long Jump")


@pytest.fixture
def folder(tmp_path):
    """Two empty files, b in a folder with a space, listed as a and b; the names of three classes."""
    (tmp_path / "my videos").mkdir()
    for name in ("a.mp4", "my videos/b.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "val.csv").write_text("a.mp4 0\nmy videos/b.mp4 2\n")
    (tmp_path / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    return tmp_path


def segment(begin, end, label="Diving"):
    return {"segment": [begin, end], "label": label}


def entry(*annotations, **more):
    return {"subset": "val", "annotations": list(annotations), **more}


def read(folder, a=None, **more):
    """The segments of the listed videos, where b has one and a has those of the entry `a`."""
    others = {"my videos/b.mp4": entry(segment(1, 2, "Long  Jump"))} | more
    database = others if a is None else {"a.mp4": a} | others
    (folder / "segments.json").write_text(json.dumps({"version": "1", "database": database}))
    return read_listed(folder)


def read_listed(folder):
    paths, _ = read_video_list(folder / "val.csv", num_classes=3)
    return read_segments(folder, paths, num_classes=3)


def test_segments_of_every_listed_video_by_their_beginning(folder):
    both = entry(segment(7.5, 9), segment(0, 3, "Cliff Diving"), segment(0.5, 2), duration=10)
    found = read(folder, both, **{"other.mp4": entry()})
    assert found == [
        (Segment(0, 3, 1), Segment(0.5, 2, 0), Segment(7.5, 9, 0)),
        (Segment(1, 2, 2),),
    ]
    assert all(isinstance(one.begin, float) for one in found[0])


def test_half_open_segments_may_touch(folder):
    first, _ = read(folder, entry(segment(2, 4), segment(0, 2)))
    assert first == (Segment(0, 2, 0), Segment(2, 4, 0))


def test_keys_are_the_names_of_the_list_whatever_way_it_is_read(folder, monkeypatch):
    """Relative to the list, to the working directory or to a prefix; `//` and `..` change nothing."""
    for name in ("./a.mp4", "my videos//../a.mp4", str(folder / "a.mp4")):
        found = read(folder, None, **{name: entry(segment(3, 4))})
        assert found[0] == (Segment(3, 4, 0),)
    monkeypatch.chdir(folder)
    assert read(folder, entry(segment(5, 6)))[0] == (Segment(5, 6, 0),)
    prefix = str(folder / "my videos")
    (folder / "val.csv").write_text("b.mp4 2\n")
    (folder / "segments.json").write_text(json.dumps({"database": {"b.mp4": entry(segment(7, 8))}}))
    paths, _ = read_video_list(folder / "val.csv", num_classes=3, path_prefix=prefix)
    found = read_segments(folder, paths, num_classes=3, path_prefix=prefix)
    assert found == [(Segment(7, 8, 0),)]


def test_what_ends_a_little_after_the_video_is_cut_off_and_told_once(folder, caplog):
    caplog.set_level(logging.INFO)
    late = entry(segment(8, 10.4), segment(9, 10.5, "Long Jump"), segment(1, 10), duration=10)
    late["annotations"].pop()  # would overlap
    found, _ = read(folder, late)
    assert found == (Segment(8, 10, 0), Segment(9, 10, 2))
    (record,) = caplog.records
    assert "2 segments end up to 0.5 s after their videos" in record.getMessage()


@pytest.mark.parametrize(
    ("annotated", "message"),
    [
        (entry(segment(3, 3)), "a segment from 3 to 3 s, whose length is not positive"),
        (entry(segment(3, 2.5)), "a segment from 3 to 2.5 s, whose length is not positive"),
        (entry(segment(-0.1, 2)), "a segment that begins at -0.1 s, before the video"),
        (entry(segment(1, float("nan"))), "has the segment [1, NaN]; it must be two finite numbers"),
        (entry(segment(1, float("inf"))), "has the segment [1, Infinity]; it must be two finite"),
        (entry(segment(1, 10**400)), "it must be two finite numbers"),
        (entry(segment(1, "2")), 'has the segment [1, "2"]; it must be two finite numbers'),
        (entry(segment(False, True)), "has the segment [false, true]; it must be"),
        (entry({"segment": [1, 2, 3], "label": "Diving"}), "has the segment [1, 2, 3]; it must be"),
        (entry({"label": "Diving"}), "has the segment null; it must be"),
        (entry({"segment": [1, 2]}), "a segment of the class null, which is unknown"),
        (entry(segment(1, 2, "diving")), "class 'diving', which is unknown; close names are 'Diving'"),
        (entry(segment(1, 2, "x")), "a segment of the class 'x', which is unknown."),
        (
            entry(segment(4, 6), segment(1, 4.5)),
            "has two segments of 'Diving' that overlap, 1 to 4.5 s and 4 to 6 s",
        ),
        (entry(segment(4, 6), segment(4, 6)), "that overlap, 4 to 6 s and 4 to 6 s"),
        (entry(segment(0, 10.6), duration=10), "has a segment from 0 to 10.6 s, but lasts 10 s"),
        (entry(segment(10, 10.2), duration=10), "has a segment from 10 to 10.2 s, but lasts 10 s"),
        (
            entry(segment(3, 9), segment(75, 300), duration=100),
            "has a segment that ends at 300, but lasts 100 s: the times seem to be counted in frames",
        ),
        (
            entry({"segment(frames)": [3, 9], "label": "Diving"}),
            'has times in frames only ("segment(frames)"); "segment" must give them in seconds',
        ),
        (entry(segment(1, 2), duration="10"), "has the duration '10'; it must be a positive number"),
        (entry(segment(1, 2), duration=0), "has the duration 0; it must be a positive number"),
        ({"subset": "val"}, 'has no list of "annotations"'),
        ([[1, 2]], 'has no list of "annotations"'),
        (entry([1, 2]), 'has no list of "annotations"'),
    ],
)
def test_what_cannot_be_used_is_named(folder, annotated, message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read(folder, annotated)
    assert f"{folder}/segments.json: 'a.mp4' has " in str(caught.value)
    # Also where the video is in another list: that would be found out after the training.
    (folder / "val.csv").write_text("my videos/b.mp4 2\n")
    with pytest.raises(InputError, match=re.escape(message)):
        read_listed(folder)


def test_several_problems_are_counted(folder):
    with pytest.raises(InputError, match=r"whose length is not positive \(and 2 more\)\.$"):
        read(folder, entry(segment(3, 3), segment(-1, 2), segment(1, 2, "x")))


def test_videos_without_segments(folder):
    with pytest.raises(InputError, match=r"json has no entry for 1 of the 2 listed videos: .*/a\.mp4\.$"):
        read(folder)
    with pytest.raises(InputError, match=r"json has no segments for 1 of the 2 listed videos: .*/a\.mp4\.$"):
        read(folder, entry())
    with pytest.raises(InputError, match=r"two entries for one video, the second of which is '\./a\.mp4'"):
        read(folder, entry(segment(1, 2)), **{"./a.mp4": entry(segment(1, 2))})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "segments.json does not exist; it must hold the segments of every listed video"),
        ("{'a': 1}", "segments.json is not JSON (line 1, column 2)"),
        ("[" * 100_000, "segments.json is not JSON"),
        ("[" + "1" * 5000 + "]", "segments.json is not JSON that can be used"),
        ("[]", 'segments.json has no "database" of videos'),
        ('{"database": {}}', 'segments.json has no "database" of videos'),
        ('{"database": [1]}', 'segments.json has no "database" of videos'),
    ],
)
def test_files_that_are_none(folder, text, message):
    if text is not None:
        (folder / "segments.json").write_text(text)
    with pytest.raises(InputError, match=re.escape(message)):
        read_listed(folder)


def test_other_bytes_and_other_classes(folder):
    (folder / "segments.json").write_bytes(b'{"database": "\xff"}')
    with pytest.raises(InputError, match=r"segments\.json is not UTF-8 text \(byte 14\)"):
        read_listed(folder)
    (folder / "classes.txt").write_text("Diving\nCliff Diving\n")
    with pytest.raises(InputError, match=r"classes\.txt: it has 2 lines, but MODEL\.NUM_CLASSES is 3"):
        read_listed(folder)
    (folder / "classes.txt").unlink()
    with pytest.raises(InputError, match=r"classes\.txt cannot be read: No such file"):
        read_listed(folder)


def test_what_is_written_is_read(folder):
    first = (Segment(0.1, 1 / 3, 2), Segment(2, 3, 0))
    videos = {
        "a.mp4": AnnotatedVideo(first, 4.5, "train"),
        "my videos/b.mp4": AnnotatedVideo((Segment(5, 6, 1),), subset="test"),
        'é "c".mp4': AnnotatedVideo(),
    }
    write_segments(folder / "segments.json", videos, CLASSES)
    assert read_listed(folder) == [first, (Segment(5, 6, 1),)]
    text = (folder / "segments.json").read_text()
    assert len(text.splitlines()) == 5
    assert json.loads(text)["database"]["a.mp4"] == {
        "subset": "train",
        "duration": 4.5,
        "annotations": [segment(0.1, 1 / 3, "Long Jump"), segment(2, 3)],
    }


def test_main_class_and_end():
    # Class 2 takes 1.5 + 1 s, class 0 takes 2 s; of equal ones the smallest number counts.
    segments = [Segment(0, 2, 0), Segment(1, 2.5, 2), Segment(4, 5, 2)]
    assert main_class(segments) == 2
    assert main_class([*segments[:2], Segment(6, 6.5, 2)]) == 0
    assert beyond_end(segments, 4.5) is None
    assert beyond_end(segments, 4.4) == segments[2]
    assert beyond_end(segments, 4.0) == segments[2]
