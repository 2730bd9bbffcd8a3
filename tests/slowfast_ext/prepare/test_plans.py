"""Annotations become entries with the right class, split and file; no video is opened."""

import json
from pathlib import Path

import pytest
from plans import listed, write

from slowfast_ext.prepare.find import VideoIndex
from slowfast_ext.prepare.folders import plan_folders
from slowfast_ext.prepare.kinetics import plan_kinetics
from slowfast_ext.prepare.moments import plan_moments
from slowfast_ext.prepare.plan import Plan, check_plan, read_classes, split_in_name
from vtn.errors import InputError

HEADER = "label,youtube_id,time_start,time_end,split\n"
ROWS = (
    "tango dancing,-aB_c3dEfGh,7,17,train\n"
    '"massaging person\'s head",xY_z0000000,0,10,train\n'
    "abseiling,q-111111111,123,133,train\n"
)


TRIMMED = ["-aB_c3dEfGh_000007_000017.mp4", "xY_z0000000_000000_000010.mp4", "q-111111111_000123_000133.mp4"]
CLASSES = ["tango dancing", "massaging person's head", "abseiling"]


@pytest.mark.parametrize(
    "names",
    [
        TRIMMED,
        ["-aB_c3dEfGh.mp4", "xY_z0000000.mkv", "q-111111111.webm"],
        [f"{label}/{name}" for label, name in zip(CLASSES, TRIMMED, strict=True)],
        [f"train_256/{label.replace(' ', '_')}/{n}" for label, n in zip(CLASSES, TRIMMED, strict=True)],
        [f"train/{name}" for name in TRIMMED],
    ],
    ids=["flat", "ids", "classes", "splits and classes", "splits"],
)
def test_kinetics_layouts(tmp_path, videos, names):
    index = videos(*names)
    plan = plan_kinetics([write(tmp_path / "k.csv", HEADER + ROWS)], index)
    assert plan.classes == ["abseiling", "massaging person's head", "tango dancing"]
    expected = [("train", label, name) for label, name in zip(CLASSES, names, strict=True)]
    assert listed(plan, index) == expected
    assert [entry.seconds for entry in plan.entries] == [10.0] * 3


def test_kinetics_prefers_the_folder_of_class_and_split(tmp_path, videos):
    name = "q-111111111_000123_000133.mp4"
    index = videos(f"val/abseiling/{name}", f"train/other/{name}", f"train/abseiling/{name}", name)
    rows = HEADER + ROWS.splitlines(keepends=True)[2]
    plan = plan_kinetics([write(tmp_path / "k.csv", rows)], index)
    assert listed(plan, index) == [("train", "abseiling", f"train/abseiling/{name}")]
    assert index.num_ambiguous == 0
    index = videos(f"train_256/abseiling/{name}")
    plan = plan_kinetics([tmp_path / "k.csv"], index)
    assert any("several files have the right name" in note for note in plan.notes)


def test_kinetics_splits_missing_videos_and_lists_without_classes(tmp_path, videos):
    # Downloaders leave the parts of a second out.
    index = videos("aaaaaaaaaaa_000001_000002.mp4", "bbbbbbbbbbb.mp4")
    train = write(
        tmp_path / "kinetics_600_train.csv",
        "label,youtube_id,time_start,time_end,split,is_cc\njog,aaaaaaaaaaa,1.0,2.7,train,0\n",
    )
    # A split column that says "validate", and one that is not there.
    validate = write(
        tmp_path / "validate.csv", HEADER + "run,bbbbbbbbbbb,1,2,validate\nrun,cc,1,2,validate\n"
    )
    test = write(tmp_path / "test.csv", "youtube_id,time_start,time_end\nddddddddddd,1,2\n")
    plan = plan_kinetics([test, validate, train], index)
    assert listed(plan, index) == [
        ("train", "jog", "aaaaaaaaaaa_000001_000002.mp4"),
        ("val", "run", "bbbbbbbbbbb.mp4"),
        ("val", "run", None),
    ]
    assert plan.entries[2].name == "cc_000001_000002.mp4"
    assert plan.copies == {"test": "val"}
    assert any("1 rows have no label" in note for note in plan.notes)


def test_kinetics_with_given_classes(tmp_path, videos):
    index = videos(*TRIMMED)
    rows = write(tmp_path / "k.csv", HEADER + ROWS)
    names = ["zumba", "Tango_Dancing", "abseiling", "massaging person's head"]
    plan = plan_kinetics([rows], index, write(tmp_path / "c.txt", "\n".join(names)))
    assert [entry.label for entry in plan.entries] == [1, 3, 2]
    with pytest.raises(
        InputError, match=r"k\.csv line 4 has the class 'abseiling', which is not in .*d\.txt"
    ):
        plan_kinetics([rows], index, write(tmp_path / "d.txt", "tango dancing\nmassaging person's head"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("k.csv", "label,video\na,b\n", "is not a Kinetics annotation file .* no youtube_id"),
        ("k.csv", "label,youtube_id\na,b\n", "no column `split`, and its name names none"),
        ("k.csv", HEADER + "a,b,1,2\n", "line 2 has 4 columns, but the first line has 5"),
        ("k.csv", HEADER + "a,b,one,2,train\n", "line 2 has the times 'one' and '2'"),
        ("k.csv", HEADER + "a,b,1,2,holdout\n", "line 2 has the split 'holdout'"),
        ("k.csv", HEADER + "a,,1,2,train\n", "line 2 has no youtube_id"),
        ("k.csv", HEADER + "a b,x,1,2,train\nA_B,x,1,2,train\n", "'A_B' and 'a b' are one class"),
    ],
)
def test_kinetics_bad_rows(tmp_path, videos, name, text, message):
    with pytest.raises(InputError, match=message):
        plan_kinetics([write(tmp_path / name, text)], videos("x.mp4"))


@pytest.fixture
def moments(tmp_path):
    folder = tmp_path / "annotations"
    write(folder / "moments_categories.txt", "clapping,1\nadult+female+singing,0\n")
    write(
        folder / "trainingSet.csv",
        "clapping/getty-a_b.mp4,clapping,3,0\nadult+female+singing/getty-a_b.mp4,adult+female+singing,4,1\n",
    )
    write(folder / "validationSet.csv", "clapping/yt-1_2.mp4,clapping,2,1\nclapping/gone.mp4,clapping,2,1\n")
    return folder


@pytest.mark.parametrize("with_folders", [True, False])
def test_moments(moments, videos, with_folders):
    singing = "adult+female+singing/getty-a_b.mp4"
    names = [f"training/{singing}", "training/clapping/getty-a_b.mp4", "validation/clapping/yt-1_2.mp4"]
    # The file of the same name in another class is another moment.
    wrong = "validation/adult+female+singing/gone.mp4"
    if not with_folders:
        names, wrong = [name.split("/", 1)[1] for name in names], wrong.split("/", 1)[1]
    index = videos(*names, wrong)
    plan = plan_moments(moments, index)
    assert plan.classes == ["adult+female+singing", "clapping"]
    assert listed(plan, index) == [
        ("train", "clapping", names[1]),
        ("train", "adult+female+singing", names[0]),
        ("val", "clapping", names[2]),
        ("val", "clapping", None),
    ]
    assert plan.copies == {"test": "val"}


def test_moments_bad_input(moments, videos):
    index = videos("clapping/a.mp4")
    write(moments / "validationSet.csv", "clapping/a.mp4,booing,1,1\n")
    with pytest.raises(
        InputError, match=r"validationSet\.csv line 1 has the class 'booing', which is not in"
    ):
        plan_moments(moments, index)
    write(moments / "moments_categories.txt", "clapping,1\nsinging,2\n")
    with pytest.raises(InputError, match="ids 0 to 1, once each; see id 0"):
        plan_moments(moments, index)
    (moments / "moments_categories.txt").unlink()
    with pytest.raises(InputError, match=r"moments_categories\.txt does not exist"):
        plan_moments(moments, index)


def test_index_passes_over_the_folder_that_is_written_and_links_in_a_circle(tmp_path, videos):
    videos("a/1.mp4", "out/videos/a/1.mp4")
    folder = tmp_path / "videos"
    (folder / "a" / "again").symlink_to(folder)
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "2.mp4").touch()
    (folder / "b").symlink_to(tmp_path / "far")
    assert VideoIndex(folder, without=folder / "out").files == ["a/1.mp4", "b/2.mp4"]
    with pytest.raises(InputError, match="does not exist or is not a folder"):
        VideoIndex(tmp_path / "none", without=folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no videos \(0 other files\)"):
        VideoIndex(tmp_path / "empty", without=folder)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.txt", "run\njump rope\n"),
        ("c.csv", "jump rope,1\nrun,0\n"),
        ("c.json", json.dumps({'"jump rope"': 1, "run": 0})),
    ],
)
def test_class_files(tmp_path, name, text):
    assert read_classes(write(tmp_path / name, text)) == ["run", "jump rope"]


def test_a_plan_that_cannot_be_listed_is_refused(videos):
    with pytest.raises(InputError, match="has a line break in it"):
        check_plan(plan_folders(videos("a/two\nlines.mp4")), Path("v"))
    with pytest.raises(InputError, match="hold no videos"):
        check_plan(Plan(["a"]), Path("v"))


def test_nothing_found_is_refused(tmp_path, videos):
    index = videos("other.mp4")
    plan = plan_kinetics([write(tmp_path / "k.csv", HEADER + ROWS)], index)
    with pytest.raises(InputError, match=r"None of the 3 videos .* -aB_c3dEfGh_000007_000017\.mp4"):
        check_plan(plan, index.folder)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("kinetics_700_val", "val"),
        ("train_256", "train"),
        ("validate", "val"),
        ("training dog", None),
        ("testifying", None),
        ("videos-test-320p", "test"),
    ],
)
def test_splits_in_names(name, split):
    assert split_in_name(name) == split
