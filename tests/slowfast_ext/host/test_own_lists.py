"""Lists for PySlowFast's own `kinetics`: what it would misread is refused before anything starts."""

import shutil

import pytest

from slowfast_ext import launch
from slowfast_ext.host import get_host
from slowfast_ext.plugin import loops
from slowfast_ext.run_net import run_net
from vtn import InputError

host = get_host()
GIT = host.NAME == "git"
OWN = [
    *"MODEL.MODEL_NAME ResNet MODEL.ARCH i3d TRAIN.DATASET kinetics TEST.DATASET kinetics".split(),
    *"TRAIN.EVAL_FULL_VIDEO False DATA.NUM_FRAMES 4 RESNET.WIDTH_PER_GROUP 8".split(),
]


@pytest.fixture
def start(tiny_config, tmp_path, monkeypatch):
    """The command, with lists of the given rows; returns what it starts."""
    started = []
    monkeypatch.setattr(launch, "launch_job", lambda cfg, init_method, func: started.append(func))

    def run(rows: dict[str, list[str]], *overrides: str) -> list:
        for split, lines in rows.items():
            (tmp_path / f"{split}.csv").write_text("".join(f"{line}\n" for line in lines))
        line = ["--cfg", str(tiny_config), "DATA.PATH_TO_DATA_DIR", str(tmp_path)]
        run_net([*line, "OUTPUT_DIR", str(tmp_path / "out"), *OWN, *overrides])
        return started

    run.started = started
    return run


@pytest.fixture
def videos(data_dir, tmp_path) -> list[str]:
    """Rows of eight videos that are there."""
    for number in range(8):
        shutil.copy(data_dir / f"{number}.mp4", tmp_path)
    return [f"{tmp_path}/{number}.mp4 {number % 5}" for number in range(8)]


def lists(rows: list[str], **others: list[str]) -> dict[str, list[str]]:
    return {"train": rows, "val": rows, "test": rows} | others


def test_good_lists_start(start, videos, tmp_path):
    assert start(lists(videos)) == [loops.train, loops.test]
    relative = [f"{number}.mp4 1" for number in range(4)]
    assert len(start(lists(relative), "DATA.PATH_PREFIX", str(tmp_path))) == 4


def test_only_what_will_be_read_is_looked_at(start, videos):
    nothing = lists(videos, test=["gone.mp4 1"])
    assert start(nothing, "TEST.ENABLE", "False") == [loops.train]
    assert len(start(lists(videos, train=["x"], val=["x"]), "TRAIN.ENABLE", "False")) == 2


def test_paths_with_spaces_are_refused(start, videos, tmp_path):
    folder = tmp_path / "my videos"
    folder.mkdir()
    shutil.copy(tmp_path / "0.mp4", folder)
    rows = [*videos, f"{folder}/0.mp4 3"]
    with pytest.raises(
        InputError, match=r"train\.csv line 9 is '.*my videos/0\.mp4 3': .* into 3 parts .*vtnk"
    ):
        start(lists(rows))
    with pytest.raises(InputError, match=r"test\.csv line 9 .*TEST\.DATASET vtnkinetics"):
        start(lists(videos, test=rows))
    assert start.started == []


@pytest.mark.skipif(not GIT, reason="the wheel splits at white space only")
def test_another_separator_takes_paths_with_spaces(start, videos, tmp_path):
    (tmp_path / "my videos").mkdir()
    shutil.copy(tmp_path / "0.mp4", tmp_path / "my videos")
    rows = [f"{tmp_path}/my videos/0.mp4,{number}" for number in range(4)]
    assert len(start(lists(rows), "DATA.PATH_LABEL_SEPARATOR", ",")) == 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "gone.mp4 1",
            r"1 of the 9 videos in .*val\.csv do not exist: gone\.mp4 \(line 9\); DATA.PATH_PREFIX",
        ),
        ("", r"val\.csv line 9 is ''"),
        ("0.mp4 five", r"val\.csv line 9 has label 'five'; it must be an integer of 0 or more"),
        ("0.mp4 -1", r"val\.csv line 9 has label '-1'"),
        ("0.mp4 5", r"val\.csv line 9 has label 5, but MODEL\.NUM_CLASSES is 5"),
        ("a b c d.mp4 1", r"val\.csv line 9 is 'a b c d\.mp4 1'"),
    ],
)
def test_bad_rows_are_named(row, message, start, videos):
    with pytest.raises(InputError, match=message):
        start(lists(videos, val=[*videos, row]))
    assert start.started == []


def test_less_than_a_batch_and_nothing(start, videos):
    with pytest.raises(InputError, match="TRAIN.BATCH_SIZE is 4 but the training list has only 3 videos"):
        start(lists(videos, train=videos[:3]))
    with pytest.raises(InputError, match=r"test\.csv lists no videos"):
        start(lists(videos, test=[]))
    with pytest.raises(InputError, match="TRAIN.BATCH_SIZE is 4: it must be a positive multiple of the 3"):
        start(lists(videos), "VTN.CPU_PROCESSES", "3")
    assert start.started == []


def test_a_list_that_is_not_there(start, videos, tmp_path):
    with pytest.raises(InputError, match=r"test\.csv does not exist"):
        start({"train": videos, "val": videos})
