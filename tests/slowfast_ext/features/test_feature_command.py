"""tools/extract_features.py: what it writes, goes on with and refuses."""

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import timm
import torch
from disk import assert_on_disk_before_its_name, watch_disk
from predictions import moving
from safetensors import safe_open
from tiny_runs import ROOT, TINY
from videos import make_video

from slowfast_ext.data.feature_store import FeatureStore, Record
from slowfast_ext.engine.test import test as run_test
from slowfast_ext.features import videos
from slowfast_ext.features.command import extract_features
from vtn.errors import InputError


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def features_in(folder: Path) -> dict[str, torch.Tensor]:
    """By video; each file is read and checked."""
    store = FeatureStore(folder)
    entries = [line | {"settings": json.dumps(line["settings"], sort_keys=True)} for line in lines_of(folder)]
    return {entry["path"]: store.read(Record(**entry)).features for entry in entries if entry["file"]}


def assert_nothing_half(folder: Path) -> None:
    names = {line["file"] for line in lines_of(folder)}
    assert {path.name for path in folder.iterdir()} - {"manifest.jsonl"} == names - {""}


def test_what_is_written(extracted, clips, capsys, monkeypatch):
    done = watch_disk(monkeypatch)
    folder = extracted("--workers", "0")
    told = capsys.readouterr().out
    lines = {line["path"]: line for line in lines_of(folder)}
    assert lines.keys() == set(map(str, clips))
    line = lines[str(clips[5])]
    assert (line["features"], line["num_frames"], line["width"], line["error"]) == (12, 70, 64, "")
    assert line["settings"]["crop_size"] == 32
    with safe_open(folder / line["file"], "pt") as file:
        assert file.get_slice("features").get_shape() == [12, 64]
        assert file.get_tensor("features").dtype == torch.float32
        assert file.get_tensor("frames").tolist() == [i * 69 // 11 for i in range(12)]
        assert file.get_tensor("shown").tolist() == list(range(70))
        assert float(file.metadata()["fps"]) == 25
    assert_on_disk_before_its_name(folder / line["file"], done)
    assert f"{clips[5]} (12 features, 70 frames)" in told
    assert f"features of 6 of 6 videos: {folder}" in told


def test_readers_agree(extracted, monkeypatch):
    """One by one, by workers, and by workers that hold no video."""
    wanted = features_in(extracted("--all-frames", "--workers", "0", name="one"))
    by_workers = features_in(extracted("--all-frames", "--workers", "2", name="two"))
    monkeypatch.setattr(videos, "_MOST_BYTES", 40 * 3 * 32**2)
    long = features_in(extracted("--all-frames", "--workers", "2", name="long"))
    for found in (by_workers, long):
        assert found.keys() == wanted.keys()
        for path, features in wanted.items():
            torch.testing.assert_close(found[path], features, rtol=1e-5, atol=1e-5)
    assert sorted(map(len, wanted.values())) == [20, 30, 40, 50, 60, 70]


def test_videos_of_one_name_and_videos_that_cannot_be_read(extracted, run_config, trained, clips, capsys):
    (clips[0].parent / "more").mkdir()
    twin, text, cut = (clips[0].parent / name for name in ("more/1.mp4", "bad.mp4", "cut.mkv"))
    twin.write_bytes(clips[4].read_bytes())
    text.write_bytes(b"no video at all")
    make_video(cut, 60, fps=25, size=(48, 48), picture=moving)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 2 // 3])
    folder = extracted("--all-frames", status=1)
    told = capsys.readouterr()
    assert f"not read: {text}" in told.err
    assert "features of 8 of 9 videos" in told.out
    found = features_in(folder)
    assert len(found[str(twin)]) == 60
    assert len(found[str(clips[1])]) == 30
    (line,) = [line for line in lines_of(folder) if line["error"]]
    assert line["path"] == str(text)
    # A run tells of them as a run on decoded frames does.
    cfg = run_config("TRAIN.ENABLE", "False", "TEST.CHECKPOINT_FILE_PATH", trained)
    with (Path(cfg.DATA.PATH_TO_DATA_DIR) / "test.csv").open("a") as file:
        file.write(f"{text} 0\n{cut} 0\n")
    ledgers = []
    for name, overrides in (("decoded", ()), ("stored", ("VTN.FEATURES", str(folder)))):
        cfg = run_config("TRAIN.ENABLE", "False", "TEST.CHECKPOINT_FILE_PATH", trained, *overrides, name=name)
        run_test(cfg)
        ledgers.append(list(csv.DictReader((Path(cfg.OUTPUT_DIR) / "ledger_test.csv").open())))
    assert [row["outcome"] for row in ledgers[1]].count("failed") == 1
    assert [row["outcome"] for row in ledgers[1]].count("repaired") == 1
    assert ledgers[0] == ledgers[1]
    assert extracted("--all-frames", status=1) == folder
    told = capsys.readouterr()
    assert "9 of 9 videos were done before" in told.out
    assert f"not read: {text}" in told.err
    extracted("--all-frames", "--retry-failed", status=1)
    assert "8 of 9 videos were done before" in capsys.readouterr().out


def test_only_what_is_new_or_damaged_is_done(extracted, clips, capsys):
    folder = extracted()
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}
    (damaged,) = (folder / line["file"] for line in lines_of(folder) if line["path"] == str(clips[2]))
    damaged.write_bytes(damaged.read_bytes()[:-3] + b"abc")
    (folder / f".{'0' * 32}.safetensors.part").write_bytes(b"half")  # of a command that was killed
    with (folder / "manifest.jsonl").open("a") as file:
        file.write('{"path": "half a li')
    clips[1].write_bytes(clips[1].read_bytes() + b"\0")
    capsys.readouterr()
    extracted()
    told = capsys.readouterr().out
    assert "4 of 6 videos were done before" in told
    assert "the features of 1 videos are gone or damaged and are made anew" in told
    after = {path: path.stat().st_mtime_ns for path in folder.iterdir() if path.name != "manifest.jsonl"}
    assert len(after) == 7
    assert {path for path, time in before.items() if after[path] != time} == {damaged}
    extracted()
    assert "6 of 6 videos were done before" in capsys.readouterr().out


@pytest.mark.timeout(250)
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_command_that_is_stopped_goes_on(trained, clips, tmp_path, number):
    many = tmp_path / "many"
    many.mkdir()
    for name in range(60):
        (many / f"{name:03}.mp4").write_bytes(clips[5].read_bytes() + bytes([name]))
    out = tmp_path / "out"
    line = [
        sys.executable,
        "tools/extract_features.py",
        trained,
        str(many),
        "--out",
        str(out),
        "--all-frames",
    ]
    first = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while len(list(out.glob("[0-9a-f]*.safetensors"))) < 3:
        assert first.poll() is None, first.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    first.send_signal(number)
    _, errors = first.communicate(timeout=60)
    assert first.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL), errors
    assert "Traceback" not in errors
    done = len(features_in(out))
    assert 2 <= done < 60
    second = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=150)
    assert second.returncode == 0, second.stderr
    assert f"{done} of 60 videos were done before" in second.stdout
    assert len(features_in(out)) == 60
    assert_nothing_half(out)


def test_a_full_disk(trained, clips, tmp_path, extracted):
    """Files may have 8,000 bytes: features of 12 and 20 frames fit, those of 30 do not."""
    out = tmp_path / "features"
    words = [trained, str(clips[0].parent), "--out", str(out), "--all-frames", "--workers", "0"]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, limits[1]))
    try:
        with pytest.raises(InputError, match=f"cannot write {out}.*File too large"):
            extract_features(words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert len(features_in(out)) == 1
    assert_nothing_half(out)
    extracted("--all-frames")
    assert len(features_in(out)) == 6


def test_a_folder_that_cannot_be_written(trained, clips, tmp_path):
    words = [trained, str(clips[0]), "--out"]
    (tmp_path / "file").write_text("")
    for out in ("/proc/features", str(tmp_path / "file"), str(tmp_path / "file" / "deeper")):
        with pytest.raises(InputError, match=f"cannot write {out}"):
            extract_features([*words, out])
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if os.geteuid():
        with pytest.raises(InputError, match="cannot write .*Permission denied"):
            extract_features([*words, str(locked)])


def test_bad_input(trained, clips, tmp_path, monkeypatch):
    out = ["--out", str(tmp_path / "out")]
    config = tmp_path / "tiny.yaml"
    config.write_text(TINY)
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    for words, says in (
        ([], "there is no backbone: a checkpoint comes first"),
        ([trained], "there is no video"),
        ([trained, "gone.mp4"], "gone.mp4: no such file"),
        (["gone.pyth", str(clips[0])], "no checkpoint file gone.pyth"),
        (["--cfg", str(config), str(clips[0])], "VTN.PRETRAINED is False, so the backbone would have random"),
        ([trained, str(clips[0]), "--workers", "-1"], "--workers is -1"),
        ([trained, str(text)], "none of the 1 videos could be read, so there are no features"),
    ):
        with pytest.raises(InputError, match=says):
            extract_features([*words, *out])


def test_published_weights_of_a_configuration(clips, tmp_path, monkeypatch):
    asked = []
    create = timm.create_model

    def published(name, pretrained=False, **options):
        asked.append(pretrained)
        torch.manual_seed(7)
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", published)
    config, out = tmp_path / "tiny.yaml", tmp_path / "out"
    config.write_text(TINY)
    words = ["--cfg", str(config), str(clips[0]), "--out", str(out), "VTN.PRETRAINED", "True"]
    assert extract_features(words) == 0
    assert asked[-1]
    assert len(features_in(out)[str(clips[0])]) == 12


def test_another_command_is_writing(extracted, trained, clips):
    from slowfast_ext.features.folder import FeatureFolder

    folder = FeatureFolder(extracted())
    with pytest.raises(InputError, match="another command is writing"):
        extract_features([trained, str(clips[0]), "--out", str(folder.store.folder)])
    folder.close()
    extracted()
