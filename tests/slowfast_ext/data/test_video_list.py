"""Lists of videos: what is accepted, and the sentence for everything that is not."""

from pathlib import Path

import pytest

from slowfast_ext.data.video_list import read_video_list
from vtn.errors import InputError


@pytest.fixture
def listed(tmp_path):
    """Write a list beside two (empty) video files, one with spaces and a comma in its name, and read it."""
    for name in ("a.mp4", "b c, d.mp4"):
        (tmp_path / name).touch()

    def read(text, **options):
        path = tmp_path / "train.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        paths, labels = read_video_list(path, **({"num_classes": 5} | options))
        return [path.replace(f"{tmp_path}/", "") for path in paths], labels

    return read


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("a.mp4 0\nb c, d.mp4 4\n", " "),
        ("a.mp4,0\nb c, d.mp4,4", ","),
        ("a.mp4, 0\nb c, d.mp4, 4", ","),
        ("a.mp4\t0\nb c, d.mp4\t4\n", "\t"),
        ("\ufeffa.mp4 0\r\n\r\nb c, d.mp4  4 \r\n\n", " "),
    ],
)
def test_formats(listed, text, separator):
    assert listed(text, separator=separator) == (["a.mp4", "b c, d.mp4"], [0, 4])


def test_relative_paths(listed, tmp_path, monkeypatch):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").touch()
    assert listed("a.mp4 1", path_prefix=str(tmp_path / "videos"))[0] == ["videos/a.mp4"]
    assert listed("a.mp4 1")[0] == ["a.mp4"]
    assert listed(f"{tmp_path}/a.mp4 1", path_prefix="/elsewhere")[0] == ["a.mp4"]
    monkeypatch.chdir(tmp_path / "videos")
    (tmp_path / "videos" / "only_here.mp4").touch()
    assert read_video_list(_write(tmp_path, "only_here.mp4 1"), num_classes=2) == (["only_here.mp4"], [1])


def _write(folder, text):
    (folder / "list.csv").write_text(text)
    return folder / "list.csv"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"train\.csv lists no videos"),
        ("\n \n", r"train\.csv lists no videos"),
        ("a.mp4 0\na.mp4", r"train\.csv line 2 is 'a\.mp4'; expected a path and a label separated by ' '"),
        ("a.mp4,0", r"line 1 is 'a\.mp4,0'; .* \(DATA\.PATH_LABEL_SEPARATOR\)"),
        (" 3", r"line 1 is ' 3'; expected a path and a label"),
        ("a.mp4 0\n\na.mp4 dog", r"train\.csv line 3 has label 'dog'; it must be an integer of 0 or more"),
        ("a.mp4 -1", r"train\.csv line 1 has label '-1'; it must be an integer of 0 or more"),
        ("a.mp4 1.5", r"train\.csv line 1 has label '1\.5'; it must be an integer"),
        ("a.mp4 5", r"train\.csv line 1 has label 5, but MODEL\.NUM_CLASSES is 5: labels go from 0 to 4"),
        (b"\xff\xfe.mp4 0", r"train\.csv is not UTF-8 text"),
    ],
)
def test_bad_lists(listed, text, message):
    with pytest.raises(InputError, match=message):
        listed(text)


def test_missing_list(tmp_path):
    with pytest.raises(InputError, match=r"train\.csv does not exist"):
        read_video_list(tmp_path / "train.csv", num_classes=5)


def test_empty_separator(listed):
    with pytest.raises(InputError, match=r"DATA\.PATH_LABEL_SEPARATOR is empty"):
        listed("a.mp4 0", separator="")


def test_missing_videos_are_counted_and_named(listed):
    text = "a.mp4 0\n" + "".join(f"gone_{number}.mp4 1\n" for number in range(5))
    with pytest.raises(InputError, match=r"5 of the 6 videos in .*train\.csv do not exist") as caught:
        listed(text)
    assert "gone_0.mp4 (line 2)" in str(caught.value)
    assert "gone_2.mp4 (line 4), ..." in str(caught.value)
    assert "gone_3" not in str(caught.value)


@pytest.mark.parametrize("digits", ["9" * 5000, "0" * 5000, "٣" * 5000])
def test_a_label_of_5000_digits(listed, digits):
    with pytest.raises(
        InputError, match=r"train\.csv line 2 has label .*\(5,000 characters\), but"
    ) as caught:
        listed(f"b c, d.mp4 1\na.mp4 {digits}\n")
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "row", ["x" * 10**6, "a.mp4 " + "x" * 10**6, "x" * 10**6 + " 1"], ids=["row", "label", "path"]
)
def test_a_long_line_is_not_repeated(listed, row):
    with pytest.raises(InputError, match=r"\.\.\. \(1,000,\d+ characters\)") as caught:
        listed(f"{row}\n")
    assert len(str(caught.value)) < 600


def test_a_video_under_two_labels(listed, tmp_path):
    message = r"a\.mp4 under two classes, 1 \(line 1\) and 2 \(line 4\); a video has one"
    with pytest.raises(InputError, match=message):
        listed(f"a.mp4 1\nb c, d.mp4 2\n\n{tmp_path}/../{tmp_path.name}/./a.mp4 2\n")


def test_a_video_listed_again_is_told(listed, caplog):
    assert listed("a.mp4 1\nb c, d.mp4 2\na.mp4 1\n") == (["a.mp4", "b c, d.mp4", "a.mp4"], [1, 2, 1])
    assert "lists a video again on 1 of its lines" in caplog.text
    assert "a.mp4 (lines 1 and 3)" in caplog.text
    caplog.clear()
    listed("a.mp4 1\nb c, d.mp4 1\n")
    assert not caplog.text


def test_paths_are_normalised_and_lead_to_the_same_file(tmp_path):
    """Where a link is crossed, `link/..` is the folder that holds what the link names."""
    for folder in ("p", "raw", "elsewhere/deep", "elsewhere/raw"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.mp4").write_text(folder)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "deep")
    (tmp_path / "raw" / "b.mp4").symlink_to(tmp_path / "elsewhere" / "raw" / "a.mp4")
    listed = {
        "p/../raw//a.mp4": "raw/a.mp4",
        "./raw/./b.mp4": "raw/b.mp4",  # a linked file keeps its name
        "link/a.mp4": "link/a.mp4",
        "link/../raw/a.mp4": "elsewhere/raw/a.mp4",
    }
    rows = "".join(f"{tmp_path}/{name} 0\n" for name in listed)
    paths, _ = read_video_list(_write(tmp_path, rows), num_classes=1)
    assert paths == [f"{tmp_path}/{name}" for name in listed.values()]
    for written, path in zip(listed, paths, strict=True):
        assert (tmp_path / written).read_text() == Path(path).read_text()
