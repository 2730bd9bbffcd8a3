"""The page at the end of a job says what its manifest says, and no output depends on it."""

import json
import os
import re
import zlib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from fake_jobs import BAD, DAMAGED, POISON, fake_job, make_videos, rows_in, run

from slowfast_ext.jobs.records import RowReader
from slowfast_ext.jobs.report_picture import draw_job
from slowfast_ext.jobs.summary import JobSummary


def entries_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "videos.jsonl").read_text().splitlines()]


def tables_of(page: str) -> dict[str, list[list[str]]]:
    """Rows of each table by the heading above it, the first one without; no title row."""
    tables = {}
    for part in re.split(r"^## ", page, flags=re.MULTILINE):
        lines = re.findall(r"^\| (.*) \|$", part, re.MULTILINE)
        rows = [[cell.strip() for cell in line.split(" | ")] for line in lines]
        tables["" if part.startswith("# ") else part.split("\n")[0]] = rows[2:]
    return tables


@pytest.fixture
def videos(tmp_path):
    videos = make_videos(tmp_path / "videos", 40)
    for number in (3, 4):
        Path(videos[number]).write_bytes(BAD)
    Path(videos[5]).write_bytes(DAMAGED)
    Path(videos[6]).write_bytes(POISON)
    return videos


def test_the_page_says_what_the_manifest_says(videos, tmp_path):
    out = tmp_path / "out"
    run(fake_job(out, top=5), videos[:10], shard=2, shards=7)
    run(fake_job(out, seconds=0.02, top=5), [*videos, videos[0]], processes=2, again="type this")
    entries, page = entries_of(out), (out / "job_report.md").read_text()
    tables = tables_of(page)
    facts = dict(tables[""])
    assert facts["videos"] == "40, which 41 rows name"
    assert [facts[state] for state in ("done", "repaired", "failed")] == ["36", "1", "3"]
    sound = [entry for entry in entries if entry["state"] != "failed"]
    lengths = [entry["seconds"] for entry in sound]
    assert sorted(lengths) == sorted(float(os.stat(entry["path"]).st_size) for entry in sound)
    assert all(entry["took"] >= 0 for entry in entries)
    assert facts["hours of video"] == f"{sum(lengths) / 3600:.2f}"
    assert facts["commands"] == "2"
    by = Counter(entry["by"] for entry in entries)
    assert facts["processes that did videos"] == str(len(by))
    assert facts["processes that ended at a video"] == "2"
    assert facts["model"] == "`fake`"
    (row,) = [row for row in tables["Lengths and times"] if row[0] == "length, s"]
    five, half, most = np.percentile(lengths, (5, 50, 95))
    wanted = [min(lengths), five, half, np.mean(lengths), most, max(lengths)]
    assert [float(cell) for cell in row[1:]] == pytest.approx(wanted, rel=1e-3)
    (bad, examples), (died, killer) = (row[1:] for row in tables["Failures"])
    assert [row[0] for row in tables["Failures"]] == ["2", "1"]
    assert (bad, sorted(examples.split(", "))) == ("it is bad", videos[3:5])
    assert (died, killer) == ("the process that read it died (signal 9, SIGKILL)", videos[6])
    assert tables["Repairs"] == [["1", "its end", videos[5]]]
    assert {row[0]: int(row[1]) for row in tables["Processes"]} == by
    assert [int(row[2]) for row in tables["Machines"]] == [40]
    slowest = sorted((entry["took"] for entry in entries), reverse=True)[:10]
    assert [float(row[0]) for row in tables["Slowest"]] == pytest.approx(
        [took for took in slowest if took > 0], rel=1e-3
    )
    assert [row[0] for row in tables["Processes that ended at a video"]] == [videos[6], videos[6]]
    assert "\ntype this\n" in page
    assert json.loads(re.search(r"```json\n(.*?)```", page, re.DOTALL)[1]) == {"top": 5}
    assert "![Report of a job: 40 videos](job_report.png)" in page
    picture = cv2.imread(str(out / "job_report.png"))
    assert min(picture.shape[:2]) > 800


def test_it_is_written_again_if_it_is_gone_and_nothing_else_is_done(videos, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    videos = videos[8:]
    run(fake_job(out, log=log), videos)
    page, rows = out / "job_report.md", rows_in(out)
    assert "## Failures\n\nNone." in page.read_text()
    assert "Nothing: no video failed." in page.read_text()
    page.unlink()
    run(fake_job(out, log=log), videos)
    assert page.exists()
    assert rows_in(out) == rows
    assert len(log.read_text().splitlines()) == len(videos)
    changed = page.stat().st_mtime_ns
    run(fake_job(out, log=log), videos)
    assert page.stat().st_mtime_ns == changed


def test_records_of_an_earlier_version_go_on(videos, tmp_path):
    """They say neither how long a video is nor how long it took, nor who died."""
    out, log = tmp_path / "out", tmp_path / "log"
    run(fake_job(out, log=log), videos)
    rows, done = rows_in(out), len(log.read_text().splitlines())
    for path in (out / "job" / "records").iterdir():
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        for entry in entries:
            dropped = ("seconds", "took", "by") if entry["state"] == "died" else ("seconds", "took")
            for key in dropped:
                entry.pop(key, None)
        path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    for name in ("job/merged.json", "job_report.md", "job_report.png"):
        (out / name).unlink()
    for path in (out / "job" / "commands").iterdir():
        path.unlink()
    (out / "job" / "commands").rmdir()
    assert run(fake_job(out, log=log), videos).is_complete
    assert rows_in(out) == rows
    assert len(log.read_text().splitlines()) == done
    assert not any("took" in entry or "seconds" in entry for entry in entries_of(out))
    facts = dict(tables_of((out / "job_report.md").read_text())[""])
    assert (facts["hours of video"], facts["failed"], facts["commands"]) == ("not known", "3", "1")


def test_a_job_of_nothing_but_failures(videos, tmp_path):
    out = tmp_path / "out"
    run(fake_job(out), videos[3:5])
    facts = dict(tables_of((out / "job_report.md").read_text())[""])
    assert (facts["done"], facts["failed"], facts["hours of video"]) == ("0", "2", "not known")
    assert (out / "job_report.png").stat().st_size > 5000


@pytest.mark.parametrize("why", ["a $b$ reason", "日本語のファイル", "_x", "long " * 100])
def test_any_words_can_be_drawn(why, tmp_path):
    summary = JobSummary()
    record = {"path": "a", "state": "failed", "why": why, "by": "x-1-a", "at": "2026-01-02T03:04:05Z"}
    summary.add(record)
    draw_job(summary, tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()


def test_few_files_of_rows_are_open(tmp_path):
    """Each is opened once where rows of a file come together, as they do."""
    (tmp_path / "rows").mkdir()
    records = []
    for part in range(200):
        (tmp_path / "rows" / f"p{part}").write_text("".join(f"row {part} {row}\n" for row in range(3)))
        for row in range(3):
            text = f"row {part} {row}\n".encode()
            place = {"offset": row * len(text), "length": len(text), "crc": zlib.crc32(text)}
            records.append({"part": f"p{part}", **place})
    opened, before = [], len(os.listdir("/proc/self/fd"))
    with RowReader(tmp_path) as reader:
        for record in records:
            row = reader.row(record)
            assert row == f"row {record['part'][1:]} {record['offset'] // record['length']}"
            opened.append(len(os.listdir("/proc/self/fd")) - before)
        assert opened[:4] == [1, 1, 1, 2]
        assert max(opened) == 64
        assert reader.row(records[0]) == "row 0 0"
        assert reader.row({**records[0], "crc": 1}) is None
        assert reader.row({**records[0], "part": "gone"}) is None
        assert reader.row({**records[-1], "length": 100}) is None
    assert len(os.listdir("/proc/self/fd")) == before
