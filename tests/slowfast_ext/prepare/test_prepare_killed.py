"""A preparation that is ended anywhere, and goes on in another way, writes the bytes of one left in peace."""

import importlib.util
import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from fake_jobs import in_process, kill_within, pids_at_work
from prepared import prepare_folder, problems
from videos import make_video

from slowfast_ext.prepare import many
from slowfast_ext.prepare.command import prepare_dataset
from slowfast_ext.prepare.copies import Copies
from slowfast_ext.prepare.process import Outcome, Work, process_video

SIDE = 96


def paint(root: Path, count: int) -> list[Path]:
    """Videos of three classes, their index at the end, so that one that is cut short stays readable."""
    paths = []
    for number in range(count):
        folder = root / ("val" if number % 4 == 3 else "train") / "abc"[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{number:03}.mp4"
        frames, index_first = 50 + 7 * (number % 5), {"movflags": "faststart"}
        paths.append(make_video(path, frames, size=(192, 144), container_options=index_first))
    return paths


def poisonous(path: str, work: Work, copies: Copies) -> Outcome:
    """Some files take their reader down in the midst of a copy."""
    if path.endswith("poison.mp4"):
        with copies.new(path) as part:
            part.write_bytes(b"half a copy")
            os.kill(os.getpid(), signal.SIGKILL)
    return process_video(path, work, copies)


def strike(folder: Path, out: Path, chance: random.Random) -> str:
    """One or two commands begin or go on in any way; something is killed at any moment. Says what."""
    shards = chance.choice([1, 2, 7])
    commands = []
    for _ in range(chance.choice([1, 1, 2])):
        how = {"processes": chance.choice([1, 2]), "shard": chance.randrange(shards), "shards": shards}
        commands.append(in_process(lambda how=how: prepare_folder(folder, out, short_side=SIDE, **how)))
    return kill_within(commands, out, chance, seconds=0.8, rest=0.3)


def written(out: Path) -> dict[str, bytes]:
    """All that a preparation leaves but who did what when, and how long it took."""
    found = {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and not path.relative_to(out).parts[0].startswith("job")
    }
    entries = [json.loads(line) for line in found.pop("videos.jsonl").splitlines()]
    said = ("path", "state", "why", "bytes", "mtime_ns", "model")
    stripped = [{key: entry[key] for key in said} for entry in entries]
    return found | {"videos.jsonl": json.dumps(stripped).encode()}


def killed(tmp_path: Path, monkeypatch, count: int, times: int, seed: int) -> None:
    monkeypatch.setattr(many, "process_video", poisonous)
    folder, out, calm, chance = tmp_path / "v", tmp_path / "out", tmp_path / "calm", random.Random(seed)
    paths = paint(folder, count)
    poison = folder / "train" / "a" / "poison.mp4"
    poison.write_bytes(b"poison")
    victims = Counter(strike(folder, out, chance) for _ in range(times - times // 2))
    while len(copies := sorted((out / "videos").rglob("*.mp4"))) < 2:  # not all moments are before any work
        victims[strike(folder, out, chance)] += 1
    paths[0].write_bytes(paths[0].read_bytes()[:-2000])
    for copy in chance.sample(copies, 2):
        copy.unlink()
    victims += Counter(strike(folder, out, chance) for _ in range(times // 2))
    while pids_at_work(out):  # they end when they are told that their command has
        time.sleep(0.01)
    time.sleep(1.1)  # times of records are in seconds
    # A video at which two kills have struck is taken for one that kills.
    lines: list[str] = []
    result = prepare_folder(folder, out, lines, short_side=SIDE, retry_failed=True)
    assert result.count("failed") == 1, (victims, problems(out))

    prepare_folder(folder, calm, short_side=SIDE, processes=1)
    ours, theirs = written(out), written(calm)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert {"train.csv", "val.csv", "test.csv", "classes.txt", "report.md", "report.png"} <= ours.keys()
    assert sum(name.endswith(".mp4") for name in ours) == count
    by_kind = {problem["outcome"]: problem for problem in problems(out)}
    assert by_kind["failed"]["path"] == str(poison)
    assert by_kind["failed"]["reason"].endswith("the process that read it died (signal 9, SIGKILL).")
    assert by_kind["incomplete"]["path"] == str(paths[0])
    assert list((out / "job" / "claims").iterdir()) == []
    assert not (out / "videos" / ".parts").exists()


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path, monkeypatch):
    killed(tmp_path, monkeypatch, count=16, times=5, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_many_random_moments(tmp_path, monkeypatch, seed):
    killed(tmp_path, monkeypatch, count=100, times=30, seed=seed)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_ray_writes_the_same_bytes(tmp_path):
    paint(tmp_path / "v", 8)
    for runner in ("local", "ray"):
        out = ["--out", str(tmp_path / runner), "--runner", runner, "--processes", "2"]
        prepare_dataset(["folder", "--videos", str(tmp_path / "v"), "--short-side", str(SIDE), *out])
    assert written(tmp_path / "ray") == written(tmp_path / "local")
