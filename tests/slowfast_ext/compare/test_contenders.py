"""What is compared, and what is refused before work starts."""

from collections import namedtuple
from pathlib import Path

import pytest
import torch
from compare_configs import I3D
from tiny_runs import TINY

from slowfast_ext.compare import contenders
from slowfast_ext.compare.contenders import class_names, read_contenders, what_decides
from vtn.errors import InputError


@pytest.fixture
def files(tmp_path):
    """Two configurations, VTN and I3D."""
    paths = [tmp_path / "Mine.yaml", tmp_path / "I3D.yaml"]
    for path, text in zip(paths, (TINY, I3D), strict=True):
        path.write_text(text)
    return [str(path) for path in paths]


@pytest.fixture
def keys(data_dir):
    return ["DATA.PATH_TO_DATA_DIR", str(data_dir)]


def test_a_contender_is_named_by_its_file(files, keys, tmp_path):
    mine, other = read_contenders(files, keys, out=tmp_path / "out", train=True)
    assert (mine.name, other.name) == ("Mine", "I3D")
    assert (mine.is_vtn, other.is_vtn) == (True, False)
    assert mine.train
    assert mine.is_tested
    assert str(tmp_path / "out") == mine.cfg.OUTPUT_DIR
    assert not (tmp_path / "out").exists()


def test_without_weights_nothing_is_tested_and_no_data_is_needed(files, tmp_path):
    for contender in read_contenders(files, [], out=tmp_path / "out"):
        assert not contender.is_tested
        assert contenders.splits_of(contender) == ()


def test_a_list_with_less_than_a_batch_stops_before_anything_is_trained(files, keys, tmp_path):
    """The list has eight videos; without training its length does not matter."""
    read_contenders(files, [*keys, "TRAIN.BATCH_SIZE", "8"], out=tmp_path, train=True)
    read_contenders(files, [*keys, "TRAIN.BATCH_SIZE", "9"], out=tmp_path)
    with pytest.raises(InputError, match=r"of Mine is 9 but .*train\.csv has only 8 videos.*BATCH_SIZE 8$"):
        read_contenders(files, [*keys, "TRAIN.BATCH_SIZE", "9"], out=tmp_path, train=True)


def test_two_of_one_name(files, keys, tmp_path):
    (tmp_path / "sub").mkdir()
    twin = tmp_path / "sub" / "Mine.yaml"
    twin.write_text(TINY)
    with pytest.raises(InputError, match=r"Mine\.yaml and --cfg .*sub/Mine\.yaml have one name, Mine"):
        read_contenders([*files, str(twin)], keys, out=tmp_path)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["Yours=x.pyth"], "no configuration is named Yours, only Mine, I3D"),
        (["Mine"], "it must be NAME=FILE"),
        (["Mine="], "it must be NAME=FILE"),
        (["Mine=gone.pyth"], "there is no file gone.pyth"),
    ],
)
def test_checkpoints_that_are_refused(files, keys, tmp_path, given, told):
    with pytest.raises(InputError, match=told):
        read_contenders(files, keys, out=tmp_path, checkpoints=given)


def test_a_checkpoint_of_other_classes_or_of_another_model(files, keys, tmp_path):
    from slowfast_ext.models import make_model

    mine, other = read_contenders(files, keys, out=tmp_path)
    wrong, foreign, right = (tmp_path / f"{name}.pyth" for name in ("wrong", "foreign", "right"))
    cfg = mine.cfg.clone()
    torch.save({"model_state": make_model(cfg).state_dict()}, right)
    cfg.defrost()
    cfg.MODEL.NUM_CLASSES = 7
    torch.save({"model_state": make_model(cfg).state_dict()}, wrong)
    torch.save({"model_state": make_model(other.cfg).state_dict()}, foreign)
    with pytest.raises(InputError, match=r"Mine=.*wrong\.pyth is for 7 classes, but the data set has 5"):
        read_contenders(files, keys, out=tmp_path, checkpoints=[f"Mine={wrong}"])
    with pytest.raises(InputError, match=r"foreign\.pyth"):
        read_contenders(files, keys, out=tmp_path, checkpoints=[f"Mine={foreign}"])
    mine, other = read_contenders(files, keys, out=tmp_path, train=True, checkpoints=[f"Mine={right}"])
    assert (mine.checkpoint, mine.train, other.train) == (right, False, True)


@pytest.mark.parametrize("key", ["OUTPUT_DIR", "TEST.CHECKPOINT_FILE_PATH", "TRAIN.ENABLE"])
def test_keys_that_this_command_sets(files, keys, tmp_path, key):
    with pytest.raises(InputError, match=f"{key} is not for this command"):
        read_contenders(files, [*keys, key, "True"], out=tmp_path)


def test_a_list_is_read_before_work_starts(files, tmp_path):
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.csv").write_text("gone.mp4 0\n")
    with pytest.raises(InputError, match=r"train\.csv do not exist: .*gone\.mp4"):
        read_contenders(files, ["DATA.PATH_TO_DATA_DIR", str(tmp_path)], out=tmp_path, train=True)
    with pytest.raises(InputError, match=r"test\.csv do not exist"):  # to be timed
        read_contenders(files, ["DATA.PATH_TO_DATA_DIR", str(tmp_path)], out=tmp_path)


def test_the_number_of_classes_is_that_of_classes_txt(files, data_dir, tmp_path):
    names = "wave\nclap\njump\nspin\nsit\nstand\n"
    here = tmp_path / "data"
    here.mkdir()
    (here / "test.csv").write_text(f"{data_dir / '0.mp4'} 0\n")
    (here / "classes.txt").write_text(names)
    keys = ["DATA.PATH_TO_DATA_DIR", str(here)]
    assert class_names(str(here)) == tuple(names.split())
    assert class_names("") == ()
    (mine,) = read_contenders(files[:1], keys, out=tmp_path)
    assert mine.cfg.MODEL.NUM_CLASSES == 6
    (mine,) = read_contenders(files[:1], [*keys, "MODEL.NUM_CLASSES", "9"], out=tmp_path)
    assert mine.cfg.MODEL.NUM_CLASSES == 9


def test_a_disk_without_room(files, keys, tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    (mine,) = read_contenders(files[:1], keys, out=tmp_path, train=True)
    weights = sum(weight.numel() for weight in contenders.build_on_meta(mine.cfg).state_dict().values())
    # Two epochs, and one more file for the first: each with the weights and a momentum, 4 bytes a number.
    needed = 3 * 2 * 4 * weights
    monkeypatch.setattr(contenders.shutil, "disk_usage", lambda path: usage(needed))
    read_contenders(files[:1], keys, out=tmp_path, train=True)
    monkeypatch.setattr(contenders.shutil, "disk_usage", lambda path: usage(needed - 1))
    with pytest.raises(InputError, match="--out .*: the checkpoints of these trainings take about"):
        read_contenders(files[:1], keys, out=tmp_path, train=True)
    read_contenders(files[:1], keys, out=tmp_path)  # no training, no checkpoints
    there = Path(tmp_path / "Mine" / "train" / "checkpoints")
    there.mkdir(parents=True)
    (there / "checkpoint_epoch_00001.pyth").touch()
    read_contenders(files[:1], keys, out=tmp_path, train=True)  # one of them is there


def test_what_decides(files, data_dir, tmp_path):
    """A training does not depend on the test, and a test depends on its own list."""
    here = tmp_path / "data"
    here.mkdir()
    for split in ("train", "val", "test"):
        (here / f"{split}.csv").write_text(f"{data_dir / '0.mp4'} 0\n{data_dir / '1.mp4'} 1\n")

    def found(*more):
        (mine,) = read_contenders(
            files[:1],
            ["DATA.PATH_TO_DATA_DIR", str(here), "TRAIN.BATCH_SIZE", "2", *more],
            out=tmp_path / "out",
            train=True,
        )
        return what_decides(mine, "train"), what_decides(mine, "clip"), what_decides(mine, "full-video")

    training, clip, full = found()
    assert set(training) == {"configuration", "PySlowFast", "train.csv", "val.csv"}
    assert set(clip) == {"configuration", "PySlowFast", "test.csv"}
    assert clip != full
    other_training, other_clip, _ = found("TEST.BATCH_SIZE", "3")
    assert (other_training, other_clip["test.csv"]) == (training, clip["test.csv"])
    assert other_clip != clip
    (here / "val.csv").write_text(f"{data_dir / '2.mp4'} 2\n")
    changed, same, _ = found()
    assert [name for name in training if training[name] != changed[name]] == ["val.csv"]
    assert same == clip
