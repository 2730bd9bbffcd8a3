"""VideoReader: frames by number, of whole and of damaged files."""

import pytest
import torch
from videos import make_video, overwrite_packets, read_number, read_numbers

from slowfast_ext import processes
from slowfast_ext.video import VideoError, VideoReader, full_video_frame_indices
from vtn.errors import InputError


def test_frames_by_number(tmp_path):
    reader = VideoReader(make_video(tmp_path / "video.mp4", 30, fps=25))
    assert (reader.num_frames, reader.fps, reader.missing) == (30, 25.0, "")
    assert read_numbers(reader.read([7, 29, 7, 0]).numpy()) == [7, 29, 7, 0]
    chosen = full_video_frame_indices(30, num_frames=4)  # floor(i * 29 / 3)
    assert read_numbers(reader.read(chosen).numpy()) == [0, 9, 19, 29]


def test_of_a_variable_rate_the_frame_on_screen(tmp_path):
    """Ten frames in 1.12 s with a pause of 0.8 s after the sixth: number 7 stands for 0.87 s."""
    times = [0, 40, 80, 120, 160, 200, 1000, 1040, 1080, 1120]
    reader = VideoReader(make_video(tmp_path / "video.mkv", 10, times=times))
    assert reader.on_screen([0, 5, 9]).tolist() == [0, 5, 9]
    assert reader.on_screen([7, 8]).tolist() == [5, 5]
    assert read_numbers(reader.read([7, 9]).numpy()) == [5, 9]


@pytest.mark.parametrize("asks", [lambda: torch.empty(2**50), lambda: bytearray(2**60)])
def test_a_lack_of_memory_in_a_worker_is_told_of_the_video(tmp_path, asks, monkeypatch):
    reader = VideoReader(make_video(tmp_path / "video.mp4", 3))
    with pytest.raises((MemoryError, RuntimeError)):  # elsewhere the video may not be to blame
        reader.with_repair(asks)
    monkeypatch.setattr(processes, "_limited", True)
    with pytest.raises(VideoError, match=r"video\.mp4 takes more memory to read than a worker may have"):
        reader.with_repair(asks)


@pytest.mark.parametrize(("indices", "message"), [([], "is empty"), ([0, 30], "has 30"), ([-1], "has -1")])
def test_numbers_that_the_video_does_not_have(tmp_path, indices, message):
    reader = VideoReader(make_video(tmp_path / "video.mp4", 30))
    with pytest.raises(InputError, match=f"frame_indices.* {message}"):
        reader.read(indices)


def test_what_is_no_video(tmp_path):
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(VideoError, match=r"text\.mp4"):
        VideoReader(tmp_path / "text.mp4")


@pytest.fixture
def damaged(tmp_path):
    """Forty frames, each a keyframe, so that exactly the four that are overwritten are lost."""
    path = make_video(tmp_path / "damaged.mkv", 40, options={"g": "1", "bf": "0"})
    overwrite_packets(path, {11, 12, 30, 39})
    return path


WHOLE = [number for number in range(39) if number not in (11, 12, 30)]


def test_work_is_done_again_with_what_can_be_decoded(damaged):
    reader, attempts = VideoReader(damaged), []

    def work() -> list[int]:
        attempts.append(reader.num_frames)
        return [read_number(picture.numpy()) for _, picture in reader.decode(reader.info.decodable)]

    assert reader.with_repair(work) == WHOLE
    assert attempts == [40, 39]
    assert reader.missing.startswith("4 of its 40 frames cannot be decoded")


def test_in_the_place_of_a_lost_frame_comes_the_one_before(damaged):
    reader = VideoReader(damaged)
    assert read_numbers(reader.read([10, 11, 12, 13, 30, 39]).numpy()) == [10, 10, 10, 13, 29, 38]
    assert reader.missing.startswith("4 of its 40 frames cannot be decoded")


def test_other_errors_are_not_tried_again(damaged):
    reader, attempts = VideoReader(damaged), []

    def work() -> None:
        attempts.append(1)
        raise VideoError("no use")

    with pytest.raises(VideoError, match="no use"):
        reader.with_repair(work)
    assert attempts == [1]


def test_verifying_finds_what_reading_finds(damaged):
    reader = VideoReader(damaged)
    assert (reader.info.decodable, reader.missing) == (list(range(40)), "")
    reader.verify()
    assert reader.info.decodable == WHOLE
    assert reader.missing.startswith("4 of its 40 frames cannot be decoded")
