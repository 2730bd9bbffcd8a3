"""Configurations of the project by name, from any folder, and how messages name the program.

tests/test_package.py does the same with what pip has installed.
"""

import sys

import pytest
from pages import ROOT

from slowfast_ext.config import load_config, merged_config
from slowfast_ext.config_files import config_names, find_base, find_config
from slowfast_ext.typed import as_typed
from vtn import InputError

CONFIGS = ROOT / "configs"
VTN = "Kinetics/VTN_ViT_B.yaml"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_configuration_has_a_name():
    files = {str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob("*.y*ml")}
    assert len(files) > 20
    assert set(config_names()) == files


@pytest.mark.parametrize("name", [VTN, f"configs/{VTN}", f"./configs/../configs/{VTN}", CONFIGS / VTN])
def test_it_is_found_from_any_folder(name):
    assert find_config(name) == CONFIGS / VTN


@pytest.mark.parametrize("name", [VTN, "configs/MiT/VTN_ViT_B.yaml"])
def test_it_loads_with_what_it_is_based_on(name):
    path = CONFIGS / name.removeprefix("configs/")
    assert load_config(name, ["NUM_GPUS", "0"]) == load_config(path, ["NUM_GPUS", "0"])


@pytest.mark.parametrize("name", [VTN, f"configs/{VTN}"])
def test_a_file_in_the_working_folder_comes_first(name, folder):
    own = folder / name
    own.parent.mkdir(parents=True)
    own.write_text("TRAIN:\n  BATCH_SIZE: 3\n")
    assert find_config(name).resolve() == own
    assert merged_config(name).TRAIN.BATCH_SIZE == 3
    other = {VTN: f"configs/{VTN}", f"configs/{VTN}": VTN}[name]
    assert find_config(other) == CONFIGS / VTN  # another path, so no file is there


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("Kinetics/VTN_VIT_B.yaml", "Kinetics/VTN_ViT_B.yaml or "),
        ("VTN_ViT_B.yaml", "MiT/VTN_ViT_B.yaml or Kinetics/VTN_ViT_B.yaml or "),
        ("Kinetics/VTN_R50", "Kinetics/VTN_R50.yaml or "),
        ("kinetics/vtn_r101.yaml", "Kinetics/VTN_R101.yaml"),
        ("/in/the/folder/of/somebody/else/SlowFast.yaml", "Demo/SlowFast.yaml"),
        ("outputs/run/config.yaml", None),
        ("../configs/Kinetics/VTN_ViT_B.yaml", "Kinetics/VTN_ViT_B.yaml or "),
    ],
)
def test_a_misspelt_name_is_told_with_those_that_come_close(name, close):
    with pytest.raises(InputError) as told:
        find_config(name)
    start = f"--cfg {name}: no such file, and no configuration of the project has that name"
    said = str(told.value)
    assert said == start if close is None else said.startswith(f"{start}; did you mean {close}")
    assert said.count(" or ") <= 2


def test_a_file_may_be_based_on_one_of_the_project_by_name(folder):
    own = folder / "mine" / "own.yaml"
    own.parent.mkdir()
    own.write_text("_BASE_: MiT/VTN_ViT_B.yaml\nTRAIN:\n  BATCH_SIZE: 3\n")
    cfg, base = merged_config(own), merged_config(CONFIGS / "MiT/VTN_ViT_B.yaml")
    assert cfg.TRAIN.BATCH_SIZE == 3
    base.TRAIN.BATCH_SIZE = 3
    assert cfg == base
    # One beside it comes first, and what that is not based on is not taken.
    beside = own.parent / "MiT" / "VTN_ViT_B.yaml"
    beside.parent.mkdir()
    beside.write_text("SOLVER:\n  MAX_EPOCH: 77\n")
    assert merged_config(own).SOLVER.MAX_EPOCH == 77
    assert find_base(str(beside)) == beside


def test_a_base_that_is_not_there_is_named(folder):
    (folder / "own.yaml").write_text("_BASE_: Kinetics/VTN_ViT_C.yaml\n")
    with pytest.raises(
        InputError, match=r"^_BASE_ Kinetics/VTN_ViT_C\.yaml: no such .* mean Kinetics/VTN_ViT_B"
    ):
        merged_config("own.yaml")


@pytest.mark.parametrize(
    ("script", "typed"),
    [
        (str(ROOT / "tools" / "predict.py"), f"python {ROOT}/tools/run_net.py"),
        ("vtn predict", "vtn run_net"),
        ("/usr/bin/vtn", "vtn run_net"),
        (str(ROOT / "slowfast_ext" / "__main__.py"), "vtn run_net"),
        ("/home/me/SlowFast/tools/run_net.py", "vtn run_net"),
        ("", "vtn run_net"),
    ],
)
def test_messages_name_the_program_as_it_was_started(script, typed, monkeypatch):
    monkeypatch.setattr(sys, "argv", [script])
    assert as_typed("run_net") == typed


def test_it_is_typed_from_the_folder_in_which_it_was(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["tools/predict.py", "x"])
    assert as_typed("run_net") == "python tools/run_net.py"
