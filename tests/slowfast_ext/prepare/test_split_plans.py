"""Split files and folders of classes become entries with the right class, split and file."""

import pytest
from plans import listed, write

from slowfast_ext.prepare.folders import plan_folders
from slowfast_ext.prepare.split_files import _read_class_index, plan_split_files
from vtn.errors import InputError


def test_ucf(tmp_path, videos):
    folder = tmp_path / "splits"
    write(folder / "classInd.txt", "1 ApplyEyeMakeup\n2 Archery\n")
    write(folder / "trainlist02.txt", "Archery/v_Archery_g01_c01.avi 2\r\n")
    write(folder / "testlist02.txt", "ApplyEyeMakeup/v_ApplyEyeMakeup_g02_c01.avi\n")
    index = videos("Archery/v_Archery_g01_c01.avi", "v_ApplyEyeMakeup_g02_c01.mp4")
    plan = plan_split_files(folder, 2, index)
    assert plan.classes == ["ApplyEyeMakeup", "Archery"]
    assert listed(plan, index) == [
        ("train", "Archery", "Archery/v_Archery_g01_c01.avi"),
        ("test", "ApplyEyeMakeup", "v_ApplyEyeMakeup_g02_c01.mp4"),
    ]
    assert plan.copies == {"val": "test"}
    with pytest.raises(InputError, match=r"neither trainlist01\.txt and testlist01\.txt"):
        plan_split_files(folder, 1, index)


def test_hmdb(tmp_path, videos):
    folder = tmp_path / "splits"
    write(folder / "brush_hair_test_split1.txt", "April_09.avi 1 \nold (1).avi 2 \nnot.avi 0 \n")
    write(folder / "cartwheel_test_split1.txt", "April_09.avi 2 \n")
    write(folder / "cartwheel_test_split2.txt", "April_09.avi 1 \n")
    names = [
        "brush_hair/April_09.avi",
        "brush_hair/old (1).avi",
        "brush_hair/not.avi",
        "cartwheel/April_09.avi",
    ]
    index = videos(*names)
    plan = plan_split_files(folder, 1, index)
    assert listed(plan, index) == [
        ("train", "brush_hair", names[0]),
        ("test", "brush_hair", names[1]),
        ("test", "cartwheel", names[3]),
    ]
    write(folder / "cartwheel_test_split1.txt", "April_09.avi 3\n")
    with pytest.raises(InputError, match="line 1 is 'April_09.avi 3'; expected a video and 0, 1 or 2"):
        plan_split_files(folder, 1, index)


def test_folders_with_splits(videos):
    index = videos(
        "train/b/1.mp4", "train/a/deep/2.mp4", "validation/b/3.mp4", "train/b/._1.mp4", "train/x.txt"
    )
    plan = plan_folders(index)
    assert plan.classes == ["a", "b"]
    assert listed(plan, index) == [
        ("train", "a", "train/a/deep/2.mp4"),
        ("train", "b", "train/b/1.mp4"),
        ("val", "b", "validation/b/3.mp4"),
    ]
    assert plan.copies == {"test": "val"}
    assert any("1 classes are in train but not in val, such as 'a'" in note for note in plan.notes)
    assert index.num_others == 1
    with pytest.raises(InputError, match=r"folders for splits \(train\) and others \(jump\)"):
        plan_folders(videos("jump/1.mp4"))


def test_folders_are_split_by_a_hash(videos):
    sizes = {"a": 20, "b": 20, "three": 3, "pair": 2, "single": 1}
    files = [f"{name}/{i}.mp4" for name, size in sizes.items() for i in range(size)]
    index = videos(*files, "stray.mp4")
    plan = plan_folders(index, val_fraction=0.2, test_fraction=0.1)
    rows = listed(plan, index)
    counts = {
        name: [sum(row[:2] == (split, name) for row in rows) for split in ("train", "val", "test")]
        for name in sizes
    }
    # At least one for each list; where that leaves none for training, all are for training.
    assert counts == {
        "a": [14, 4, 2],
        "b": [14, 4, 2],
        "three": [1, 1, 1],
        "pair": [2, 0, 0],
        "single": [1, 0, 0],
    }
    assert plan.entries == plan_folders(index, val_fraction=0.2, test_fraction=0.1).entries
    # Not simply the first files by name.
    for name in "ab":
        chosen = {file for split, class_name, file in rows if (split, class_name) == ("val", name)}
        assert chosen != {f"{name}/{i}.mp4" for i in sorted(map(str, range(20)))[2:6]}
    assert any("stray.mp4" in note for note in plan.notes)
    with pytest.raises(InputError, match="leave nothing to train on"):
        plan_folders(index, val_fraction=0.5, test_fraction=0.5)
    with pytest.raises(InputError, match="--val-fraction must be 0 or more"):
        plan_folders(index, val_fraction=-0.1)


def test_a_number_of_5000_digits_is_a_sentence(tmp_path):
    (tmp_path / "classInd.txt").write_text(f"{'1' * 5000} Jump\n")
    with pytest.raises(InputError, match=r"line 1 is '1+'\.\.\. \(5,005 characters\); expected a number"):
        _read_class_index(tmp_path / "classInd.txt")
