"""Annotations of segments, as ActivityNet and THUMOS14 have them: what is listed, and what cannot be used."""

import json
import re

import pytest
from plans import listed, write
from videos import make_video

from slowfast_ext.data.annotations import Segment
from slowfast_ext.data.segments import read_segments
from slowfast_ext.data.video_list import read_video_list
from slowfast_ext.prepare.command import prepare_dataset
from slowfast_ext.prepare.segments import plan_segments
from vtn.errors import InputError

ACTIVITYNET = {
    "version": "VERSION 1.3",
    "taxonomy": [{"parentName": "Sports", "nodeName": "High jump"}],
    "database": {
        "sJFgo9H6zNo": {
            "url": "https://www.youtube.com/watch?v=sJFgo9H6zNo",
            "subset": "training",
            "resolution": "320x240",
            "duration": 137.8,
            "annotations": [
                {"segment": [16.4, 32.2], "label": "High jump"},
                {"segment": [20, 40.1], "label": "Polishing shoes"},
            ],
        },
        "bbb": {
            "subset": "validation",
            "duration": 50,
            "annotations": [{"segment": [40, 50.3], "label": "High jump"}],
        },
        "ccc": {"subset": "testing", "duration": 60, "annotations": []},
        "ddd": {"subset": "testing", "duration": 61.5, "annotations": []},
        "eee": {
            "subset": "training",
            "duration": 9,
            "annotations": [{"segment": [1, 2], "label": "High jump"}],
        },
    },
}
THUMOS14 = {
    "version": "Thumos14-30fps",
    "database": {
        "video_validation_0000051": {
            "subset": "Validation",
            "duration": 169.79,
            "fps": 30.0,
            "annotations": [
                {
                    "label": "CliffDiving",
                    "segment": [9.0, 12.5],
                    "segment(frames)": [270, 375],
                    "label_id": 4,
                },
                {"label": "Diving", "segment": [9.0, 12.5], "segment(frames)": [270, 375], "label_id": 7},
            ],
        },
        "video_test_0000004": {
            "subset": "Test",
            "duration": 33.67,
            "frame": 1010,
            "annotations": [
                {"label": "CricketBowling", "segment": [0.2, 1.1], "segment(frames)": [6, 33], "label_id": 5}
            ],
        },
    },
}


def document(folder, database):
    return write(folder / "a.json", json.dumps({"database": database}))


def test_activitynet(tmp_path, videos):
    index = videos("v_sJFgo9H6zNo.mkv", "old/bbb.mp4", "ccc.mp4")
    plan = plan_segments(write(tmp_path / "a.json", json.dumps(ACTIVITYNET)), index)
    assert plan.classes == ["High jump", "Polishing shoes"]
    # The class of 20.1 s, not that of 15.8 s, nor the one that is annotated first.
    assert listed(plan, index) == [
        ("train", "Polishing shoes", "v_sJFgo9H6zNo.mkv"),
        ("train", "High jump", None),
        ("val", "High jump", "old/bbb.mp4"),
    ]
    assert plan.entries[0].segments == (Segment(16.4, 32.2, 0), Segment(20, 40.1, 1))
    assert plan.entries[1].name == "v_eee.mp4"
    assert plan.entries[2].segments == (Segment(40, 50, 0),)
    assert plan.notes == [
        "2 videos of 'testing' have no segments and are left out.",
        "1 segments end up to 0.5 s after their videos, and are taken to end with them.",
        "The data set has no test list with classes: test.csv is a copy of val.csv.",
    ]
    assert plan.copies == {"test": "val"}


def test_thumos_is_trained_on_validation_videos(tmp_path, videos):
    index = videos("validation/video_validation_0000051.mp4", "test/video_test_0000004.mp4")
    plan = plan_segments(write(tmp_path / "a.json", json.dumps(THUMOS14)), index)
    assert plan.classes == ["CliffDiving", "CricketBowling", "Diving"]
    assert listed(plan, index) == [
        ("train", "CliffDiving", "validation/video_validation_0000051.mp4"),
        ("test", "CricketBowling", "test/video_test_0000004.mp4"),
    ]
    assert plan.entries[0].segments == (Segment(9, 12.5, 0), Segment(9, 12.5, 2))
    assert plan.copies == {"val": "test"}
    assert any("those for validation are in train.csv" in note for note in plan.notes)


def test_classes_may_be_given(tmp_path, videos):
    annotations = document(tmp_path, ACTIVITYNET["database"])
    classes = write(tmp_path / "c.txt", "polishing_shoes\nLong jump\nHigh Jump\n")
    plan = plan_segments(annotations, videos("bbb.mp4"), classes)
    assert plan.classes == ["polishing_shoes", "Long jump", "High Jump"]
    assert [entry.label for entry in plan.entries] == [0, 2, 2]
    classes = write(tmp_path / "c.txt", "Polishing shoes\nLong jump\n")
    with pytest.raises(
        InputError,
        match=r"'bbb' has a segment of the class 'High jump', which is unknown; close .* 'Long jump'",
    ):
        plan_segments(annotations, videos("bbb.mp4"), classes)


BAD = {
    "a": {"subset": "training", "annotations": [{"segment": [3, 3], "label": "x"}]},
    "b": {
        "subset": "training",
        "duration": 10,
        "annotations": [
            {"segment": [4, 6], "label": "x"},
            {"segment": [5, 7], "label": "x"},
            {"segment": [5, 7], "label": "y"},
            {"segment": [8, 11], "label": "y"},
        ],
    },
    "c": {"subset": "holdout", "annotations": [{"segment": [1, 2], "label": "x"}]},
    "d": {"subset": "training", "duration": 10, "annotations": [{"segment": [90, 180], "label": "x"}]},
    "e": {"subset": "training", "annotations": [{"segment(frames)": [90, 180], "label": "x"}]},
    "f": {"subset": "training", "annotations": [{"segment": [1, 2], "label": "x\a"}]},
    "g": {"subset": "training", "annotations": None},
}
SENTENCES = [
    "'a' has a segment from 3 to 3 s, whose length is not positive",
    "'b' has a segment from 8 to 11 s, but lasts 10 s",
    "'b' has two segments of 'x' that overlap, 4 to 6 s and 5 to 7 s",
    "'c' has the subset 'holdout'; it must be training, validation or testing",
    "'d' has a segment that ends at 180, but lasts 10 s: the times seem to be counted in frames, and must be "
    "seconds",
    '\'e\' has times in frames only ("segment(frames)"); "segment" must give them in seconds',
    "'f' has a segment of the class 'x\\x07', which is unknown; close names are 'x'",
    "'g' has no list of \"annotations\"",
]


def test_all_that_cannot_be_used_is_named(tmp_path, videos):
    with pytest.raises(InputError) as caught:
        plan_segments(document(tmp_path, BAD), videos("b.mp4"))
    assert str(caught.value) == (
        f"{tmp_path}/a.json has 8 annotations that cannot be used: {'; '.join(SENTENCES)}; correct them, "
        "or add --leave-out-bad"
    )
    many = {f"v{number}": BAD["a"] for number in range(103)}
    with pytest.raises(InputError, match=r"'v99' has [^;]*; and 3 more; correct"):
        plan_segments(document(tmp_path, many), videos("b.mp4"))


def test_or_is_left_out_and_named(tmp_path, videos):
    index = videos("b.mp4")
    plan = plan_segments(document(tmp_path, BAD), index, leave_out_bad=True)
    assert listed(plan, index) == [("train", "x", "b.mp4")]
    assert plan.entries[0].segments == (Segment(4, 6, 0), Segment(5, 7, 1))
    assert [note for note in plan.notes if note.startswith("Left out")] == [
        f"Left out: {sentence}." for sentence in SENTENCES
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "a.json cannot be read: No such file"),
        ("label,youtube_id", "a.json is not JSON (line 1, column 1)"),
        ('{"videos": []}', 'a.json has no "database" of videos'),
    ],
)
def test_other_files(tmp_path, videos, text, message):
    if text is not None:
        write(tmp_path / "a.json", text)
    with pytest.raises(InputError, match=re.escape(message)):
        plan_segments(tmp_path / "a.json", videos("x.mp4"))


@pytest.mark.parametrize("copies", [(), ("--short-side", "32")], ids=["", "copies"])
def test_from_the_command_to_the_data_set(tmp_path, copies, capsys):
    """Seven videos of 2 s; of e more is annotated than there is, f is no video, g is cut off."""
    folder, out = tmp_path / "my videos", tmp_path / "out"
    folder.mkdir()
    database = {}
    for name in "abcdefg":
        path = make_video(folder / f"v_{name}.mp4", 50, fps=25, container_options={"movflags": "faststart"})
        end = 3.0 if name == "e" else 2.3
        database[name] = {
            "subset": "validation" if name in "bd" else "training",
            "annotations": [{"segment": [0.5, 1], "label": "Jump"}, {"segment": [1.2, end], "label": "Run"}],
        }
    (folder / "v_f.mp4").write_bytes(b"no video" * 99)
    path.write_bytes(path.read_bytes()[:-400])
    document(tmp_path, database)
    words = ["--annotations", str(tmp_path / "a.json"), "--videos", str(folder), "--out", str(out)]
    prepare_dataset(["segments", *words, "--jobs", "2", *copies])
    said = capsys.readouterr().out
    assert "train 3, val 2, test 2 videos, 2 classes; 0 missing, 2 failed, 1 incomplete but listed" in said
    failures = (out / "failures.csv").read_text()
    assert "its segment from 1.2 to 3 s does not fit into its 2.00 s" in failures
    for split, count in (("train", 3), ("val", 2), ("test", 2)):
        paths, labels = read_video_list(out / f"{split}.csv", num_classes=2)
        assert labels == [1] * count
        found = read_segments(out, paths, num_classes=2)
        whole = (Segment(0.5, 1, 0), Segment(1.2, 2.0, 1))
        damaged = (Segment(0.5, 1, 0), Segment(1.2, 2.3, 1))
        assert found == [damaged if "v_g" in path else whole for path in paths]
    written = json.loads((out / "segments.json").read_text())["database"]
    names = [line.rpartition(" ")[0] for line in (out / "train.csv").read_text().splitlines()]
    assert set(names) < written.keys()
    assert {name: entry.get("duration") for name, entry in written.items() if "v_g" in name}.popitem()[
        1
    ] is None
    assert sum(entry.get("duration") == 2.0 for entry in written.values()) == 4
    assert names[0] == ("videos/v_a.mp4" if copies else str(folder / "v_a.mp4"))
    report = (out / "report.md").read_text()
    assert re.search(r"## Segments\n\n.*\n.*\n\| train \| +6 \| +2 \| +0\.5 ", report)
