"""A data set of classes with names that are hard on lists, and what the tests of its preparation share."""

import contextlib
import csv
import json
from argparse import Namespace
from pathlib import Path

from videos import make_video

from slowfast_ext.jobs.claims import read_member
from slowfast_ext.jobs.driver import HowToRun
from slowfast_ext.prepare.find import VideoIndex
from slowfast_ext.prepare.folders import plan_folders
from slowfast_ext.prepare.process import Work
from slowfast_ext.prepare.run import Settings, prepare


def paint_folder(root: Path) -> Path:
    """Three classes, a broken video and one that is cut short."""
    for number, name in enumerate(["jump rope", "日本 12", "a:b"]):
        for split in ("train", "val"):
            (root / split / name).mkdir(parents=True)
            make_video(root / split / name / f"clip, {number} 1.mp4", 20 + number)
    (root / "train" / "a:b" / "broken.mp4").write_bytes(b"no video at all" * 50)
    cut = make_video(root / "train" / "a:b" / "cut.mp4", 120, container_options={"movflags": "faststart"})
    cut.write_bytes(cut.read_bytes()[:-1500])
    return root


def prepare_folder(folder, out, lines=None, **options):
    work = Work(options.pop("verify", "full"), options.pop("short_side", 0))
    settings = Settings(out, work, options.pop("separator", " "))
    index = VideoIndex(folder, without=out)
    return prepare_plan(plan_folders(index), index, settings, lines, **options)


def prepare_plan(plan, index, settings, lines=None, **how):
    say = (lambda line: None) if lines is None else lines.append
    args = Namespace(out=settings.out)
    return prepare(plan, index.folder, settings, "Test", args, HowToRun(**{"processes": 2, **how}), say=say)


def names_at_work(out) -> list[str]:
    """Videos that processes are at."""
    found = []
    for path in (out / "job" / "members").glob("[!.]*"):
        with contextlib.suppress(OSError, ValueError):
            found.append(read_member(path)[1][1])
    return list(filter(None, found))


def names_in(records) -> list[str]:
    return [json.loads(line)["path"] for line in records.read_text().splitlines()]


def done(out) -> list[str]:
    """Paths of videos, once for each time that they were done."""
    entries = []
    for path in (out / "job" / "records").glob("*"):
        for line in path.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):  # half a record
                entries.append(json.loads(line))
    return [entry["path"] for entry in entries if entry["state"] in ("done", "repaired", "failed")]


def problems(out) -> list[dict[str, str]]:
    with (out / "failures.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))
