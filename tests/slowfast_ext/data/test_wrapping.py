"""A test says once that positions wrap, whichever loop runs it; nothing else says it."""

import pytest
from tiny_runs import UNTRAINED

from slowfast_ext.data.build import construct_loader
from slowfast_ext.run_net import run_net

SAID = "Positions wrap: "


def said(cfg, caplog, split: str = "test", *, passes: int = 1) -> list[str]:
    caplog.set_level("INFO")
    loader = construct_loader(cfg, split)
    for _ in range(passes):
        list(loader)
    return [record.getMessage() for record in caplog.records if SAID in record.getMessage()]


def test_the_first_video_beyond_the_table_is_named_once(tiny_cfg, caplog):
    """Seven videos of 20, 23 ... 38 frames, shown from the first to the last; 30 rows are for frames."""
    keys = "VTN.MAX_POSITION_EMBEDDINGS 32 TEST.BATCH_SIZE 2 TEST.NUM_SPATIAL_CROPS 3"
    (line,) = said(tiny_cfg(*keys.split()), caplog, passes=2)
    assert "4.mp4 is shown up to frame 31, and the table has rows for 30 frames" in line


@pytest.mark.parametrize(
    ("keys", "split"),
    [
        ("VTN.MAX_POSITION_EMBEDDINGS 40", "test"),  # the longest video just fits
        ("VTN.MAX_POSITION_EMBEDDINGS 32", "val"),
        ("VTN.MAX_POSITION_EMBEDDINGS 32", "train"),
        ("VTN.MAX_POSITION_EMBEDDINGS 32 VTN.POSITION_OVERFLOW scale", "test"),
        ("VTN.MAX_POSITION_EMBEDDINGS 32 VTN.POSITION_OVERFLOW none", "test"),
        ("VTN.MAX_POSITION_EMBEDDINGS 32 VTN.POSITION_EMBEDDING fixed", "test"),
        ("VTN.MAX_POSITION_EMBEDDINGS 32 MODEL.MODEL_NAME ResNet MODEL.ARCH i3d", "test"),
    ],
)
def test_nothing_is_said_where_nothing_wraps(keys, split, tiny_cfg, caplog):
    assert said(tiny_cfg(*keys.split()), caplog, split) == []


def test_it_is_in_the_log_of_a_test(tiny_config, data_dir, tmp_path):
    keys = "TRAIN.ENABLE False TEST.ENABLE True VTN.MAX_POSITION_EMBEDDINGS 32 TEST.BATCH_SIZE 3"
    where = ["DATA.PATH_TO_DATA_DIR", str(data_dir), "OUTPUT_DIR", str(tmp_path / "out")]
    run_net(["--cfg", str(tiny_config), *where, *keys.split(), *UNTRAINED])
    assert (tmp_path / "out" / "stdout.log").read_text().count(SAID) == 1
