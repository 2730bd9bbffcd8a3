"""The command line of tools/run_net.py, without running a network."""

import pytest

from slowfast_ext import distributed
from slowfast_ext.cli import parse_args, run_net
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


def test_unknown_flag_stops(capsys):
    with pytest.raises(SystemExit, match="2"):
        parse_args("--cfg a.yaml --nmu_shards 2".split())
    assert "unrecognized argument --nmu_shards" in capsys.readouterr().err


def test_two_configurations_with_one_output_folder_start_nothing(
    tiny_config, data_dir, tmp_path, monkeypatch
):
    """Also under two names of the folder. Each with a folder of its own, both run."""
    started = []
    monkeypatch.setattr(distributed, "launch_job", lambda cfg, init_method, func: started.append(cfg))
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
