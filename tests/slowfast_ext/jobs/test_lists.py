"""Which videos a job is for: lists in pieces, each video once."""

import json
import tracemalloc

import pytest
from fake_jobs import make_videos

from slowfast_ext.jobs.claims import Member
from slowfast_ext.jobs.lists import read_names
from slowfast_ext.jobs.names import BUCKETS, bucket_of, public_name
from slowfast_ext.jobs.plan import make_plan
from vtn.errors import InputError


@pytest.fixture
def folder(tmp_path):
    for name in ("claims", "members", "plans"):
        (tmp_path / "job" / name).mkdir(parents=True)
    return tmp_path / "job"


def names_of(path, text: str, encoding: str = "utf-8") -> list[str]:
    path.write_text(text, encoding)
    return list(read_names(path))


def test_text_with_and_without_classes(tmp_path):
    text = "/a/b.mp4\n\n/a/c d.mp4 3\n/a/e.webm,12\n/a/f.mp4;7  \n/a//./g 5.mp4\n/a/clip 12\n"
    wanted = ["/a/b.mp4", "/a/c d.mp4", "/a/e.webm", "/a/f.mp4", "/a/g 5.mp4", "/a/clip 12"]
    assert names_of(tmp_path / "x.txt", text) == wanted
    assert names_of(tmp_path / "x.csv", text) == wanted
    assert names_of(tmp_path / "x.csv", text.replace("\n", "\r\n"), "utf-8-sig") == wanted


def test_a_column_of_a_csv_file(tmp_path):
    text = 'label,Path\n3,"/a/b, c.mp4"\n4,/a/d.mp4\n'
    assert names_of(tmp_path / "x.csv", text) == ["/a/b, c.mp4", "/a/d.mp4"]
    assert names_of(tmp_path / "x.csv", text, "utf-8-sig") == ["/a/b, c.mp4", "/a/d.mp4"]
    assert names_of(tmp_path / "x.csv", "path\n/a/b.mp4\n") == ["/a/b.mp4"]


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    names = [f"/a/{number}.mp4" for number in range(70_000)]  # more than are read at once
    parquet.write_table(pyarrow.table({"label": range(70_000), "path": names}), tmp_path / "x.parquet")
    assert list(read_names(tmp_path / "x.parquet")) == names
    parquet.write_table(pyarrow.table({"label": [1]}), tmp_path / "y.parquet")
    with pytest.raises(
        InputError, match=r"y.parquet has no column of videos, such as path or url, but label"
    ):
        list(read_names(tmp_path / "y.parquet"))
    (tmp_path / "z.parquet").write_text("none")
    with pytest.raises(InputError, match=r"z.parquet: it is no Parquet file"):
        list(read_names(tmp_path / "z.parquet"))


def test_where_relative_paths_start(tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    make_videos(there, 3)
    monkeypatch.chdir(here)
    listed = there / "list.txt"
    listed.write_text("gone.mp4 1\n0001.mp4 2\nhttp://x/y.mp4\n")
    assert list(read_names(listed)) == [str(there / "gone.mp4"), str(there / "0001.mp4"), "http://x/y.mp4"]
    make_videos(here, 3)
    assert list(read_names(listed)) == ["gone.mp4", "0001.mp4", "http://x/y.mp4"]


def test_bad_lists(tmp_path):
    with pytest.raises(InputError, match=r"--list .*gone.txt: no such file"):
        list(read_names(tmp_path / "gone.txt"))
    with pytest.raises(InputError, match=r"x.txt lists no videos"):
        names_of(tmp_path / "x.txt", "\n \n")
    (tmp_path / "x.txt").write_bytes(b"a.mp4\ncaf\xe9.mp4\n")
    with pytest.raises(InputError, match=r"x.txt is not UTF-8 text"):
        list(read_names(tmp_path / "x.txt"))
    with pytest.raises(InputError, match=r"x.csv: the name 'a\\nb.mp4' has a line break"):
        names_of(tmp_path / "x.csv", 'path\n"a\nb.mp4"\n')


def test_credentials_are_no_part_of_a_name():
    assert public_name("/a/b?token=1.mp4") == "/a/b?token=1.mp4"
    assert public_name("https://me:secret@host:8000/a b.mp4") == "https://host:8000/a b.mp4"
    signed = "https://host/a.mp4?version=2&X-Amz-Signature=abc&X-Amz-Date=1&Expires=99&sig=ab%2Bc"
    assert "version=2" in public_name(signed)
    assert not any(word in public_name(signed) for word in ("abc", "ab+c", "ab%2Bc", "=99", "=1&"))
    assert public_name(signed) == public_name(signed.replace("abc", "other"))
    assert bucket_of(signed) == bucket_of(signed.replace("abc", "other"))


def test_each_video_is_in_one_bucket_once_whatever_the_order(folder, tmp_path):
    names = [f"/a/{number}.mp4" for number in range(5000)]
    listed, other = tmp_path / "x.txt", tmp_path / "y.txt"
    listed.write_text("\n".join([*names, *names[:100]]))
    other.write_text("\n".join(reversed(names)))
    member = Member(folder)
    plan, second = (make_plan(folder, [], [path], member) for path in (listed, other))
    assert (plan.num_rows, plan.num_videos, second.num_rows) == (5100, 5000, 5000)
    found = [name for bucket in plan.buckets for name in plan.names(bucket)]
    assert sorted(found) == sorted(names)
    assert found == [name for bucket in second.buckets for name in second.names(bucket)]
    assert max(count for _, _, count in plan.buckets.values()) < 12  # 5000 in 4096
    assert all(bucket_of(name) == bucket for bucket in plan.buckets for name in plan.names(bucket))
    assert make_plan(folder, [], [listed], member) == plan
    assert plan.digest != second.digest


def test_buckets_never_change():
    """What a folder holds is found again by every later version."""
    assert BUCKETS == 4096
    assert [bucket_of(name) for name in ("a.mp4", "/videos/b.mp4", "s3://c/d.mp4")] == [
        *("614", "69f", "dbf"),  # printf a.mp4 | b2sum -l 64
    ]


@pytest.mark.slow
def test_a_long_list_is_not_held_in_memory(folder, tmp_path):
    listed = tmp_path / "x.txt"
    sizes = {}
    for count in (5_000, 100_000):
        with listed.open("w") as file:
            for number in range(count):
                file.write(f"/some/folder/of/videos/{number:09}.mp4\n")
        tracemalloc.start()
        plan = make_plan(folder, [], [listed], Member(folder))
        sizes[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert plan.num_videos == count
        assert json.loads((plan.folder / "plan.json").read_text())["num_rows"] == count
    held = 100_000 * len(f"{listed.parent}/000000000.mp4")
    assert sizes[100_000] - sizes[5_000] < held / 3  # all of them as strings take more than `held`
