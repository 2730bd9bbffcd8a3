"""tools/predict.py --runner: the same rows as without it, whatever divides the work."""

import dataclasses
import importlib.util
import json
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from predictions import FULL, MULTI

from slowfast_ext.predict.command import predict
from slowfast_ext.predict.predictor import Predictor
from slowfast_ext.video import VideoError
from vtn.errors import InputError

# One clip, whose crops are parts of one picture.
CROPS = tuple("TRAIN.EVAL_FULL_VIDEO False TEST.NUM_ENSEMBLE_VIEWS 1 TEST.NUM_SPATIAL_CROPS 3".split())


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


@pytest.mark.parametrize("options", [FULL, MULTI, CROPS])
def test_frames_that_were_read_elsewhere_give_the_same_answer(trained, videos, options):
    _, path = trained(*options)
    predictor = Predictor(path, batch_size=4)  # fewer than the views of a video
    reader = pickle.loads(pickle.dumps(predictor.reader()))
    for name in ("4.mp4", "1.mp4"):
        (wanted,) = predictor.predict_files([str(videos / name)], num_workers=0)
        read = reader(str(videos / name))
        for (frames, *_), *_ in read.batches:  # pickle takes all of the memory that a tensor is a part of
            assert all(part.untyped_storage().nbytes() == part.nbytes for part in frames.parts)
        handed_over = pickle.dumps(read)
        found = predictor.answer(pickle.loads(handed_over))
        assert np.array_equal(found.scores, wanted.scores)
        assert dataclasses.replace(found, scores=None) == dataclasses.replace(wanted, scores=None)
        assert len(handed_over) < 2 * _bytes_of_views(predictor)
    with pytest.raises(VideoError, match="text.mp4"):
        reader(str(videos / "text.mp4"))
    assert predictor.reader(window=1.0) is None
    assert Predictor(path, frames_per_chunk=4).reader() is None
    large = Predictor(path, overrides=["TRAIN.EVAL_NUM_FRAMES", "200000", "DATA.NUM_FRAMES", "200000"])
    assert large.reader() is None


def _bytes_of_views(predictor: Predictor) -> int:
    """Of all pixels that a video's views show."""
    cfg = predictor.cfg
    frames = cfg.TRAIN.EVAL_NUM_FRAMES if cfg.TRAIN.EVAL_FULL_VIDEO else cfg.DATA.NUM_FRAMES
    views = 1 if cfg.TRAIN.EVAL_FULL_VIDEO else cfg.TEST.NUM_ENSEMBLE_VIEWS
    return 3 * cfg.DATA.TEST_CROP_SIZE**2 * frames * views * cfg.TEST.NUM_SPATIAL_CROPS


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_ray_gives_the_same_bytes(trained, videos, tmp_path, monkeypatch):
    _, path = trained(*FULL)
    monkeypatch.chdir(videos)  # names that are relative are so for Ray's processes too
    words = [path, ".", *FULL]
    for runner in ("local", "ray"):
        out = ["--out", str(tmp_path / runner), "--runner", runner, "--processes", "1"]
        assert predict([*words[:2], *out, *words[2:]]) == 1
    local, ray = ((tmp_path / runner / "predictions.jsonl").read_bytes() for runner in ("local", "ray"))
    assert ray == local


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
