"""Copies have the frames of the original, at its times, upright and square, and begin anew each second."""

from fractions import Fraction

import av
import numpy as np
import pytest
from videos import make_video, paint, read_numbers

from slowfast_ext.prepare import reencode
from slowfast_ext.prepare.reencode import copy_size, reencode_video
from slowfast_ext.video import VideoError, VideoReader
from slowfast_ext.video.decoding import read_frames
from slowfast_ext.video.probing import probe_video


def copy(source, tmp_path, short_side=64):
    target = tmp_path / "a copy: é.part"
    reader = VideoReader(source)
    reencode_video(reader, target, short_side=short_side, crf=18)
    return reader.info, target, probe_video(target)


def numbers(path) -> list[int]:
    info = probe_video(path)
    return read_numbers(read_frames(path, range(info.num_frames), info).numpy())


@pytest.mark.parametrize("fps", [25, Fraction(30000, 1001)])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_every_frame_at_its_time_with_a_keyframe_each_second(tmp_path, fps, suffix):
    source = make_video(tmp_path / f"a.{suffix}", 80, fps=fps, size=(192, 128), with_audio=True)
    _, target, written = copy(source, tmp_path)
    assert numbers(target) == list(range(80))
    assert (written.width, written.height) == (96, 64)
    # Exactly even, even where Matroska rounded to milliseconds.
    times = (written.pts - written.pts[0]) * written.time_base
    assert list(times) == [number / Fraction(fps) for number in range(80)]
    second = round(fps)
    assert written.keyframes[:, 0].tolist() == list(range(0, 80, second))
    with av.open(str(target)) as container:
        assert not container.streams.audio
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.duration * stream.time_base) == pytest.approx(80 / float(fps), abs=1e-3)


def test_variable_rate_stays_variable(tmp_path):
    source, times = tmp_path / "a.mp4", [0, 10, 100, 130, 135, 900, 1000, 1700, 2600, 2610]
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(paint(number, (96, 64)), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    _, target, written = copy(source, tmp_path)
    assert numbers(target) == list(range(10))
    seconds = (written.pts - written.pts[0]).astype(float) * float(written.time_base)
    np.testing.assert_allclose(seconds, np.array(times) / 1000, atol=1e-4)
    # At 0 s; 1 s; 2.6 s, where a second has passed since.
    assert written.keyframes[:, 0].tolist() == [0, 6, 8]


def test_a_phone_video_is_turned(tmp_path):
    source = make_video(tmp_path / "a.mp4", 5, size=(192, 128))
    data = bytearray(source.read_bytes())
    # The display matrix in the track header: a quarter turn.
    matrix = data.index(b"tkhd") + 44
    quarter = [0, 1 << 16, 0, -(1 << 16) & 0xFFFFFFFF, 0, 0, 0, 0, 1 << 30]
    data[matrix : matrix + 36] = b"".join(value.to_bytes(4, "big") for value in quarter)
    source.write_bytes(bytes(data))
    info, target, written = copy(source, tmp_path)
    assert info.rotation in (90, 270)
    assert (written.rotation, written.width, written.height) == (0, 64, 96)
    turns = -info.rotation // 90
    pictures = read_frames(target, range(5)).numpy()
    # Turned back, the painted numbers can be read again.
    assert read_numbers(np.rot90(pictures, -turns, axes=(1, 2))) == list(range(5))


def test_wide_pixels_become_square(tmp_path):
    source = tmp_path / "a.mp4"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 128, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)
        for number in range(3):
            # What a player stretches to 192 x 128.
            picture = paint(number, (192, 128))[:, ::2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")))
        container.mux(stream.encode())
    info, target, written = copy(source, tmp_path)
    assert info.pixel_aspect == 2
    assert (written.width, written.height, written.pixel_aspect) == (96, 64, 1)
    assert numbers(target) == [0, 1, 2]


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [((340, 256), 256, (340, 256)), ((320, 240), 256, (320, 240)), ((98, 54), 32, (58, 32))],
)
def test_sizes_are_even_and_never_larger(tmp_path, size, short_side, expected):
    info = probe_video(make_video(tmp_path / "a.mp4", 1, size=size))
    assert copy_size(info, short_side) == expected


def test_odd_sizes_and_colours(tmp_path):
    source = make_video(
        tmp_path / "a.mkv", 4, size=(97, 65), codec="ffv1", pix_fmt="bgr0", options={"level": "3"}
    )
    _, target, written = copy(source, tmp_path, short_side=256)
    assert (written.width, written.height) == (96, 64)
    assert numbers(target) == [0, 1, 2, 3]
    grey = read_frames(target, [0]).numpy()[0, :4, :4].astype(float)
    assert np.abs(grey - 128).max() <= 3


def test_what_is_left_of_a_cut_video_is_copied(tmp_path):
    source = make_video(tmp_path / "a.mp4", 200, container_options={"movflags": "faststart"})
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 2])
    info, target, written = copy(source, tmp_path)
    assert "it states 6.67 s of video and holds" in info.missing
    assert 20 < written.num_frames == info.num_frames < 180
    # The last ones are not in the order of the numbers: B-frames lie behind the frames that follow them.
    kept = read_numbers(read_frames(source, range(info.num_frames), info).numpy())
    assert kept[:-3] == list(range(info.num_frames - 3))
    assert numbers(target) == kept


def test_a_copy_that_lacks_frames_is_not_taken(tmp_path, monkeypatch):
    source = make_video(tmp_path / "a.mp4", 20)
    full = VideoReader(source)
    monkeypatch.setattr(
        "slowfast_ext.prepare.reencode.probe_video",
        lambda path: probe_video(make_video(tmp_path / "b.mp4", 19)),
    )
    with pytest.raises(VideoError, match="has 19 frames instead of 20"):
        reencode_video(full, tmp_path / "c.mp4", short_side=64, crf=18)


def test_bytes_are_those_of_x264s_plain_code(tmp_path, monkeypatch):
    """Of noise 226 wide, which is no multiple of 16; the fastest code gave other bytes each time."""
    pictures = np.random.default_rng(0).integers(0, 256, (40, 96, 226, 3), dtype=np.uint8)
    source = tmp_path / "noise.mkv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 226, 96, "bgr0"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    found = set()
    for words in (reencode._SAME_EVERYWHERE, reencode._SAME_EVERYWHERE, "asm=0"):
        monkeypatch.setattr(reencode, "_SAME_EVERYWHERE", words)
        reencode_video(VideoReader(source), tmp_path / "copy.mp4", short_side=96, crf=18)
        found.add((tmp_path / "copy.mp4").read_bytes())
    assert len(found) == 1
