"""A video in memory, as a file object: the same frames as from its path."""

import io
from dataclasses import fields

import numpy as np
import pytest
from videos import make_video, overwrite_packets, read_numbers

from slowfast_ext.video import VideoError, VideoFile, VideoReader
from slowfast_ext.video import file as file_module
from slowfast_ext.video.decoding import read_frames
from slowfast_ext.video.probing import VideoInfo
from vtn.errors import InputError

VIDEOS = {
    "video.mp4": {},
    "fragments.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "video.mkv": {"with_audio": True},
    "video.ts": {},
    "video.flv": {},
    "mpeg4.avi": {"codec": "mpeg4"},
    "upright.mp4": {"rotation": 90},
    "video.gif": {"codec": "gif", "pix_fmt": "rgb8"},
}


def same_info(one: VideoInfo, other: VideoInfo) -> bool:
    pairs = ((getattr(one, field.name), getattr(other, field.name)) for field in fields(VideoInfo))
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)


@pytest.mark.parametrize("name", VIDEOS)
def test_the_same_as_from_the_path(tmp_path, name):
    path = make_video(tmp_path / name, 40, **VIDEOS[name])
    file = io.BytesIO(path.read_bytes())
    file.seek(1000)  # wherever it is left
    one, other = VideoReader(path), VideoReader(file)
    assert same_info(one.info, other.info)
    for frame_indices in ([0, 13, 39], [27], range(40)):
        frames = other.read(frame_indices)
        assert read_numbers(frames.numpy()) == list(frame_indices)
        assert frames.equal(one.read(frame_indices))
    assert one.missing == other.missing == ""


def test_an_open_file(tmp_path):
    with make_video(tmp_path / "video.mp4", 20).open("rb") as file:
        assert read_numbers(read_frames(file, [3, 17]).numpy()) == [3, 17]
        assert not file.closed


def test_a_damaged_one(tmp_path):
    path = make_video(tmp_path / "video.mkv", 40, options={"g": "1", "bf": "0"})
    overwrite_packets(path, {11, 12})
    reader = VideoReader(io.BytesIO(path.read_bytes()))
    assert read_numbers(reader.read([10, 11, 12, 13]).numpy()) == [10, 10, 10, 13]
    assert reader.missing.startswith("2 of its 40 frames cannot be decoded")


def test_one_that_was_cut_off(tmp_path):
    data = make_video(tmp_path / "video.mkv", 200).read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(data[: len(data) // 2])
    one, other = VideoReader(path), VideoReader(io.BytesIO(path.read_bytes()))
    assert "it states 6.67 s of video and holds 3" in other.missing
    assert one.missing == other.missing


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file object is empty (0 bytes)."),
        (b"no video at all" * 500, "the file object cannot be decoded as a video: "),
        (b"ffconcat version 1.0\nfile secret.mp4\n", "the file object is in no video container, "),
    ],
)
def test_what_is_no_video(data, message):
    with pytest.raises(VideoError) as caught:
        VideoReader(io.BytesIO(data))
    assert str(caught.value).startswith(message)


def test_an_mp4_without_its_index(tmp_path):
    data = make_video(tmp_path / "video.mp4", 40).read_bytes()
    with pytest.raises(VideoError, match=r"^the file object cannot be decoded .* \(box moov\) is missing"):
        VideoReader(io.BytesIO(data[: len(data) // 2]))


def test_numbers_that_it_does_not_have(tmp_path):
    reader = VideoReader(io.BytesIO(make_video(tmp_path / "video.mp4", 20).read_bytes()))
    with pytest.raises(InputError, match="frame_indices has 20, but the file object has frames 0 to 19"):
        reader.read([20])


def test_what_cannot_be_read_as_a_file(tmp_path):
    file = make_video(tmp_path / "video.mp4", 5).open("rb")
    file.close()
    for wrong in (file, io.StringIO("text"), 5):
        with pytest.raises(VideoError, match="^the file object cannot be read"):
            VideoReader(wrong)


def test_the_boxes_of_an_mp4_are_gone_through_once(tmp_path, monkeypatch):
    path, walks = make_video(tmp_path / "video.mp4", 20), []
    read = file_module.read_mp4_boxes
    monkeypatch.setattr(file_module, "read_mp4_boxes", lambda *args: walks.append(args) or read(*args))
    reader = VideoReader(path)
    reader.read([3, 17])
    reader.verify()
    assert len(walks) == 1
    assert VideoFile.of(reader.video) is reader.video
