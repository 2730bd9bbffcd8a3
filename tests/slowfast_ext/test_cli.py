"""The command line of tools/run_net.py, without running a network."""

import pytest

from slowfast_ext.cli import parse_args


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
