"""tools/show_augmentation.py: rows for what is switched on, and what they show is what training does."""

import numpy as np
import pytest
from videos import read_numbers

from slowfast_ext.report import augmented
from slowfast_ext.report.augmented import augmented_rows
from slowfast_ext.report.show_augmentation import show_augmentation
from vtn import InputError

ALL = "AUG.ENABLE True AUG.RE_MODE const MIXUP.ENABLE True MODEL.LOSS_FUNC soft_cross_entropy".split()
# Whole squares that are not mirrored, so that the numbers can be read.
READABLE = "DATA.TRAIN_JITTER_SCALES [32,32] DATA.RANDOM_FLIP False".split()


@pytest.fixture
def videos(data_dir) -> list[str]:
    return [str(data_dir / f"{number}.mp4") for number in (3, 5)]


def titles(rows) -> list[str]:
    return [row.title.split(":")[0].split(",")[0] for row in rows]


def test_what_is_off_has_no_row(tiny_cfg, videos):
    rows = list(augmented_rows(tiny_cfg(*READABLE), videos[:1]))
    assert titles(rows) == ["the clip as it was decoded", "scale"]
    plain, cropped = (row.frames for row in rows)
    assert plain.shape == (4, 48, 64, 3)
    assert cropped.shape == (4, 32, 32, 3)
    assert len(set(read_numbers(plain))) == 4


def test_each_thing_has_its_row(tiny_cfg, videos):
    cfg = tiny_cfg(*ALL, "AUG.NUM_SAMPLE", "2")
    rows = list(augmented_rows(cfg, videos))
    policy = f"AUG.AA_TYPE {cfg.AUG.AA_TYPE}"
    assert titles(rows) == [
        *("the clip as it was decoded", "scale", policy, policy, policy),
        *("random erasing", "mixup", "cutmix", "all together", "all together"),
    ]
    _, plain, *_, erased, mixed, cut, _, _ = (row.frames.astype(int) for row in rows)
    box = (erased != plain).any(axis=(0, 3))  # changed in some frame
    assert 0 < box.mean() < 0.4
    assert (abs(erased[:, box] - np.array(cfg.DATA.MEAN) * 255) <= 1).all()  # and so in all of them
    share = float(rows[6].title.split(": ")[1].split(" of ")[0])
    assert 0.5 <= share <= 1
    own = float(rows[7].title.split(": ")[1].split(" of ")[0])
    assert ((cut != plain).any(axis=(0, 3))).mean() == pytest.approx(1 - own, abs=0.06)
    assert not (mixed == plain).all()
    assert not np.array_equal(rows[-1].frames, rows[-2].frames)  # two samples


def test_the_command_draws_them(tiny_config, data_dir, videos, tmp_path, monkeypatch, capsys):
    drawn, plot = [], augmented.plot_augmented

    def plot_some(rows, path, **options):  # all of them take seconds
        drawn.extend(rows)
        plot(rows[:2], path, **options)

    monkeypatch.setattr(augmented, "plot_augmented", plot_some)
    out = tmp_path / "picture.png"
    paths = ["DATA.PATH_TO_DATA_DIR", str(data_dir), "OUTPUT_DIR", str(tmp_path / "out")]
    show_augmentation(["--cfg", str(tiny_config), *videos, "--out", str(out), "--frames", "2", *ALL, *paths])
    assert len(drawn) == 9
    assert out.stat().st_size > 2000
    assert capsys.readouterr().out == f"augmentation in 9 rows: {out}\n"


def test_what_cannot_be_drawn_is_said(tiny_cfg, tiny_config, videos, tmp_path):
    with pytest.raises(InputError, match="MIXUP.ENABLE is True: name two or more videos"):
        list(augmented_rows(tiny_cfg(*ALL), videos[:1]))
    (tmp_path / "bad.mp4").write_text("not a video " * 500)
    with pytest.raises(InputError, match=r"no clip to draw of one of the videos: failed: .*bad\.mp4"):
        list(augmented_rows(tiny_cfg(), [str(tmp_path / "bad.mp4")]))
    with pytest.raises(InputError, match="there is no video to draw"):
        show_augmentation(["--cfg", str(tiny_config), "AUG.ENABLE", "True"])
    with pytest.raises(InputError, match="--frames is 0"):
        show_augmentation(["--cfg", str(tiny_config), videos[0], "--frames", "0"])
