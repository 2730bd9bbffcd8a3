"""The command line of tools/run_net.py, without running a network."""

import argparse
import os
import re
import signal
import subprocess
import sys

import pytest
from tiny_runs import ROOT

from slowfast_ext import cli, launch
from slowfast_ext.host import get_host
from slowfast_ext.host.command_line import parse_args
from slowfast_ext.run_net import run_net
from vtn import InputError


@pytest.mark.parametrize(
    ("line", "files", "opts"),
    [
        ("--cfg a.yaml", ["a.yaml"], []),
        ("--cfg a.yaml A.B 1", ["a.yaml"], ["A.B", "1"]),
        ("--cfg a.yaml --opts A.B 1", ["a.yaml"], ["A.B", "1"]),
        ("--cfg a.yaml b.yml A.B -1", ["a.yaml", "b.yml"], ["A.B", "-1"]),
        ("--cfg a.yaml A.B 1 --num_shards 2 --shard_id 1", ["a.yaml"], ["A.B", "1"]),
        ("--cfg a.yaml --num_shards 2 --shard_id 1 A.B 1", ["a.yaml"], ["A.B", "1"]),
        ("--cfg a.yaml A.B 1 --opts C 2", ["a.yaml"], ["A.B", "1", "C", "2"]),
        ("--cfg nothing", ["nothing"], []),
    ],
)
def test_overrides_are_not_taken_for_files(line, files, opts):
    args = parse_args(line.split())
    assert (args.cfg_files, args.opts) == (files, opts)


def test_a_wrong_value_is_told_before_what_only_models_need_is_loaded(tiny_config):
    """These take as long to load as PyTorch itself. main loads PyTorch's compiler for itself."""
    code = (
        "import sys\nfrom slowfast_ext.run_net import run_net\nfrom vtn import InputError\n"
        f"try:\n    run_net(['--cfg', {str(tiny_config)!r}, 'TRAIN.BATCH_SIZE', '0'])\n"
        "except InputError as error:\n    print(error)\n"
        "print(*({'timm', 'transformers', 'torch._dynamo'} & set(sys.modules)))\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    told, loaded = done.stdout.splitlines()
    assert told.startswith("TRAIN.BATCH_SIZE is 0: it must be ")
    assert set(loaded.split()) <= (set() if get_host().NAME == "wheel" else {"torch._dynamo"})


def test_unknown_flag_stops(capsys):
    with pytest.raises(SystemExit, match="2"):
        parse_args("--cfg a.yaml --nmu_shards 2".split())
    assert "unrecognized argument --nmu_shards" in capsys.readouterr().err


def test_two_configurations_with_one_output_folder_start_nothing(
    tiny_config, data_dir, tmp_path, monkeypatch
):
    """Also under two names of the folder. Each with a folder of its own, both run."""
    started = []
    monkeypatch.setattr(launch, "launch_job", lambda cfg, init_method, func: started.append(cfg))
    other = tmp_path / "other.yaml"
    other.write_text(tiny_config.read_text() + f"OUTPUT_DIR: {tmp_path}/x/../out\n")
    tiny_config.write_text(tiny_config.read_text() + f"OUTPUT_DIR: {tmp_path}/out\n")
    both = ["--cfg", str(tiny_config), str(other), "DATA.PATH_TO_DATA_DIR", str(data_dir)]
    (tmp_path / "x").mkdir()
    for line in ([*both, "OUTPUT_DIR", str(tmp_path / "one")], both):
        with pytest.raises(InputError, match=r"tiny\.yaml and --cfg .*other\.yaml would both write into"):
            run_net(line)
    assert not started
    other.write_text(other.read_text().replace("/x/../out", "/out2"))
    run_net(both)
    assert len(started) == 4  # training and test of each


def test_the_program_lists_its_commands(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--help"])
    listed = re.findall(r"^  (\w+) ", capsys.readouterr().out, re.MULTILINE)
    assert listed == [*cli.COMMANDS]
    with pytest.raises(SystemExit, match="2"):
        cli.main(["rum_net"])
    assert "usage: vtn COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_command_is_a_subcommand(name, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["vtn"])  # it is changed
    with pytest.raises(SystemExit, match="0"):
        cli.main([name, "--help"])
    assert f"usage: vtn {name}" in capsys.readouterr().out


def test_ctrl_c_while_the_program_is_loading(monkeypatch, capsys):
    """PyTorch takes seconds to load, and it is loaded only when Ctrl-C is answered."""
    code = "import sys, slowfast_ext.cli; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

    def interrupted(name):
        os.kill(os.getpid(), signal.SIGINT)
        return argparse  # it loads all the same

    monkeypatch.setattr(cli.importlib, "import_module", interrupted)
    monkeypatch.setitem(cli.COMMANDS, "run_net", ("argparse:ArgumentParser", ""))
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit, match="130"):
        cli.run_command("run_net")
    assert capsys.readouterr().err.startswith("\ninterrupted: ")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_run_that_neither_trains_nor_tests_is_refused(tiny_config, data_dir):
    line = ["--cfg", str(tiny_config), "DATA.PATH_TO_DATA_DIR", str(data_dir)]
    with pytest.raises(
        InputError, match="tiny.yaml has nothing to do: TRAIN.ENABLE and TEST.ENABLE are both"
    ):
        run_net([*line, "TRAIN.ENABLE", "False", "TEST.ENABLE", "False"])


def test_a_refused_run_leaves_no_folder(tiny_config, tmp_path):
    folder = tmp_path / "new" / "out"
    line = ["--cfg", str(tiny_config), "DATA.PATH_TO_DATA_DIR", str(tmp_path / "none")]
    line += ["MODEL.MODEL_NAME", "ResNet", "MODEL.ARCH", "i3d", "TRAIN.DATASET", "kinetics"]
    with pytest.raises(InputError, match=r"train\.csv does not exist"):
        run_net([*line, "TRAIN.EVAL_FULL_VIDEO", "False", "OUTPUT_DIR", str(folder)])
    assert not folder.parent.exists()
