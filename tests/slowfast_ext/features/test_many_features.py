"""tools/extract_features.py --runner: a folder as the plain command makes it."""

import importlib.util
import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from slowfast_ext.data.feature_store import FeatureStore
from slowfast_ext.features import videos
from slowfast_ext.features.command import extract_features
from slowfast_ext.features.extract import FeatureExtractor
from slowfast_ext.predict import Predictor
from slowfast_ext.predict import predictor as predictor_module
from slowfast_ext.video import VideoReader
from vtn.errors import InputError


def store_of(folder: Path) -> dict[str, dict]:
    """What the manifest says, by path."""
    FeatureStore(folder)
    entries = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert len({entry["path"] for entry in entries}) == len(entries)
    return {entry["path"]: entry for entry in entries}


def features_in(folder: Path) -> dict[str, list]:
    """Content of each file; the notes in their heads stand in any order."""
    files = {path.name: load_file(path) for path in folder.glob("*.safetensors")}
    return {
        name: sorted((key, value.tolist()) for key, value in file.items()) for name, file in files.items()
    }


def test_the_folder_is_that_of_one_command(trained, clips, tmp_path):
    plain, local, array = (tmp_path / name for name in ("plain", "local", "array"))
    shutil.copy(clips[2], clips[2].with_name("copy.mp4"))  # the same bytes, so the same file of features
    clips[0].with_name("text.mp4").write_bytes(b"no video at all")
    words = [trained, str(clips[0].parent)]
    assert extract_features([*words, "--out", str(plain), "--workers", "0"]) == 1
    assert extract_features([*words, "--out", str(local), "--runner", "local", "--processes", "3"]) == 1
    for shard in ("1/2", "0/2"):
        assert extract_features([*words, "--out", str(array), "--runner", "array", "--shard", shard]) == 1
    wanted = store_of(plain)
    assert len(wanted) == 8
    files = features_in(plain)
    assert len(files) == 6
    for folder in local, array:
        assert store_of(folder) == wanted
        assert features_in(folder) == files
    lines = map(json.loads, (local / "videos.jsonl").read_text().splitlines())
    seconds = {line["path"]: line["seconds"] for line in lines}
    for clip in clips:
        info = VideoReader(clip).info
        assert seconds[str(clip)] == round(info.num_frames / info.fps, 3) > 0
    assert (local / "job_report.png").exists()


def test_features_of_frames_that_were_read_elsewhere(trained, clips, tmp_path, monkeypatch):
    extractor = FeatureExtractor(trained)
    reader = pickle.loads(pickle.dumps(extractor.reader()))
    path = str(clips[3])
    ((_, wanted),) = extractor.extract([path])
    found = extractor.of_item(path, pickle.loads(pickle.dumps(reader(path))))
    assert torch.equal(found.features, wanted.features)
    assert torch.equal(found.frames, wanted.frames)
    monkeypatch.setattr(videos, "_MOST_BYTES", 100)
    assert reader(path) is None


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_ray_fills_the_same_folder(trained, clips, tmp_path):
    clips[0].with_name("text.mp4").write_bytes(b"no video at all")
    for runner in ("local", "ray"):
        out = ["--out", str(tmp_path / runner), "--runner", runner, "--processes", "1"]
        assert extract_features([trained, str(clips[0].parent), *out]) == 1
    assert store_of(tmp_path / "ray") == store_of(tmp_path / "local")
    assert features_in(tmp_path / "ray") == features_in(tmp_path / "local")


def test_lost_files_are_made_again_and_what_is_there_stays(trained, clips, tmp_path):
    out = tmp_path / "out"
    extract_features([trained, str(clips[0]), "--out", str(out), "--workers", "0"])
    before = (out / "manifest.jsonl").read_text()
    words = [trained, *map(str, clips), "--out", str(out), "--runner", "local", "--processes", "2"]
    assert extract_features(words) == 0
    assert (out / "manifest.jsonl").read_text().startswith(before)
    files = features_in(out)
    lost = out / store_of(out)[str(clips[3])]["file"]
    lost.unlink()
    (out / "job" / "merged.json").unlink()
    assert extract_features(words) == 0
    assert features_in(out) == files
    assert len(store_of(out)) == 6


def test_the_store_is_read_once_for_many_videos(trained, clips, tmp_path, monkeypatch):
    """As a job asks: one video after the other. A manifest that has changed is read again."""
    out, names = tmp_path / "out", [str(clip) for clip in clips]
    extract_features([trained, *names[:-1], "--out", str(out), "--workers", "0"])
    predictor = Predictor(trained, features=out)
    read, hashed = [], []
    make, find = FeatureStore.__init__, predictor_module.weights_fingerprint
    monkeypatch.setattr(
        FeatureStore, "__init__", lambda self, folder: (read.append(folder), make(self, folder))[1]
    )
    monkeypatch.setattr(
        predictor_module, "weights_fingerprint", lambda *of: (hashed.append(of), find(*of))[1]
    )
    for name in names[:-1]:
        assert predictor(name).scores is not None
    assert (len(read), len(hashed)) == (1, 1)
    with pytest.raises(InputError, match="its features are not there"):
        predictor(names[-1])
    monkeypatch.undo()
    extract_features([trained, names[-1], "--out", str(out), "--workers", "0"])
    assert predictor(names[-1]).scores is not None
