"""Lists of videos: what is accepted, and the sentence for everything that is not."""

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
