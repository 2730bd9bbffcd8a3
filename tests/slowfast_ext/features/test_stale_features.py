"""Features that are missing, stale or damaged are refused, each for its reason."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from slowfast_ext.data import feature_settings
from slowfast_ext.engine.test import test as run_test
from slowfast_ext.host import get_host
from slowfast_ext.plugin.loops import train as run_train
from vtn.errors import InputError

TEST = ("TRAIN.ENABLE", "False")


@pytest.fixture
def refused(run_config, trained):
    """Run a test, or with `train` a training, that must be refused; returns the sentence."""

    def run(folder: Path, *overrides: str, train: bool = False, checkpoint: str = trained) -> str:
        start = ("TRAIN.CHECKPOINT_FILE_PATH",) if train else (*TEST, "TEST.CHECKPOINT_FILE_PATH")
        start = (*start, checkpoint)
        cfg = run_config(*start, "VTN.FEATURES", str(folder), *overrides)
        with pytest.raises(InputError) as raised:
            (run_train if train else run_test)(cfg)
        assert str(folder) in str(raised.value)
        return str(raised.value)

    return run


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_video_that_has_changed_by_one_byte(extracted, refused, clips):
    folder = extracted()
    flip(clips[3], -40)
    says = refused(folder)
    assert f"1 of the 6 videos of the test list, the first of which is {clips[3]}: it has changed" in says


def test_a_video_of_the_same_bytes_is_found_wherever_it_is(extracted, tested, clips):
    folder = extracted()
    wanted = tested("VTN.FEATURES", str(folder))
    moved = clips[0].parent.rename(clips[0].parent.with_name("moved"))
    shutil.copytree(moved, clips[0].parent)  # other times of change
    os.rename(clips[0], moved / "x.mp4")
    os.rename(clips[1], clips[0])
    os.rename(moved / "x.mp4", clips[1])
    found = tested("VTN.FEATURES", str(folder))
    assert (found[str(clips[0])] == wanted[str(clips[1])]).all()
    assert (found[str(clips[1])] == wanted[str(clips[0])]).all()


def test_other_weights(extracted, refused, trained, tmp_path):
    folder, other = extracted(), tmp_path / "other.pyth"
    content = torch.load(trained, weights_only=True)
    weight = content["model_state"]["backbone.norm.weight"]
    weight[0] = torch.nextafter(weight[0], torch.tensor(9.0))
    torch.save(content, other)
    says = refused(folder, checkpoint=str(other))
    assert "6 of the 6 videos" in says
    assert "other settings: the fingerprint of the backbone's weights (" in says
    assert says.endswith("TRAIN.CHECKPOINT_FILE_PATH FILE TRAIN.CHECKPOINT_EPOCH_RESET True")
    assert says.count(" there, ") == 1


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("DATA.TEST_CROP_SIZE", "16", "DATA.TRAIN_CROP_SIZE", "16"), "the crop (32 there, 16 here)"),
        (
            ("DATA.TRAIN_JITTER_SCALES", "[40,48]"),
            "the short side (DATA.TRAIN_JITTER_SCALES) (32 there, 40",
        ),
        (("DATA.MEAN", "[0.5,0.4,0.5]"), "the mean (DATA.MEAN) (0.5, 0.5, 0.5 there, 0.5, 0.4, 0.5 here)"),
        (("DATA.STD", "[0.5,0.4,0.5]"), "the standard deviation (DATA.STD) (0.5, 0.5, 0.5 there"),
        (("TRAIN.EVAL_NUM_FRAMES", "8"), "the frames (12 of a full video there, 8 of a full video here)"),
    ],
)
def test_other_settings(extracted, refused, overrides, says):
    told = refused(extracted(), *overrides)
    assert f"were made with other settings: {says}" in told
    assert told.count(" there, ") == 1


def test_another_decoder(extracted, refused, monkeypatch):
    folder = extracted()
    monkeypatch.setattr(feature_settings, "decoder_version", lambda: "PyAV 99")
    assert "the decoder (PyAV" in refused(folder)


def test_clips_need_all_frames(extracted, refused):
    says = refused(extracted(), train=True)
    assert "the frames (12 of a full video there, all here); vtn extract_features --all-frames" in says


def test_missing_videos(extracted, refused, clips, tmp_path):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for clip in clips[2:4]:
        clip.rename(hidden / clip.name)
    folder = extracted()
    for clip in clips[2:4]:
        (hidden / clip.name).rename(clip)
    says = refused(folder)
    assert (
        f"2 of the 6 videos of the test list, the first of which is {clips[2]}: its features are not there"
        in says
    )
    assert "holds no features" in refused(tmp_path / "gone")
    (hidden / "manifest.jsonl").write_text('{"name": "another program"}\n')
    assert "is no list of features" in refused(hidden)
    lines = (folder / "manifest.jsonl").read_text().splitlines()
    elsewhere = {**json.loads(lines[0]), "file": "../elsewhere.safetensors"}
    (hidden / "manifest.jsonl").write_text(json.dumps(elsewhere) + "\n")
    assert "is no list of features" in refused(hidden)


def test_damaged_files(extracted, run_config, refused, trained, clips, tested):
    folder = extracted()
    wanted = tested()
    size = {path: path.stat().st_size for path in folder.glob("*.safetensors")}
    cut, flipped, gone = sorted(size)[:3]
    content = cut.read_bytes()
    cut.write_bytes(content[:-1])
    assert f"{cut}, is damaged: {size[cut] - 1:,} of {size[cut]:,} bytes" in refused(folder)
    cut.write_bytes(content)
    lost = gone.read_bytes()
    gone.unlink()
    assert f"{gone}, cannot be read (No such file" in refused(folder)
    gone.write_bytes(lost)
    flip(flipped, -5)
    cfg = run_config(*TEST, "TEST.CHECKPOINT_FILE_PATH", trained, "VTN.FEATURES", str(folder))
    run_test(cfg)
    rows = list(csv.DictReader((Path(cfg.OUTPUT_DIR) / "ledger_test.csv").open()))
    (bad,) = [row for row in rows if row["outcome"] == "failed"]
    assert str(flipped) in bad["reason"]
    assert "are damaged: make them anew" in bad["reason"]
    extracted()
    found = tested("VTN.FEATURES", str(folder))
    assert all((abs(found[path] - wanted[path]) < 1e-5).all() for path in map(str, clips))


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("VTN.FREEZE_BACKBONE", "False"), "VTN.FREEZE_BACKBONE is False: in a training with VTN.FEATURES"),
        (("AUG.ENABLE", "True", "AUG.RE_PROB", "0.5"), "AUG.ENABLE is True: in a training with VTN.FEATURES"),
        (("AUG.NUM_SAMPLE", "2"), "AUG.NUM_SAMPLE is 2"),
        (("MIXUP.ENABLE", "True"), "MIXUP.PROB is 1.0"),
        (("BN.USE_PRECISE_STATS", "True"), "BN.USE_PRECISE_STATS is True"),
        (("VTN.REUSE_FRAMES", "0.1"), "VTN.REUSE_FRAMES is 0.1: with VTN.FEATURES"),
        (("TEST.NUM_SPATIAL_CROPS", "3"), "TEST.NUM_SPATIAL_CROPS is 3: in a test with VTN.FEATURES"),
        (("ENGINE", "host"), "VTN.FEATURES is .*: in PySlowFast main's own loops"),
        (
            ("MODEL.MODEL_NAME", "ResNet", "MODEL.ARCH", "i3d"),
            "MODEL_NAME is 'ResNet': with VTN.FEATURES",
        ),
    ],
)
def test_what_features_cannot_do_is_refused_at_once(run_config, tmp_path, overrides, says):
    if overrides[0] == "ENGINE" and not get_host().has_loops():
        pytest.skip("this PySlowFast ships no loops")
    with pytest.raises(InputError, match=says):
        run_config("VTN.FEATURES", str(tmp_path), "TEST.ENABLE", "True", *overrides)
    run_config("VTN.FEATURES", str(tmp_path), *TEST, "VTN.FREEZE_BACKBONE", "False")  # a test of features
