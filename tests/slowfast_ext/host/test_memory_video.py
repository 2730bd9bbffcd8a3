"""Frames delivered = painted numbers in the stretch of time asked for, whatever the container does."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from videos import make_audio, make_video, read_numbers

from slowfast_ext.host.memory_video import VideoMetaData, probe_video_from_memory, read_video_from_memory
from slowfast_ext.video import decoding, walk

NUM_FRAMES = 75
NTSC = Fraction(30000, 1001)
VIDEOS = {
    "b_frames.mp4": {},
    "25_fps.mp4": {"fps": 25},
    "ntsc.mp4": {"fps": NTSC},
    "open_gop.mp4": {"options": {"x264-params": "open-gop=1", "bf": "3"}},
    "intra_refresh.mp4": {"size": (320, 240), "options": {"intra-refresh": "1", "bf": "0", "g": "20"}},
    "late.mp4": {"fps": 25, "times": [1000 + 40 * number for number in range(NUM_FRAMES)]},
    "sound.mp4": {"with_audio": True},
    "plain.mkv": {},
    "ntsc.mkv": {"fps": NTSC},
    "late.mkv": {"fps": 25, "times": [1000 + 40 * number for number in range(NUM_FRAMES)]},
    "sound.mkv": {"with_audio": True},
    "no_duration.mkv": {"container_options": {"live": "1"}},
    "mpeg4.avi": {"codec": "mpeg4", "fps": 25},
    "mpeg4_b_frames.avi": {"codec": "mpeg4", "fps": NTSC, "options": {"bf": "2"}},
    "h264.avi": {},
    "stream.ts": {},
    "flash.flv": {},
    "sound.flv": {"with_audio": True},
    "raw.h264": {"fps": 25},
}
# Seconds, by hand: frames over rate, and 0 where the file does not say.
DURATIONS = {"no_duration.mkv": 0.0, "raw.h264": 0.0, "sound.flv": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(params=VIDEOS)
def path(request, folder):
    path = folder / request.param
    return path if path.exists() else make_video(path, NUM_FRAMES, **VIDEOS[request.param])


def read_range(data: bytes, fps: Fraction | int, first: float, last: float, margin: float = 1.0) -> list[int]:
    """Ask for frames in the way of PySlowFast main's decoder: times rounded down."""
    meta = probe_video_from_memory(data)
    units_per_frame = meta.video_timebase.denominator / float(fps)
    frames, _ = read_video_from_memory(
        data,
        seek_frame_margin=margin,
        video_pts_range=(int(first * units_per_frame), int(last * units_per_frame)),
        video_timebase_numerator=meta.video_timebase.numerator,
        video_timebase_denominator=meta.video_timebase.denominator,
    )
    return read_numbers(frames.numpy()) if frames.ndim == 4 else []


def test_metadata(path):
    fps = VIDEOS[path.name].get("fps", 30)
    meta = probe_video_from_memory(path.read_bytes())
    assert meta.has_video
    assert meta.video_timebase.numerator == 1
    assert meta.video_fps == pytest.approx(float(fps))
    expected = DURATIONS.get(path.name, NUM_FRAMES / fps)
    assert meta.video_duration == pytest.approx(float(expected), abs=0.5 / float(fps))
    assert meta.has_audio == ("sound" in path.name)


@pytest.mark.parametrize("margin", [0.0, 1.0])
@pytest.mark.parametrize(("first", "last"), [(0, 0), (0, 20), (31, 44), (35, 36), (47, 74), (62, 62)])
def test_frames_of_a_range(path, first, last, margin):
    fps = VIDEOS[path.name].get("fps", 30)
    assert read_range(path.read_bytes(), fps, first, last, margin) == list(range(first, last + 1))


def test_ends_between_frames_are_rounded_inwards(path):
    fps = VIDEOS[path.name].get("fps", 30)
    assert read_range(path.read_bytes(), fps, 40.3, 43.7) == [41, 42, 43]
    assert read_range(path.read_bytes(), fps, 40.3, 40.6) == []


def test_all_frames(path):
    frames, sound = read_video_from_memory(torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8))
    assert frames.dtype == torch.uint8
    assert read_numbers(frames.numpy()) == list(range(NUM_FRAMES))
    assert len(sound) == 0


def test_range_in_the_units_of_the_caller(folder):
    data = make_video(folder / "units.mp4", 30, fps=NTSC).read_bytes()
    frames, _ = read_video_from_memory(
        data, video_pts_range=(7, 9), video_timebase_numerator=1001, video_timebase_denominator=30000
    )
    assert read_numbers(frames.numpy()) == [7, 8, 9]


def test_sound_track(folder):
    meta = probe_video_from_memory(make_video(folder / "heard.mp4", 30, with_audio=True).read_bytes())
    assert meta.audio_timebase == Fraction(1, 8000)
    assert meta.audio_sample_rate == 8000
    # make_video writes 4 s more than the pictures, in whole packets of 1024 samples.
    assert meta.audio_duration == pytest.approx(5.0, abs=0.2)


def test_only_what_lies_before_the_range_is_decoded(folder, monkeypatch):
    times = [100_000 + 40 * number for number in range(300)]
    data = make_video(folder / "long.mp4", 300, fps=25, times=times).read_bytes()
    fed, decode = [], decoding.decode_packet

    def spy(stream, packet, damage=None):
        fed.append(packet)
        return decode(stream, packet, damage)

    for module in (walk, decoding):
        monkeypatch.setattr(module, "decode_packet", spy)
    assert read_range(data, 25, 240, 250) == list(range(240, 251))
    # The first frame, 12 to the keyframe, a second of margin, the 11, and the decoder's delay.
    assert len(fed) < 75


# By hand, rounding halves up: 97 x 65 to 32 is 47.75; 64 x 96 to 32; 90 x 64 to 48 is 67.5; 64 x 64 to 32.
@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((96, 64), 0, (64, 96)),
        ((97, 65), 32, (32, 48)),
        ((64, 96), 32, (48, 32)),
        ((90, 64), 48, (48, 68)),
        ((64, 64), 32, (32, 32)),
        ((48, 32), 64, (64, 96)),
    ],
)
def test_scaled_to_the_short_side(folder, size, short_side, expected):
    pix_fmt = "yuv444p" if size[0] % 2 else "yuv420p"
    path = make_video(folder / f"{size[0]}x{size[1]}.mp4", 4, size=size, pix_fmt=pix_fmt)
    frames, _ = read_video_from_memory(path.read_bytes(), video_min_dimension=short_side)
    assert frames.shape == (4, *expected, 3)
    assert read_numbers(frames.numpy()) == [0, 1, 2, 3]


def test_rotation_tags_are_ignored(folder):
    """Pictures come as they are stored, lying on their side; turned back, the numbers can be read."""
    data = make_video(folder / "phone.mp4", 4, size=(64, 96), rotation=90).read_bytes()
    frames, _ = read_video_from_memory(data)
    assert frames.shape == (4, 64, 96, 3)
    assert read_numbers(np.rot90(frames.numpy(), -1, axes=(1, 2))) == [0, 1, 2, 3]


def test_no_other_scaling(folder):
    with pytest.raises(NotImplementedError, match="video_min_dimension"):
        read_video_from_memory(b"", video_width=32)


def empty(data: bytes, **options) -> bool:
    return read_video_from_memory(data, **options)[0].shape == torch.Size([0])


def test_no_frames(folder):
    data = make_video(folder / "short.mp4", 10).read_bytes()
    late = {"video_timebase_numerator": 1, "video_pts_range": (20, 30)}
    assert empty(data, **late)
    assert empty(data, read_video_stream=False)
    assert not empty(data)


@pytest.mark.parametrize("data", [b"", b"no video at all", b"\x00" * 5000])
def test_no_video(data):
    assert probe_video_from_memory(data) == VideoMetaData()
    assert empty(data)


@pytest.mark.parametrize("with_cover", [False, True])
def test_sound_without_pictures(folder, with_cover):
    data = make_audio(folder / f"cover_{with_cover}.mp4", with_cover=with_cover).read_bytes()
    meta = probe_video_from_memory(data)
    assert (meta.has_video, meta.video_fps, meta.has_audio) == (False, 0.0, True)
    assert empty(data)


def test_file_that_was_cut_short(folder):
    """What is there is read, and what is missing is not made up."""
    data = make_video(folder / "cut.mkv", NUM_FRAMES, size=(320, 240)).read_bytes()
    half = data[: len(data) // 2]
    numbers = read_numbers(read_video_from_memory(half)[0].numpy())
    assert 10 < len(numbers) < 60
    # The last ones may lack the frames that they refer to, which are shown later but stored earlier.
    assert numbers[:-3] == list(range(len(numbers) - 3))
    assert numbers == sorted(numbers)
    assert read_range(half, 30, 70, 74) == []


def test_file_without_its_beginning(folder):
    """Time begins with the first frame that can be decoded, in a whole read and in a part."""
    data = make_video(folder / "whole.ts", NUM_FRAMES, size=(320, 240)).read_bytes()
    rest = data[len(data) // 188 // 4 * 188 :]
    numbers = read_numbers(read_video_from_memory(rest)[0].numpy())
    assert numbers == list(range(numbers[0], NUM_FRAMES))
    assert 5 < numbers[0] < 40
    for first in (0, 33):
        assert read_range(rest, 30, first, first + 2) == numbers[first : first + 3]


def test_file_that_is_damaged_in_the_middle(folder):
    data = bytearray(make_video(folder / "hurt.mp4", NUM_FRAMES, size=(320, 240)).read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 10] = bytes(len(data) // 10)
    assert read_range(bytes(data), 30, 0, 12) == list(range(13))
    assert read_range(bytes(data), 30, 70, 74) == [70, 71, 72, 73, 74]
    assert len(read_video_from_memory(bytes(data))[0]) > 40
