"""What puts a configuration onto our data set, and what it leaves alone."""

from pathlib import Path

import pytest

from slowfast_ext import config_adapt, distributed
from slowfast_ext.config import load_config
from slowfast_ext.config_adapt import on_our_data
from slowfast_ext.host import get_host
from vtn import InputError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
on_main = pytest.mark.skipif(get_host().NAME != "git", reason="keys that only PySlowFast main has")
FOREIGN = """
TRAIN: {DATASET: kinetics, BATCH_SIZE: 16}
TEST: {DATASET: kinetics, BATCH_SIZE: 16}
MODEL: {MODEL_NAME: ResNet, ARCH: i3d, NUM_CLASSES: 5}
DATA: {NUM_FRAMES: 8, INPUT_CHANNEL_NUM: [3]}
RESNET: {NUM_BLOCK_TEMP_KERNEL: [[3], [4], [6], [3]]}
NONLOCAL: {LOCATION: [[[]], [[]], [[]], [[]]], GROUP: [[1], [1], [1], [1]]}
NUM_GPUS: 8
"""
MIXED = "AUG: {ENABLE: True, NUM_SAMPLE: 2}\nMIXUP: {ENABLE: True}\n"
SOFT = ["MODEL.LOSS_FUNC", "soft_cross_entropy"]


@pytest.fixture
def foreign(tmp_path):
    """Write a configuration for PySlowFast's own data set and eight GPUs, with these lines added."""

    def write(more: str = "") -> Path:
        path = tmp_path / "foreign.yaml"
        path.write_text(FOREIGN + more)
        return path

    return write


def as_pairs(overrides: list[str]) -> dict[str, str]:
    return dict(zip(overrides[::2], overrides[1::2], strict=True))


def see_gpus(monkeypatch, count: int) -> None:
    for module in (distributed, config_adapt):
        monkeypatch.setattr(module, "visible_gpus", lambda: count)


def test_our_own_configurations_need_nothing():
    paths = sorted(CONFIGS.rglob("*.yaml"))
    assert len(paths) > 15
    assert {path.name: on_our_data(path) for path in paths} == {path.name: ([], []) for path in paths}


def test_another_data_set_and_more_gpus_than_there_are(foreign, tmp_path, monkeypatch):
    see_gpus(monkeypatch, 2)
    overrides, switched_off = on_our_data(foreign())
    assert as_pairs(overrides) == {
        "TRAIN.DATASET": "vtnkinetics",
        "TEST.DATASET": "vtnkinetics",
        "NUM_GPUS": "2",
    }
    assert switched_off == []
    see_gpus(monkeypatch, 0)
    found = as_pairs(on_our_data(foreign(), ["TRAIN.DATASET", "vtnmit"])[0])
    assert found == {"TEST.DATASET": "vtnkinetics", "NUM_GPUS": "0"}
    cfg = load_config(foreign(), ["OUTPUT_DIR", str(tmp_path), *on_our_data(foreign())[0]])
    assert (cfg.TRAIN.DATASET, cfg.TEST.DATASET, cfg.NUM_GPUS) == ("vtnkinetics", "vtnkinetics", 0)


def test_what_the_command_line_gives_stands(foreign, tmp_path, monkeypatch):
    see_gpus(monkeypatch, 0)
    given = ["NUM_GPUS", "4", "TEST.DATASET", "nowhere"]
    overrides, _ = on_our_data(foreign(), given)
    assert as_pairs(overrides) == {"TRAIN.DATASET": "vtnkinetics"}
    with pytest.raises(InputError, match="NUM_GPUS is 4 but PyTorch sees 0"):
        load_config(foreign(), ["OUTPUT_DIR", str(tmp_path), *given, *overrides])


def test_a_file_that_cannot_be_used_is_named(foreign, tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: no such file"):
        on_our_data(tmp_path / "none.yaml")
    with pytest.raises(InputError, match=r"MODEL\.NAME \(in .*foreign\.yaml\) is not a key"):
        on_our_data(foreign("MODEL: {NAME: x}\n"))


def test_augmentation_and_mixup_stay(foreign, tmp_path):
    """Our data sets and both loops do them."""
    overrides, switched_off = on_our_data(foreign(MIXED), SOFT)
    assert switched_off == []
    cfg = load_config(foreign(MIXED), ["OUTPUT_DIR", str(tmp_path), "NUM_GPUS", "0", *SOFT, *overrides])
    assert (cfg.AUG.ENABLE, cfg.AUG.NUM_SAMPLE, cfg.MIXUP.ENABLE) == (True, 2, True)


@on_main
def test_what_our_data_sets_do_not_do_is_switched_off_and_named(foreign, tmp_path):
    path = foreign("DATA: {NUM_FRAMES: 8, INPUT_CHANNEL_NUM: [3], USE_OFFSET_SAMPLING: True}\n")
    overrides, switched_off = on_our_data(path)
    assert switched_off == ["DATA.USE_OFFSET_SAMPLING True"]
    given = ["OUTPUT_DIR", str(tmp_path), "NUM_GPUS", "0"]
    assert not load_config(path, [*given, *overrides]).DATA.USE_OFFSET_SAMPLING
    given += ["DATA.USE_OFFSET_SAMPLING", "True"]
    with pytest.raises(InputError, match=r"DATA\.USE_OFFSET_SAMPLING is True"):
        load_config(path, [*given, *on_our_data(path, given)[0]])


def test_mixup_that_cannot_be_done_takes_its_loss_with_it(foreign):
    """main's loops mix one pathway of two, ours both."""
    path = foreign(MIXED + "MODEL: {MODEL_NAME: SlowFast, ARCH: slowfast, LOSS_FUNC: soft_cross_entropy}\n")
    assert on_our_data(path, ["ENGINE", "own"])[1] == []
    overrides, switched_off = on_our_data(path)
    if not get_host().has_loops():
        assert switched_off == []
        return
    assert switched_off == ["MIXUP.ENABLE True", "MODEL.LOSS_FUNC soft_cross_entropy"]
    found = as_pairs(overrides)
    assert (found["MIXUP.ENABLE"], found["MODEL.LOSS_FUNC"]) == ("False", "cross_entropy")


@on_main
def test_what_makes_it_another_model_is_refused_not_switched_off(foreign, tmp_path):
    path = foreign("DETECTION: {ENABLE: True}\n")
    overrides, switched_off = on_our_data(path)
    assert switched_off == []
    with pytest.raises(InputError, match=r"DETECTION\.ENABLE is True: with the data sets vtnkinetics"):
        load_config(path, ["OUTPUT_DIR", str(tmp_path), *overrides])
