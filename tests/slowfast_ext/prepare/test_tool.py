"""tools/prepare_dataset.py as a person types it, interrupts it and types it again."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from videos import make_video

from slowfast_ext.cli import run_safely
from slowfast_ext.data.video_list import read_video_list
from slowfast_ext.prepare import command
from slowfast_ext.prepare.command import build_parser, prepare_dataset

ROOT = Path(__file__).resolve().parents[3]
# Seconds after which a process hangs, on a machine that may be very busy.
_PATIENCE = 180
TOOL = [sys.executable, str(ROOT / "tools" / "prepare_dataset.py")]


@pytest.fixture
def kinetics(tmp_path):
    """Twelve videos of two classes; one that the annotation names is not there."""
    rows = ["label,youtube_id,time_start,time_end,split"]
    for number in range(13):
        label, split = ("jump rope", "air drumming")[number % 2], "val" if number % 4 == 3 else "train"
        rows.append(f"{label},video{number:06d},{number},{number + 10},{split}")
        folder = tmp_path / "my videos" / label.replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        if number < 12:
            name = f"video{number:06d}_{number:06d}_{number + 10:06d}.mp4"
            make_video(folder / name, 80, size=(192, 144), options={"preset": "ultrafast"})
    (tmp_path / "k400.csv").write_text("\n".join(rows) + "\n")
    return [
        *TOOL,
        *("kinetics", "--annotations", str(tmp_path / "k400.csv"), "--videos", str(tmp_path / "my videos")),
        *("--out", str(tmp_path / "out"), "--short-side", "128", "--jobs", "2"),
    ]


def done(out: Path) -> list[str]:
    text = "".join(path.read_text() for path in (out / "job" / "records").glob("*"))
    return [json.loads(line)["path"] for line in text.splitlines() if line.endswith("}")]


def test_an_interrupted_run_continues(kinetics, tmp_path):
    out = tmp_path / "out"
    # A shell's background job ignores Ctrl-C, and what it starts does so too, unless told otherwise.
    # No pipe for its messages: the process that starts the others holds it open until it has ended too, and
    # that takes long on a busy machine.
    with (tmp_path / "errors.txt").open("wb") as errors_file:
        process = subprocess.Popen(
            kinetics,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            stdout=subprocess.DEVNULL,
            stderr=errors_file,
        )
    end = time.monotonic() + _PATIENCE
    while len(done(out)) < 2 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    # As Ctrl-C does it: to all processes of the terminal.
    os.killpg(process.pid, signal.SIGINT)
    process.wait(timeout=_PATIENCE)
    _wait_until_all_ended(process.pid)
    before, errors = done(out), (tmp_path / "errors.txt").read_bytes()
    assert process.returncode == 130, errors
    assert b"Traceback" not in errors
    assert b"the same command goes on" in errors
    assert 2 <= len(before) < 12
    assert not (out / "videos" / ".parts").exists()

    again = subprocess.run(kinetics, capture_output=True, text=True, check=True)
    # What is said is of finished parts: each process may have been between a video and the end of its part.
    said = int(re.search(r"^(\d+) of 12 videos were done before$", again.stdout, re.MULTILINE)[1])
    assert len(before) - 2 <= said <= len(before)
    assert "train 9, val 3, test 3 videos, 2 classes; 1 missing, 0 failed" in again.stdout.splitlines()[-1]
    assert len(done(out)) == len(set(done(out))) == 12
    paths, labels = read_video_list(out / "train.csv", num_classes=2)
    assert len(paths) == 9
    assert all(path.startswith(str(out)) for path in paths)
    assert labels == [("air_drumming", "jump_rope").index(Path(path).parent.name) for path in paths]
    assert read_video_list(out / "test.csv", num_classes=2) == read_video_list(out / "val.csv", num_classes=2)


def test_commands_of_an_array_fill_one_folder(kinetics, tmp_path):
    words = [*kinetics[:-4], "--verify", "quick", "--jobs", "1", "--runner", "array", "--shard"]
    words = [[*words, shard] for shard in ("0/2", "1/2")]
    commands = [subprocess.Popen(typed, stdout=subprocess.PIPE, text=True) for typed in words]
    said = [command.communicate(timeout=_PATIENCE)[0].splitlines()[-1] for command in commands]
    assert [command.returncode for command in commands] == [0, 0]
    left = [line for line in said if "at work on the rest" in line]
    ended = [line for line in said if "train 9, val 3, test 3 videos, 2 classes; 1 missing, 0 fail" in line]
    assert len(left) + len(ended) == 2
    assert ended
    assert len(done(tmp_path / "out")) == len(set(done(tmp_path / "out"))) == 12
    paths, _ = read_video_list(tmp_path / "out" / "train.csv", num_classes=2)
    assert len(paths) == 9


def _wait_until_all_ended(group: int) -> None:
    """No process of the run is left."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("processes of the interrupted run are still there")


def test_bad_input_is_one_sentence(tmp_path, capsys):
    arguments = ["folder", "--videos", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="2"):
        run_safely(lambda: prepare_dataset(arguments))
    assert capsys.readouterr().err == (
        f"error: {tmp_path / 'nowhere'} does not exist or is not a folder; it must hold the videos.\n"
    )
    assert not (tmp_path / "out").exists()


def test_words_of_before_mean_the_same(folder, tmp_path, monkeypatch):
    """And all cores read videos where there is a GPU, too: other jobs have at most 4 processes there."""
    found = []
    monkeypatch.setattr(command, "prepare", lambda *args, **options: found.append(args[-1]))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(9)))
    typed = ["folder", "--videos", str(folder), "--out", str(tmp_path / "out")]
    prepare_dataset(typed)
    prepare_dataset([*typed, "--jobs", "3", "--timeout", "7"])
    prepare_dataset([*typed, "--processes", "3", "--video-timeout", "7", "--retry-failed"])
    assert [(how.processes, how.timeout, how.retry_failed) for how in found] == [
        (9, 3600.0, False),
        (3, 7.0, False),
        (3, 7.0, True),
    ]


@pytest.mark.parametrize("kind", ["kinetics", "mit", "folder", "split", "segments"])
def test_help(kind, capsys):
    with pytest.raises(SystemExit, match="0"):
        build_parser().parse_args([kind, "--help"])
    text = capsys.readouterr().out
    assert "--short-side" in text
    assert "An interrupted run continues" in text
