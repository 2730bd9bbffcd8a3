"""tools/predict.py: what it takes, shows, writes and refuses."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from predictions import FULL, MULTI, NAMES
from tiny_runs import ROOT
from videos import make_video

from slowfast_ext.predict import Predictor
from slowfast_ext.predict.command import predict
from vtn.errors import InputError


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_names_and_scores_are_shown_and_written(trained, tested, clips, tmp_path, capsys):
    cfg, path = trained(*FULL)
    wanted, out = tested(cfg, path), tmp_path / "out.jsonl"
    capsys.readouterr()
    assert predict([path, *map(str, clips), "--top", "2", "--out", str(out), "--workers", "0"]) == 0
    shown = capsys.readouterr().out
    records = {record["path"]: record for record in lines_of(out)}
    assert records.keys() == wanted.keys()
    for name, scores in wanted.items():
        record, order = records[name], np.argsort(-scores)[:2]
        np.testing.assert_allclose(record["scores"], scores, atol=1e-5)
        assert [label["class"] for label in record["labels"]] == order.tolist()
        assert [label["name"] for label in record["labels"]] == [NAMES[label] for label in order]
        assert f"{scores[order[0]]:.3f}  {NAMES[order[0]]}" in shown
    last = records[str(clips[4])]
    assert (last["frames"], last["frames_read"], last["seconds"], last["views"]) == (75, 12, 3.0, 1)
    assert (last["missing"], last["error"]) == ("", "")
    assert f"{clips[4]} (12 of 75 frames, 3.0 s)" in shown
    assert f"predicted 5 of 5 videos: {out}" in shown


def test_csv(trained, clips, tmp_path):
    _, path = trained(*FULL)
    out = tmp_path / "out.csv"
    assert predict([path, str(clips[0]), str(clips[1]), "--top", "3", "--out", str(out)]) == 0
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [(row["path"], row["rank"]) for row in rows] == [
        (str(clip), rank) for clip in clips[:2] for rank in "123"
    ]
    name, score = Predictor(path)(clips[0]).top(1)[0]
    assert rows[0]["name"] == name
    assert float(rows[0]["score"]) == pytest.approx(score, abs=1e-5)
    assert (rows[0]["begin"], rows[0]["end"]) == ("0.0", "0.6")


def test_subtitles_say_what_happens_when(trained, clips, tmp_path):
    """75 frames, windows of 1 s every 0.5 s: their middles are 0.5, 1, 1.5, 2 and 2.5 s (frames round)."""
    _, path = trained(*FULL)
    out = tmp_path / "out.vtt"
    assert predict([path, str(clips[4]), "--window", "1s", "--every", "500ms", "--out", str(out)]) == 0
    head, *cues = out.read_text().split("\n\n")
    assert head == "WEBVTT"
    windows = Predictor(path)(clips[4], window=1.0, every=0.5).windows
    assert len(cues) == len(windows) == 5
    ends = [0.0]
    for cue, part in zip(cues, windows, strict=True):
        time_line, text = cue.strip().split("\n")
        begin, end = (
            float(minutes) * 60 + float(seconds)
            for minutes, seconds in re.findall(r"00:(\d\d):(\d\d\.\d{3})", time_line)
        )
        assert begin == ends[-1]  # they follow one another
        ends.append(end)
        best = int(part.scores.argmax())
        assert begin <= (part.begin + part.end) / 2 <= end
        assert text == f"{NAMES[best].replace('&', '&amp;')} {part.scores[best]:.2f}"
    assert ends[-1] == 3.0


def test_windows_are_shown_and_written(trained, clips, tmp_path, capsys):
    _, path = trained(*MULTI)
    out = tmp_path / "out.jsonl"
    assert predict([path, str(clips[4]), "--window", "1", "--every", "1", "--out", str(out)]) == 0
    (record,) = lines_of(out)
    wanted = Predictor(path)(clips[4], window=1.0).windows
    assert [(part["begin"], part["end"]) for part in record["windows"]] == [(0, 1), (1, 2), (2, 3)]
    for part, known in zip(record["windows"], wanted, strict=True):
        np.testing.assert_allclose(part["scores"], known.scores, atol=1e-5)
    assert "    1.00 to     2.00 s" in capsys.readouterr().out


def test_folders_patterns_and_lists(trained, clips, tmp_path, monkeypatch, capsys):
    _, path = trained(*FULL)
    folder = tmp_path / "more"
    (folder / "deep").mkdir(parents=True)
    names = ["b.mp4", "a 1.mp4", "deep/c.mp4"]
    for name, clip in zip(names, clips, strict=False):
        (folder / name).write_bytes(clip.read_bytes())
    (folder / "notes.txt").write_text("no video")
    in_order = [str(folder / name) for name in ("a 1.mp4", "b.mp4", "deep/c.mp4")]
    listed = tmp_path / "list.csv"
    listed.write_text("more/b.mp4 3\nmore/a 1.mp4,0\n\nmore/deep/c.mp4\nmore/a 1.mp4\n")

    def found(*words: str) -> list[str]:
        out = tmp_path / "out.csv"
        assert predict([path, *words, "--out", str(out), "--top", "1", "--workers", "0"]) == 0
        return [row["path"] for row in csv.DictReader(io.StringIO(out.read_text()))]

    assert found(str(folder)) == in_order
    assert found(f"{folder}/**/*.mp4") == in_order
    assert found(str(folder), in_order[1]) == in_order
    assert found("--list", str(listed)) == [str(folder / name) for name in names]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{in_order[2]}\n".encode())))
    assert found("-") == [in_order[2]]


def test_one_bad_video_is_named_and_the_rest_is_done(trained, clips, tmp_path, capsys):
    _, path = trained(*FULL)
    bad = {"empty.mp4": b"", "text.mp4": b"no video at all"}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    sound = tmp_path / "sound.mp4"
    make_sound(sound)
    names = [*(str(tmp_path / name) for name in bad), str(sound)]
    out = tmp_path / "out.jsonl"
    assert predict([path, *names, str(clips[0]), "--out", str(out)]) == 1
    told = capsys.readouterr()
    errors = {record["path"]: record["error"] for record in lines_of(out)}
    assert errors.pop(str(clips[0])) == ""
    assert errors.keys() == set(names)
    for name in names:
        assert name in errors[name]
        assert re.search(f"^not read: .*{re.escape(name)}", told.err, re.MULTILINE)
    assert "predicted 1 of 4 videos" in told.out
    # Again: nothing is left to do, and they are still named.
    assert predict([path, *names, str(clips[0]), "--out", str(out)]) == 1
    told = capsys.readouterr()
    assert "4 of 4 videos were done before" in told.out
    assert all(name in told.err for name in names)
    assert len(lines_of(out)) == 4
    with pytest.raises(InputError, match="none of the 3 videos could be read"):
        predict([path, *names])


def make_sound(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)


def test_only_what_is_new_is_predicted(trained, clips, tmp_path, capsys):
    _, path = trained(*FULL)
    copies = [tmp_path / f"{number}.mp4" for number in range(3)]
    for copy, clip in zip(copies, clips, strict=False):
        copy.write_bytes(clip.read_bytes())
    out = tmp_path / "out.jsonl"
    options = ["--out", str(out), "--workers", "0"]
    predict([path, *map(str, copies[:2]), *options])
    before = out.read_text()
    out.write_text(before + '{"path": "half a li')  # a command was killed
    copies[0].write_bytes(clips[3].read_bytes())  # another video by now
    capsys.readouterr()
    predict([path, *map(str, copies), *options])
    assert "1 of 3 videos were done before" in capsys.readouterr().out
    assert out.read_text().startswith(before)
    assert [record["path"] for record in lines_of(out)[2:]] == [str(copies[0]), str(copies[2])]
    predict([path, *map(str, copies), *options, "--views", "multi"])  # other settings: other predictions
    assert len(lines_of(out)) == 7
    assert len({record["model"] for record in lines_of(out)}) == 2
    out.write_text("my notes")
    with pytest.raises(InputError, match="something else than predictions"):
        predict([path, *map(str, copies), *options])
    assert out.read_text() == "my notes"


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_ctrl_c_keeps_what_was_predicted_and_the_same_command_goes_on(trained, clips, tmp_path):
    _, path = trained(*FULL)
    many = []
    for number in range(300):
        many.append(tmp_path / f"{number:03}.mp4")
        os.link(clips[4], many[-1])
    out = tmp_path / "out.jsonl"
    line = [sys.executable, "tools/predict.py", path, *map(str, many), "--out", str(out), "--batch-size", "1"]
    first = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (out.is_file() and out.read_text().count("\n") >= 3):
        assert first.poll() is None, first.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    first.send_signal(signal.SIGINT)
    _, errors = first.communicate(timeout=60)
    assert first.returncode == 130, errors
    assert "Traceback" not in errors
    assert f"interrupted: the same command goes on after what is in {out}" in errors
    done = lines_of(out)
    assert 3 <= len(done) < len(many)
    second = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=150)
    assert second.returncode == 0, second.stderr
    assert f"{len(done)} of 300 videos were done before" in second.stdout
    records = lines_of(out)
    assert records[: len(done)] == done
    assert sorted(record["path"] for record in records) == sorted(map(str, many))


def refused(words: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        predict(words)


def test_bad_input_is_refused_before_work_starts(trained, clips, tmp_path, monkeypatch):
    _, path = trained(*FULL)
    video, empty = str(clips[0]), tmp_path / "nothing here"
    empty.mkdir()
    (tmp_path / "text").write_text("no checkpoint")
    (tmp_path / "two.txt").write_text("one\ntwo\n")
    (tmp_path / "list.txt").write_text(f"{video} 1\ngone.mp4 2\n")
    (tmp_path / "none.txt").write_text("\n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9.mp4\n")
    with monkeypatch.context() as patched:
        patched.setattr(Predictor, "__init__", None)  # never reached
        refused([], "no checkpoint: its file comes first")
        refused([path], "there is no video")
        refused([str(tmp_path / "gone.pyth"), video], "checkpoint .*gone.pyth: no such file or folder")
        refused([path, "gone.mp4"], "gone.mp4: no such file")
        refused([path, str(empty)], "holds no videos")
        refused([path, f"{empty}/*.mp4"], "no file fits the pattern")
        refused([path, "--list", "gone.txt"], "--list gone.txt: no such file")
        refused(
            [path, "--list", str(tmp_path / "list.txt")], r"1 of the 2 videos in .* gone.mp4 2 \(line 2\)"
        )
        refused([path, "--list", str(tmp_path / "none.txt")], "lists no videos")
        refused([path, "--list", str(tmp_path / "latin.txt")], "not UTF-8")
        refused([path, video, "--out", "x.txt"], r"must end with .jsonl, .csv, .vtt")
        refused([path, video, "--out", str(empty / "gone" / "x.csv")], "cannot write .*No such file")
        refused([path, video, str(clips[1]), "--out", "x.vtt"], "of one video, not of 2")
        refused([path, video, "--top", "0"], "--top is 0")
        refused([path, video, "--workers", "-1"], "--workers is -1")
    refused([str(empty), video], "holds no checkpoint of a run")
    refused([str(tmp_path / "text"), video], "not from torch.save")
    refused([path, video, "--classes", str(tmp_path / "two.txt")], "has 2 lines, and the model has 5 classes")
    refused([path, video, "--classes", "gone.txt"], "--classes gone.txt: No such file")
    refused([path, video, "--batch-size", "0"], "batch size is 0")
    refused([path, video, "--frames-per-chunk", "0"], "frames per chunk is 0")
    refused([path, video, "--window", "0s"], "window is 0.0")
    refused([path, video, "DATA.NUM_FRAMSE", "3"], "did you mean DATA.NUM_FRAMES")
    with pytest.raises(SystemExit) as ended:
        predict([path, video, "--window", "soon"])
    assert ended.value.code == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(trained, clips, tmp_path):
    _, path = trained(*FULL)
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    refused([path, str(clips[0]), "--out", str(folder / "x.csv")], "cannot write .*Permission denied")


def test_a_refused_command_leaves_no_file_behind(trained, clips, tmp_path):
    _, path = trained(*FULL)
    out = tmp_path / "x.csv"
    refused([path, str(clips[0]), "--out", str(out), "--classes", "gone.txt"], "--classes")
    assert not out.exists()


def test_the_folder_of_a_run_stands_for_its_newest_checkpoint(trained, clips, tmp_path):
    cfg, path = trained(*FULL)
    assert Predictor(cfg.OUTPUT_DIR).fingerprint() == Predictor(path).fingerprint()


def test_other_names_and_keys(trained, clips, tmp_path, capsys):
    _, path = trained(*FULL)
    names = tmp_path / "names.txt"
    names.write_text("a\nb\nc\nd\ne\n")
    assert predict([path, str(clips[4]), "--classes", str(names), "TRAIN.EVAL_NUM_FRAMES", "7"]) == 0
    assert re.search(r"7 of 75 frames.*\n  0\.\d{3}  [abcde]\n", capsys.readouterr().out)


def test_a_name_of_a_file_cannot_steer_the_terminal(trained, clips, tmp_path, capsys):
    _, path = trained(*FULL)
    video = tmp_path / "a\x1b[31mred.mp4"
    os.link(clips[0], video)
    assert predict([path, str(video)]) == 0
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert "a\\x1b[31mred.mp4" in told


def test_a_checkpoint_without_configuration_asks_for_one(trained, tested, clips, tmp_path):
    cfg, path = trained(*FULL)
    wanted = tested(cfg, path)[str(clips[3])]
    content = torch.load(path, weights_only=True)
    del content["cfg"]
    bare = tmp_path / "bare.pyth"
    torch.save(content, bare)
    refused([str(bare), str(clips[3])], "holds no configuration: name that of its run with --cfg FILE")
    config = Path(cfg.OUTPUT_DIR) / "as_run.yaml"
    np.testing.assert_allclose(Predictor(bare, config=config)(clips[3]).scores, wanted, atol=1e-5)


def test_the_program_and_its_help(clips):
    done = subprocess.run(
        [sys.executable, "-m", "slowfast_ext", "predict", "gone.pyth", str(clips[0])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stderr == "error: checkpoint gone.pyth: no such file or folder\n"


def test_zero_frames(trained, tmp_path, clips):
    _, path = trained(*FULL)
    video = make_video(tmp_path / "x.mkv", 2, fps=25, size=(64, 48))
    video.write_bytes(video.read_bytes()[:600])  # the head alone
    refused([path, str(video)], "none of the 1 videos")
