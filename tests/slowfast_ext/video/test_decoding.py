"""Frames delivered = painted numbers asked for, whatever the container does."""

import os
import random
from fractions import Fraction

import av
import pytest
import torch
from videos import make_video, read_numbers

from slowfast_ext.video import decoding
from slowfast_ext.video.decoding import MissingFrames, decode_frames, read_frames
from slowfast_ext.video.probing import probe_video
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
    """Packets that the decoder is fed while frames are read, with the frames that it then gives out."""
    packets = []
    original = decoding.decode_packet

    def count(stream, packet, damage=None):
        frames = original(stream, packet, damage)
        packets.append((packet, frames))
        return frames

    monkeypatch.setattr(decoding, "decode_packet", count)
    return packets


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
    assert len(fed) < 20, len(fed)  # one stretch between keyframes, not two


@pytest.fixture(scope="module")
def expected(folder):
    """Every frame of a video as PyAV gives it when all of it is decoded."""
    cache = {}

    def decode(path):
        if path not in cache:
            with av.open(str(path)) as container:
                cache[path] = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        return cache[path]

    return decode


SKIPPING = {
    "b_pyramid.mp4": {"options": {"bf": "5", "b-pyramid": "normal", "g": "60"}},
    "strict_pyramid.mp4": {"options": {"bf": "5", "b-pyramid": "strict", "g": "250"}},
    "open_gop.mkv": {"options": {"x264-params": "open-gop=1", "bf": "3"}},
    "fields.ts": {"options": {"flags": "+ilme+ildct", "bf": "3"}},
    "h264.ts": {},
    "mpeg4.mkv": {"codec": "mpeg4", "options": {"bf": "3", "g": "60"}},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"bf": "3", "g": "15"}},
    "hevc.mp4": {"codec": "libx265"},
    "hevc_open_gop.mkv": {"codec": "libx265", "options": {"x265-params": "open-gop=1:bframes=4"}},
    "hevc_layers.mp4": {"codec": "libx265", "options": {"x265-params": "temporal-layers=3:bframes=3"}},
}


@pytest.mark.parametrize("name", SKIPPING)
def test_frames_equal_those_of_a_full_decode_to_the_last_bit(folder, expected, name):
    """Leaving out frames in between changes nothing in the frames asked for."""
    path = make_video(folder / f"skip_{name}", 90, **SKIPPING[name])
    whole, info, rng = expected(path), probe_video(path), random.Random(name)
    lists = [[number] for number in range(0, 90, 7)] + [list(range(90)), list(range(0, 90, 8))]
    for indices in [*lists, *(sorted(rng.sample(range(90), 5)) for _ in range(6))]:
        delivered = []
        for number, picture in decode_frames(path, indices, info):
            assert (picture.numpy() == whole[number]).all(), (indices, number)
            delivered.append(number)
        assert delivered == indices


@pytest.mark.parametrize("name", ["b_pyramid.mp4", "mpeg4.mkv"])
def test_frames_that_no_wanted_frame_depends_on_are_not_decoded(folder, fed, name):
    """One keyframe: all 80 packets up to the last wanted one are read, a good half of them is decoded."""
    path = make_video(folder / f"skip_{name}", 90, **SKIPPING[name] | {"options": {"bf": "3", "g": "250"}})
    assert numbers(path, [20, 40, 60, 79]) == [20, 40, 60, 79]
    assert 80 <= len(fed) <= 90
    assert 20 < sum(len(frames) for _, frames in fed) < 55


def test_nothing_after_the_last_wanted_frame_is_decoded(tmp_path, fed):
    """A frame that waits in the decoder for its turn is taken out, instead of feeding until it comes."""
    path = make_video(tmp_path / "video.mp4", 60, options={"bf": "0", "g": "60"})
    assert numbers(path, [30]) == [30]
    assert max(packet.pts for packet, _ in fed if packet) == probe_video(path).pts[31]


def test_where_the_picture_size_changes_frames_are_scaled_to_the_first(tmp_path):
    """Two videos joined in one stream: the second begins where the first ends, and is twice as large."""
    path = tmp_path / "joined.webm"
    parts = [
        make_video(tmp_path / f"{width}.webm", 20, fps=25, size=(width, width * 2 // 3), codec="libvpx")
        for width in (96, 192)
    ]
    with av.open(str(path), "w") as target, av.open(str(parts[0])) as first, av.open(str(parts[1])) as second:
        stream = target.add_stream_from_template(first.streams.video[0])
        for source, delay in ((first, 0), (second, 20 * 40)):  # milliseconds
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    packet.pts, packet.dts = packet.pts + delay, packet.dts + delay
                    target.mux(packet)
    info = probe_video(path)
    assert (info.num_frames, info.height, info.width) == (40, 64, 96)
    assert numbers(path, range(40), info) == [*range(20), *range(20)]
    assert numbers(path, [5, 25], info) == [5, 5]


# Luma 120, chroma 90 and 200 by the two standards' formulas, in the two ranges, worked out by hand.
@pytest.mark.parametrize(
    ("options", "rgb"),
    [
        ({}, (236, 77, 44)),
        ({"colorspace": "smpte170m"}, (236, 77, 44)),
        ({"colorspace": "bt709"}, (250, 91, 41)),
        ({"color_range": "pc"}, (221, 82, 53)),
        ({"colorspace": "bt709", "color_range": "pc"}, (233, 93, 49)),
    ],
)
def test_colours_follow_the_tags_of_the_file(tmp_path, expected, options, rgb):
    """Without a tag it is BT.601 in the limited range, as in PyAV."""
    path = tmp_path / "colours.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options | {"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        frame = av.VideoFrame(64, 48, "yuv420p")
        for plane, value in zip(frame.planes, (120, 90, 200), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        container.mux([*stream.encode(frame), *stream.encode()])
    (picture,) = read_frames(path, [0])
    assert picture[20, 30].tolist() == pytest.approx(rgb, abs=2)
    assert (picture.numpy() == expected(path)[0]).all()


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


def test_fewer_frames_than_listed(tmp_path):
    """A file that is cut after it was probed."""
    path = make_video(tmp_path / "cut.mkv", 100)
    info = probe_video(path)
    os.truncate(path, int(path.stat().st_size * 0.6))
    assert numbers(path, [5], info) == [5]
    with pytest.raises(MissingFrames, match=r"cut\.mkv is truncated or damaged: .* frame 99 cannot be"):
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
