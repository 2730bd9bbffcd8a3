"""Files as they are found in data sets: every kind of them delivers exactly the frames asked for."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch
from av.stream import Disposition
from videos import make_video, paint, read_numbers

from slowfast_ext.video.decoding import read_frames
from slowfast_ext.video.probing import probe_video
from slowfast_ext.video.sampling import full_video_frame_indices

ROOT = Path(__file__).resolve().parents[3]
INTERLACED = {"options": {"flags": "+ilme+ildct"}}
AV1 = {"codec": "libsvtav1", "options": {"preset": "12", "svtav1-params": "lp=1"}}
HEVC = {"codec": "libx265", "options": {"x265-params": "log-level=none"}}
FRAMES = 40
FILES = {
    "h264.mov": {},
    "h264.flv": {},
    "hevc.mp4": HEVC,
    "hevc.mkv": HEVC,
    "hevc.ts": HEVC,
    "vp8.webm": {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"auto-alt-ref": "1", "lag-in-frames": "16"}},
    "vp9.mp4": {"codec": "libvpx-vp9"},
    "av1.mp4": AV1,
    "av1.webm": AV1,
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mpeg4.mkv": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "wmv2.wmv": {"codec": "wmv2"},
    "odd.mp4": {"size": (97, 63), "pix_fmt": "yuv444p"},
    "odd.webm": {"size": (97, 63), "codec": "libvpx-vp9"},
    "10_bit.mp4": {"pix_fmt": "yuv420p10le"},
    "10_bit.mkv": HEVC | {"pix_fmt": "yuv420p10le"},
    "422.mp4": {"pix_fmt": "yuv422p"},
    "444.mp4": {"pix_fmt": "yuv444p"},
    "grey.mp4": {"pix_fmt": "gray"},
    "rgb.mkv": {"codec": "ffv1", "pix_fmt": "bgr0"},
    "interlaced.mp4": INTERLACED,
    "interlaced.ts": INTERLACED,
    "interlaced_mpeg4.avi": INTERLACED | {"codec": "mpeg4"},
    "interlaced_mpeg2.ts": INTERLACED | {"codec": "mpeg2video"},
    "wide_pixels.mp4": {"pixel_aspect": Fraction(16, 11)},
    "on_its_side.mp4": {"rotation": 90},
    "upside_down.mp4": {"rotation": 180},
    "on_its_other_side.mov": {"rotation": 270},
    "on_its_side.mkv": {"rotation": 90},
    "one_frame.ts": {"num_frames": 1},
    "one_frame.webm": {"num_frames": 1, "codec": "libvpx-vp9"},
}


def numbers(path, indices, info=None):
    return read_numbers(read_frames(path, indices, info).numpy())


@pytest.mark.parametrize("name", FILES)
def test_frames_delivered_are_those_asked_for(tmp_path, name):
    """Interlaced pictures are delivered as they are stored, both fields in one picture."""
    settings = {"num_frames": FRAMES} | FILES[name]
    path = make_video(tmp_path / name, **settings)
    info, count = probe_video(path), settings["num_frames"]
    width, height = settings.get("size", (96, 64))
    assert (info.num_frames, info.height, info.width, info.missing) == (count, height, width, "")
    assert count == 1 or info.fps == pytest.approx(30, rel=0.01)
    assert numbers(path, range(count), info) == list(range(count))
    for indices in ([0], [count - 1], [13 % count, 25 % count], list(range(0, count, 9))):
        assert numbers(path, indices, info) == indices


@pytest.mark.parametrize("name", ["variable.mp4", "variable.mkv"])
def test_variable_frame_rate(tmp_path, name):
    """30 frames at 30 per second, then 15 at 10: evenly spaced numbers are evenly spaced in time."""
    times = [k * 1000 // 30 for k in range(30)] + [1000 + k * 100 for k in range(15)]
    path = make_video(tmp_path / name, 45, times=times)
    info = probe_video(path)
    assert numbers(path, range(45), info) == list(range(45))
    # 2.4 s between the first and the last of 45 frames: number k stands for k * 54.5 ms.
    expected = [max(n for n in range(45) if times[n] <= k * 2400 / 44 + 1) for k in range(45)]
    assert expected[:3] == [0, 1, 3]
    assert expected[-4:] == [42, 42, 43, 44]
    assert numbers(path, info.on_screen(torch.arange(45)), info) == expected


def test_audio_does_not_count_as_missing_video(tmp_path):
    path = make_video(tmp_path / "sound.mkv", 20, with_audio=True)
    assert probe_video(path).missing == ""


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv", "late.ts"])
@pytest.mark.parametrize("start", [-500, 10000])
def test_a_stream_that_starts_late_or_before_zero(tmp_path, name, start):
    """Numbers count from the first frame that is shown, whatever its time."""
    if start < 0 and name == "late.ts":
        start = 2**33 // 90 - 700  # MPEG-TS has no negative times; its clock runs over in mid-video instead
    path = tmp_path / name
    source_path = make_video(tmp_path / f"source_{name}", 40, fps=25, options={"bf": "0"})
    with (
        av.open(str(source_path)) as source,
        av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                delay = round(start / 1000 / packet.time_base)
                packet.stream = stream
                packet.pts, packet.dts = packet.pts + delay, packet.dts + delay
                target.mux(packet)
    info = probe_video(path)
    # An MP4 file shows nothing from before zero; a Matroska file shows it all.
    hidden = 13 if (start, name) == (-500, "late.mp4") else 0
    assert info.num_frames == 40 - hidden
    assert info.fps == pytest.approx(25)
    assert numbers(path, range(40 - hidden), info) == list(range(hidden, 40))
    assert numbers(path, [2, 20], info) == [2 + hidden, 20 + hidden]


def _patch(path, fourcc, offset, value, new):
    """Overwrite a 32-bit number that lies `offset` bytes after a four-letter code."""
    data = bytearray(path.read_bytes())
    at = data.index(fourcc) + 4 + offset
    order = "little" if path.suffix == ".avi" else "big"
    assert int.from_bytes(data[at : at + 4], order) == value
    data[at : at + 4] = new.to_bytes(4, order)
    path.write_bytes(data)


# Where the header has the duration, in units of its clock, or the number of frames.
@pytest.mark.parametrize(
    ("name", "fourcc", "offset", "value"),
    [
        ("video.mp4", b"mdhd", 16, 40 * 512),
        ("video.mp4", b"mvhd", 16, 1334),
        ("video.avi", b"avih", 20, 40),
    ],
)
@pytest.mark.parametrize("new", [0, 7, 2**20])
def test_wrong_duration_or_frame_count(tmp_path, name, fourcc, offset, value, new):
    path = make_video(tmp_path / name, 40, codec="mpeg4")
    _patch(path, fourcc, offset, value, new)
    info = probe_video(path)
    assert info.num_frames == 40
    assert info.fps == pytest.approx(30)
    assert numbers(path, range(40), info) == list(range(40))


@pytest.mark.parametrize("name", ["streams.mkv", "streams.mov"])
@pytest.mark.parametrize("default", [0, 1, None])
def test_of_several_video_streams_the_default_one_is_taken(tmp_path, name, default):
    """The second stream's pictures are numbered from 100. In the MOV file a cover comes before both."""
    path, size = tmp_path / name, (96, 64)
    with av.open(str(path), "w") as container:
        covers = [container.add_stream("mjpeg", rate=25)] if name == "streams.mov" else []
        streams = [container.add_stream("libx264", rate=25, options={"threads": "1"}) for _ in range(2)]
        for stream in (*covers, *streams):
            stream.width, stream.height, stream.pix_fmt = *size, "yuvj420p" if stream in covers else "yuv420p"
            stream.disposition = Disposition.attached_pic if stream in covers else Disposition(0)
        if default is not None:
            streams[default].disposition = Disposition.default
        for first, stream in ((50, covers), (0, streams[:1]), (100, streams[1:])):
            for number in range(first, first + (1 if stream is covers else 20)):
                frame = av.VideoFrame.from_ndarray(paint(number, size), format="rgb24")
                frame.pts, frame.time_base = number - first, Fraction(1, 25)
                for one in stream:
                    container.mux(one.encode(frame))
            for one in stream:
                container.mux(one.encode())
    info = probe_video(path)
    assert numbers(path, range(20), info) == list(range(100, 120) if default == 1 else range(20))


_CLIP = 251  # frames; a prime, so that samples of the long video do not fall on the same ones again and again
_REPEATS = 717  # 251 * 717 frames at 25 per second are two hours


@pytest.fixture(scope="module")
def two_hours(tmp_path_factory):
    """The packets of a short video over and over: frame n shows number n % 251."""
    folder = tmp_path_factory.mktemp("long")
    short = make_video(folder / "short.mp4", _CLIP, fps=25, size=(64, 64), options={"bf": "0"})
    path = folder / "long.mp4"
    with av.open(str(short)) as source, av.open(str(path), "w") as target:
        template = source.streams.video[0]
        packets = [(bytes(packet), packet.pts, packet.is_keyframe) for packet in source.demux(template)]
        stream = target.add_stream_from_template(template)
        step = round(1 / 25 / template.time_base)
        for repeat in range(_REPEATS):
            for data, pts, is_keyframe in packets[:_CLIP]:
                packet = av.Packet(data)
                packet.stream, packet.time_base, packet.is_keyframe = stream, template.time_base, is_keyframe
                packet.pts = packet.dts = pts + repeat * _CLIP * step
                target.mux(packet)
    return short, path


def test_a_video_of_two_hours(two_hours):
    _, path = two_hours
    info = probe_video(path)
    assert info.num_frames == _CLIP * _REPEATS
    assert info.num_frames / info.fps == pytest.approx(7200, abs=2)
    indices = full_video_frame_indices(info.num_frames, num_frames=30).tolist()
    assert numbers(path, indices, info) == [index % _CLIP for index in indices]


_MEASURE = """
import sys
from slowfast_ext.video.decoding import decode_frames
from slowfast_ext.video.probing import probe_video
from slowfast_ext.video.sampling import full_video_frame_indices
for path in sys.argv[1:]:
    info = probe_video(path)
    indices = full_video_frame_indices(info.num_frames, num_frames=250).tolist()
    assert sum(1 for _ in decode_frames(path, indices, info)) == 250
    print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_of_a_video(two_hours):
    """Peak memory of a process that reads 250 frames of ten seconds, then 250 of two hours, in KiB.

    Not by getrusage: there a new process begins with the peak of the one that started it.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "projects"), str(ROOT)])}
    command = [sys.executable, "-c", _MEASURE, *map(str, two_hours)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert result.returncode == 0, result.stderr
    short, long = map(int, result.stdout.split())
    assert long <= 1.2 * short
    assert long - short <= 40 * 1024
