"""VideoReader: frames by number, of whole and of damaged files."""

import pytest
from videos import make_video, read_numbers

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
    assert reader.shown([0, 5, 9]).tolist() == [0, 5, 9]
    assert reader.shown([7, 8]).tolist() == [5, 5]
    assert read_numbers(reader.read([7, 9]).numpy()) == [5, 9]


@pytest.mark.parametrize(("indices", "message"), [([], "is empty"), ([0, 30], "has 30"), ([-1], "has -1")])
def test_numbers_that_the_video_does_not_have(tmp_path, indices, message):
    reader = VideoReader(make_video(tmp_path / "video.mp4", 30))
    with pytest.raises(InputError, match=f"frame_indices.* {message}"):
        reader.read(indices)


def test_what_is_no_video(tmp_path):
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(VideoError, match=r"text\.mp4"):
        VideoReader(tmp_path / "text.mp4")
