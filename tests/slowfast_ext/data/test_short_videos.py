"""A hint where clips are longer than their videos, and refusals before a run leaves a folder."""

import pytest
from tiny_runs import UNTRAINED

from slowfast_ext.data.build import construct_loader
from slowfast_ext.run_net import run_net
from vtn import InputError

HINT = "are longer than their video"


def hints(cfg, caplog, *, epochs: int = 1) -> list[str]:
    loader = construct_loader(cfg, "train")
    for _ in range(epochs):
        list(loader)
    return [record.getMessage() for record in caplog.records if HINT in record.getMessage()]


def test_most_videos_are_shorter_than_a_clip(tiny_cfg, caplog):
    """Eight videos of 20, 23 ... 41 frames; a clip of 4 x 13 shows frames 0, 17, 34 and 51, or the last."""
    found = hints(tiny_cfg("DATA.SAMPLING_RATE", "13"), caplog, epochs=2)
    assert len(found) == 1
    assert found[0].startswith("6 of the first 8 clips are longer than their video")
    assert "covers 2.08 s: DATA.NUM_FRAMES 4 x DATA.SAMPLING_RATE 13 / DATA.TARGET_FPS 25" in found[0]


@pytest.mark.parametrize(
    "keys",
    [
        "DATA.SAMPLING_RATE 9",  # two of them show their last frame twice
        "DATA.SAMPLING_RATE 1 DATA.TARGET_FPS 60",  # pictures come too slowly, so a clip repeats them
        "DATA.SAMPLING_RATE 60 DATA.NUM_FRAMES 1",
    ],
)
def test_no_hint_where_clips_fit(keys, tiny_cfg, caplog):
    assert hints(tiny_cfg(*keys.split()), caplog) == []


def test_samples_of_a_video_are_clips_too(tiny_cfg, caplog):
    keys = "DATA.SAMPLING_RATE 13 AUG.NUM_SAMPLE 2 TRAIN.BATCH_SIZE 2"
    assert hints(tiny_cfg(*keys.split()), caplog)[0].startswith("12 of the first 16 clips")


@pytest.mark.parametrize(
    ("missing", "keys"),
    [
        ("train", "TEST.ENABLE False"),
        ("val", "TEST.ENABLE False"),
        ("test", "TRAIN.ENABLE False TEST.ENABLE True"),
    ],
)
def test_a_run_without_its_list_makes_no_folder(missing, keys, tiny_config, data_dir, tmp_path):
    folder = tmp_path / "lists"
    folder.mkdir()
    for split in {"train", "val", "test"} - {missing}:
        (folder / f"{split}.csv").write_text((data_dir / f"{split}.csv").read_text())
    out = tmp_path / "out"
    where = ["DATA.PATH_TO_DATA_DIR", str(folder), "OUTPUT_DIR", str(out)]
    with pytest.raises(InputError, match=f"{missing}.csv does not exist; it must list"):
        run_net(["--cfg", str(tiny_config), *where, *keys.split()])
    assert not out.exists()


def test_a_refused_test_leaves_no_configuration(tiny_cfg, tmp_path, data_dir):
    from slowfast_ext.engine.test import test

    (tmp_path / "test.csv").write_text(f"{data_dir}/0.mp4 7\n")
    cfg = tiny_cfg("DATA.PATH_TO_DATA_DIR", str(tmp_path), "ENGINE", "own", *UNTRAINED)
    with pytest.raises(InputError, match="has label 7, but MODEL.NUM_CLASSES is 5"):
        test(cfg)
    assert not list(tmp_path.glob("out/*.yaml"))
