"""What is learnt of a video without decoding it, against what was written."""

import struct
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from videos import make_audio, make_video

from slowfast_ext.video.opening import VideoError
from slowfast_ext.video.probing import VideoInfo, probe_video

EVEN = VideoInfo(
    num_frames=4,
    fps=25.0,
    height=64,
    width=96,
    pixel_aspect=1.0,
    rotation=0,
    pts=np.array([0, 40, 80, 120]),
    keyframes=np.array([[0, 0]]),
    time_base=Fraction(1, 1000),
    missing="",
)


def on_screen(pts, numbers):
    info = replace(EVEN, pts=np.array(pts), num_frames=len(pts))
    return info.on_screen(torch.tensor(numbers)).tolist()


def test_at_a_constant_rate_number_k_is_frame_k():
    assert on_screen([0, 40, 80, 120], [0, 3, 1, 1]) == [0, 3, 1, 1]
    # 30 frames per second in whole milliseconds, as Matroska has them, and with the jitter of a camera.
    assert on_screen([0, 33, 67, 100, 133, 167, 200], range(7)) == list(range(7))
    assert on_screen([5, 41, 72, 105, 140, 171, 205], range(7)) == list(range(7))
    # 240 frames per second: rounding is a good part of the time between frames.
    times = [round(k * 1000 / 240) for k in range(50)]
    assert on_screen(times, range(50)) == list(range(50))


def test_at_a_variable_rate_number_k_is_the_frame_on_screen_then():
    # Four frames in 120 ms: numbers stand for 0, 40, 80 and 120 ms.
    assert on_screen([0, 100, 110, 120], [0, 1, 2, 3]) == [0, 0, 0, 3]
    assert on_screen([0, 10, 20, 120], [0, 1, 2, 3]) == [0, 2, 2, 3]
    assert on_screen([700, 710, 720, 820], [3, 0, 2]) == [3, 0, 2]
    # A pause of 800 ms in ten frames at 25 fps: 1120 ms in all, 124.4 between numbers.
    pause = [0, 40, 80, 120, 160, 960, 1000, 1040, 1080, 1120]
    assert on_screen(pause, range(10)) == [0, 3, 4, 4, 4, 4, 4, 4, 5, 9]


def test_on_screen_keeps_the_shape_and_needs_no_times():
    numbers = torch.tensor([[0, 1], [2, 3]])
    assert replace(EVEN, pts=None).on_screen(numbers).tolist() == numbers.tolist()
    variable = replace(EVEN, pts=np.array([0, 100, 110, 120])).on_screen(numbers)
    assert variable.tolist() == [[0, 0], [0, 3]]
    assert variable.dtype == torch.int64
    assert on_screen([7], [0, 0]) == [0, 0]


@pytest.mark.parametrize("fps", [25, 30, Fraction(30000, 1001)])
@pytest.mark.parametrize("name", ["video.mp4", "video.mkv", "video.avi"])
def test_frame_rate(tmp_path, name, fps):
    path = make_video(tmp_path / name, 20, fps=fps)
    assert probe_video(path).fps == pytest.approx(float(fps), rel=1e-4)


def test_a_stated_rate_that_the_times_belie_is_not_believed(tmp_path):
    """Frames every 100 ms in a Matroska file whose header says 30 frames per second."""
    path = make_video(tmp_path / "slow.mkv", 20, times=range(0, 2000, 100))
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate > 29
    assert probe_video(path).fps == pytest.approx(10)


def test_average_of_a_variable_rate(tmp_path):
    """19 intervals of 40 ms and 20 of 80: 39 in 2.36 s."""
    times = [*range(0, 800, 40), *range(840, 2400, 80)]
    info = probe_video(make_video(tmp_path / "video.mp4", len(times), times=times))
    assert info.num_frames == 40
    assert info.fps == pytest.approx(39 / ((times[-1] - times[0]) / 1000))


def test_times_and_keyframes_are_arrays(tmp_path):
    info = probe_video(make_video(tmp_path / "video.mp4", 30, fps=25))
    assert info.pts.dtype == info.keyframes.dtype == np.int64
    assert (info.pts * float(info.time_base)).tolist() == pytest.approx([k / 25 for k in range(30)])
    assert info.keyframes[:, 0].tolist() == [0, 12, 24]
    assert info.missing == ""


def test_without_times_frames_are_counted(tmp_path):
    info = probe_video(make_video(tmp_path / "video.avi", 30))
    assert info.pts is None
    assert info.keyframes.shape == (0, 2)
    assert info.num_frames == 30


@pytest.mark.parametrize("name", ["turned.mp4", "turned.mov", "turned.mkv"])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation(tmp_path, name, rotation):
    path = make_video(tmp_path / name, 3, size=(96, 64), rotation=rotation, pixel_aspect=Fraction(4, 3))
    info = probe_video(path)
    assert (info.rotation, info.width, info.height) == (rotation, 96, 64)
    assert info.pixel_aspect == pytest.approx(4 / 3 if rotation in (0, 180) else 3 / 4, rel=1e-3)


def test_rotation_is_that_of_phones(tmp_path):
    """A phone held upright stores wide pictures and this matrix: x' = h - y, y' = x, a quarter turn right."""
    path = make_video(tmp_path / "phone.mp4", 3, size=(96, 64))
    data, upright = path.read_bytes(), struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 64 << 16, 0, 1 << 30)
    at = data.index(upright, data.index(b"tkhd"))
    path.write_bytes(data[:at] + turned + data[at + len(turned) :])
    info = probe_video(path)
    assert (info.rotation, info.width, info.height) == (90, 64, 96)


def test_missing_file(tmp_path):
    with pytest.raises(VideoError, match=r"nowhere\.mp4 does not exist or is not a file"):
        probe_video(tmp_path / "nowhere.mp4")
    with pytest.raises(VideoError, match="does not exist or is not a file"):
        probe_video(tmp_path)


def test_zero_bytes(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoError, match=r"empty\.mp4 is empty \(0 bytes\)"):
        probe_video(tmp_path / "empty.mp4")


def test_not_a_video(tmp_path):
    (tmp_path / "text.mp4").write_text("not a video " * 500)
    with pytest.raises(VideoError, match=r"text\.mp4 cannot be decoded as a video: Invalid data"):
        probe_video(tmp_path / "text.mp4")


@pytest.mark.parametrize("with_cover", [False, True])
def test_sound_only(tmp_path, with_cover):
    path = make_audio(tmp_path / "sound.mp4", with_cover=with_cover)
    with pytest.raises(VideoError, match=r"sound\.mp4 has no video stream"):
        probe_video(path)


def test_no_frame_can_be_decoded(tmp_path):
    """Every packet of the video is overwritten; the container is whole."""
    path = make_video(tmp_path / "video.mp4", 20)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.size:
                data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    with pytest.raises(VideoError, match=r"No frame of .*video\.mp4 can be decoded"):
        probe_video(path)


def test_no_decoder(tmp_path):
    """The codec's name in the file is one that nobody has."""
    path = make_video(tmp_path / "video.mkv", 5)
    data = path.read_bytes()
    assert b"V_MPEG4/ISO/AVC" in data
    path.write_bytes(data.replace(b"V_MPEG4/ISO/AVC", b"V_UNKNOWN/CODEC"))
    with pytest.raises(VideoError, match=r"video\.mkv is in a video format that this FFmpeg has no decoder"):
        probe_video(path)
