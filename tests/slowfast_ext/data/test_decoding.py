"""Frames delivered = painted numbers asked for, whatever the container does."""

import os
import random
from fractions import Fraction

import av
import pytest
import torch
from videos import make_audio, make_video, read_numbers

from slowfast_ext.data import decoding
from slowfast_ext.data.decoding import VideoError, probe_video, read_frames
from vtn.errors import InputError

NUM_FRAMES = 60
VIDEOS = {
    "b_frames.mp4": {},
    "25_fps.mp4": {"fps": 25},
    "29_97_fps.mp4": {"fps": Fraction(30000, 1001)},
    "upright.mp4": {"size": (64, 96)},
    "odd.mp4": {"size": (97, 65), "pix_fmt": "yuv444p"},
    "open_gop.mp4": {"options": {"x264-params": "open-gop=1", "bf": "3"}},
    "b_pyramid.mp4": {"options": {"bf": "4", "b-pyramid": "normal"}},
    "one_keyframe.mp4": {"options": {"g": "250"}},
    "intra_refresh.mp4": {"size": (320, 240), "options": {"intra-refresh": "1", "bf": "0", "g": "20"}},
    "fragments.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "sound.mp4": {"with_audio": True},
    "plain.mkv": {},
    "no_duration.mkv": {"container_options": {"live": "1"}},
    "sound.mkv": {"with_audio": True},
    "mpeg4.avi": {"codec": "mpeg4", "size": (97, 65)},
    "mpeg4_b_frames.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "h264.avi": {},
    "stream.ts": {},
    "program.mpg": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "raw.h264": {},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(params=VIDEOS)
def path(request, folder):
    path = folder / request.param
    return path if path.exists() else make_video(path, NUM_FRAMES, **VIDEOS[request.param])


def numbers(path, indices, info=None):
    return read_numbers(read_frames(path, indices, info).numpy())


def test_every_frame_in_order(path):
    info = probe_video(path)
    assert info.num_frames == NUM_FRAMES
    frames = read_frames(path, range(NUM_FRAMES), info)
    width, height = VIDEOS[path.name].get("size", (96, 64))
    assert frames.shape == (NUM_FRAMES, height, width, 3)
    assert frames.dtype == torch.uint8
    assert read_numbers(frames.numpy()) == list(range(NUM_FRAMES))


def test_any_single_frame(path):
    info = probe_video(path)
    for index in [*range(0, NUM_FRAMES, 5), 11, 12, 13, 59]:
        assert numbers(path, [index], info) == [index]


def test_any_list_of_frames(path):
    info = probe_video(path)
    rng = random.Random(path.name)
    for count in (1, 3, 8, 40):
        indices = [rng.randrange(NUM_FRAMES) for _ in range(count)]
        assert numbers(path, indices, info) == indices
    assert numbers(path, [59, 0, 0, 30, 59]) == [59, 0, 0, 30, 59]


@pytest.mark.parametrize("fps", [25, 30, Fraction(30000, 1001)])
@pytest.mark.parametrize("name", ["video.mp4", "video.mkv", "video.avi"])
def test_frame_rate(tmp_path, name, fps):
    path = make_video(tmp_path / name, 20, fps=fps)
    assert probe_video(path).fps == pytest.approx(float(fps), rel=1e-4)


@pytest.mark.parametrize("name", ["one.mp4", "one.mkv", "one.avi"])
def test_one_frame_video(tmp_path, name):
    path = make_video(tmp_path / name, 1)
    info = probe_video(path)
    assert info.num_frames == 1
    assert info.fps > 0
    assert numbers(path, [0, 0], info) == [0, 0]


def test_a_frame_that_is_not_shown_has_no_number(tmp_path):
    """An edit list that begins at frame 14: those before are in the file, and no player shows them."""
    whole, cut = make_video(tmp_path / "whole.mp4", 40), tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(cut), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                packet.pts, packet.dts = packet.pts - 14 * packet.duration, packet.dts - 14 * packet.duration
                target.mux(packet)
    info = probe_video(cut)
    assert info.num_frames == 26
    assert numbers(cut, range(26), info) == list(range(14, 40))
    assert numbers(cut, [0], info) == [14]
    assert numbers(cut, [9, 25], info) == [23, 39]


@pytest.fixture
def fed(monkeypatch):
    """Times of the packets that the decoder is fed while frames are read."""
    times = []
    original = decoding._decode_packets

    def count(packets, run, info):
        def counted():
            for packet in packets:
                times.append(packet.pts)
                yield packet

        return original(counted(), run, info)

    monkeypatch.setattr(decoding, "_decode_packets", count)
    return times


def test_frames_in_between_are_not_decoded(tmp_path, fed):
    """Frames 3 and 399: the decoder sees neither the 380 frames between them nor those after the last."""
    path = make_video(tmp_path / "long.mp4", 450)
    assert numbers(path, [3, 399]) == [3, 399]
    assert len(fed) < 40


@pytest.mark.parametrize("index", [200, 203, 204, 205])
@pytest.mark.parametrize("name", ["b_frames.mp4", "open_gop.mp4", "plain.mkv", "mpeg4_b_frames.avi"])
def test_a_late_frame_costs_no_more_than_its_neighbours(tmp_path, fed, name, index):
    """Keyframes come every 12 frames; the frame just before one is decoded from the one before that."""
    path = make_video(tmp_path / name, 240, **VIDEOS[name])
    assert numbers(path, [index]) == [index]
    assert len(fed) < 32


def test_duplicates_are_decoded_once(tmp_path, monkeypatch):
    path = make_video(tmp_path / "video.mp4", 20)
    converted = []
    original = decoding._decode
    monkeypatch.setattr(
        decoding, "_decode", lambda *args: (converted.append(item[0]) or item for item in original(*args))
    )
    assert numbers(path, [7, 7, 2, 7, 2]) == [7, 7, 2, 7, 2]
    assert converted == [2, 7]


def test_a_colon_in_the_name_is_no_protocol(tmp_path, monkeypatch):
    make_video(tmp_path / "plain.mp4", 3).rename(tmp_path / "http:50%d #1.mp4")
    monkeypatch.chdir(tmp_path)
    assert numbers("http:50%d #1.mp4", [2]) == [2]


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


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "cut.avi"])
def test_cut_short(tmp_path, name):
    """60 percent of a file whose index comes first is not taken for a shorter video."""
    options = {"movflags": "faststart"} if name.endswith("mp4") else {}
    path = make_video(tmp_path / name, 100, container_options=options)
    os.truncate(path, int(path.stat().st_size * 0.6))
    with pytest.raises(VideoError, match=rf"{name} is truncated: "):
        probe_video(path)


def test_last_packet_is_cut(tmp_path):
    path = make_video(tmp_path / "cut.mp4", 100, container_options={"movflags": "faststart"})
    os.truncate(path, path.stat().st_size - 3)
    with pytest.raises(VideoError, match=r"cut\.mp4 is truncated: its last packet is incomplete"):
        probe_video(path)


def test_index_at_the_end_is_cut_off(tmp_path):
    path = make_video(tmp_path / "cut.mp4", 100)
    os.truncate(path, int(path.stat().st_size * 0.6))
    with pytest.raises(VideoError, match=r"cut\.mp4 cannot be decoded as a video"):
        probe_video(path)


def test_fewer_frames_than_listed(tmp_path):
    """A file that is cut after it was probed."""
    path = make_video(tmp_path / "cut.mkv", 100)
    info = probe_video(path)
    os.truncate(path, int(path.stat().st_size * 0.6))
    assert numbers(path, [5], info) == [5]
    with pytest.raises(VideoError, match=r"cut\.mkv is truncated or damaged: .* frame 99 cannot be decoded"):
        read_frames(path, [5, 99], info)


def test_index_out_of_range(tmp_path):
    path = make_video(tmp_path / "video.mp4", 10)
    with pytest.raises(InputError, match=r"frame_indices has 10, but .*video\.mp4 has frames 0 to 9"):
        read_frames(path, [3, 10])
    with pytest.raises(InputError, match=r"frame_indices has -1, but .*video\.mp4 has frames 0 to 9"):
        read_frames(path, [-1])
    with pytest.raises(InputError, match=r"frame_indices for .*video\.mp4 is empty"):
        read_frames(path, [])


def test_the_painted_number_is_not_read_where_there_is_none():
    with pytest.raises(ValueError, match="0 white squares"):
        read_numbers(torch.zeros(1, 64, 96, 3).numpy())
    with pytest.raises(ValueError, match="neither black nor white"):
        read_numbers(torch.full((1, 64, 96, 3), 128.0).numpy())
