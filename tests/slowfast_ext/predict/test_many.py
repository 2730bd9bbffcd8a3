"""tools/predict.py --runner: the same rows as without it, whatever divides the work."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from predictions import FULL, MULTI

from slowfast_ext.predict.command import predict
from vtn.errors import InputError


@pytest.fixture
def videos(clips, tmp_path):
    """A folder with the clips, one that is cut off and one that is none."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for clip in clips:
        shutil.copy2(clip, folder)
    content = clips[4].read_bytes()
    (folder / "cut.mp4").write_bytes(content[: len(content) * 9 // 10])
    (folder / "text.mp4").write_bytes(b"no video at all")
    return folder


def records_of(path: Path) -> dict[str, dict]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({record["path"] for record in records}) == len(records)
    return {record["path"]: record for record in records}


@pytest.mark.parametrize("options", [FULL, (*MULTI, "--window", "1s")])
def test_rows_are_those_of_one_command(trained, videos, tmp_path, options, capsys):
    _, path = trained()
    options = [*options[len(FULL if options == FULL else MULTI) :], *(FULL if options == FULL else MULTI)]
    plain, local, array = tmp_path / "plain.jsonl", tmp_path / "local", tmp_path / "array"
    words = [path, str(videos), *options]
    assert predict([*words, "--out", str(plain), "--batch-size", "1", "--workers", "0"]) == 1
    assert predict([*words, "--out", str(local), "--runner", "local", "--processes", "2"]) == 1
    for shard in ("0/3", "2/3"):  # the third is not needed
        more = ["--runner", "array", "--shard", shard, "--processes", "1"]
        assert predict([*words, "--out", str(array), *more]) == 1
    one, other = ((folder / "predictions.jsonl").read_bytes() for folder in (local, array))
    assert one == other
    wanted, found = records_of(plain), records_of(local / "predictions.jsonl")
    assert len(wanted) == 7
    assert found == wanted
    states = {Path(name).name: record["state"] for name, record in records_of(local / "videos.jsonl").items()}
    assert states.pop("text.mp4") == "failed"
    assert states.pop("cut.mp4") in ("repaired", "failed")
    assert set(states.values()) == {"done"}
    for name, record in records_of(local / "videos.jsonl").items():
        assert record["seconds"] == (0 if record["state"] == "failed" else wanted[name]["seconds"])
        assert record["took"] > 0
    page = (local / "job_report.md").read_text()
    assert f"--retry-failed {path} {videos} " in page
    assert f" --out {local} --runner local --processes 2\n" in page
    assert (
        f"{local / 'predictions.jsonl'}; of each video: {local / 'videos.jsonl'}" in capsys.readouterr().out
    )


def test_parquet(trained, videos, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    _, path = trained(*FULL)
    out = tmp_path / "out"
    words = [path, str(videos), "--out", str(out), "--runner", "local", "--window", "1s"]
    assert predict(words) == 1
    assert predict([*words, "--parquet"]) == 1
    wanted = records_of(out / "predictions.jsonl")
    table = parquet.read_table(out / "predictions.parquet")
    assert table.num_rows == len(wanted) == 7
    for row in table.to_pylist():
        record = wanted[row["path"]]
        assert {key: row[key] for key in record} == record
        assert row["segments"] is None


def test_another_model_or_other_settings_are_another_job(trained, videos, tmp_path):
    _, path = trained(*FULL)
    words = [path, str(videos / "0.mp4"), "--out", str(tmp_path / "out"), "--runner", "local"]
    assert predict(words) == 0
    with pytest.raises(InputError, match=r"holds the results of another job: top is 5 there and 3 here"):
        predict([*words, "--top", "3"])
    with pytest.raises(
        InputError, match=r"another job: model is '[0-9a-f]{16}' there and '[0-9a-f]{16}' here"
    ):
        predict([*words, "TRAIN.EVAL_NUM_FRAMES", "7"])
    assert predict([*words, "--fresh", "TRAIN.EVAL_NUM_FRAMES", "7"]) == 0


def test_refused(trained, videos, tmp_path, monkeypatch):
    _, path = trained(*FULL)
    words = [path, str(videos)]
    with pytest.raises(InputError, match="--live looks at one source, and --runner at very many"):
        predict([path, "--live", "x", "--runner", "local", "--out", str(tmp_path / "out")])
    for option in ("--parquet", "--retry-failed"):
        with pytest.raises(InputError, match=f"{option} is for very many videos"):
            predict([*words, option])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match="Parquet needs the package pyarrow"):
        predict([*words, "--parquet", "--runner", "local", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
