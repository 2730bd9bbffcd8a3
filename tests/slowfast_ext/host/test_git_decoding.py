"""PySlowFast main's own Kinetics data set, with our decoding beneath: frames delivered = frames it asked for.

main runs in a process of its own, with the checkout of SLOWFAST_HOME; without one only the tests of functions
run.
"""

import importlib.metadata
import json
import math
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch
import torchvision
from videos import make_video

from slowfast_ext.host import git_decoding
from slowfast_ext.host.git_decoding import DECODING_CURES, TorchvisionIo, fails_with_pyav, without_pyav

NUM_VIEWS, NUM_FRAMES, SAMPLING_RATE, TARGET_FPS = 3, 8, 2, 30
# Frames of the video and how it is made. 61 - 16 frames are three times 15, so clips begin on a frame.
VIDEOS = {
    "b_frames.mp4": (60, {}),
    "on_a_frame.mp4": (61, {}),
    "25_fps.mp4": (60, {"fps": 25}),
    "ntsc.mp4": (61, {"fps": Fraction(30000, 1001)}),
    "long.mp4": (200, {}),
    "plain.mkv": (60, {}),
    "25_fps.mkv": (60, {"fps": 25}),
    "no_duration.mkv": (60, {"container_options": {"live": "1"}}),
    "mpeg4.avi": (60, {"codec": "mpeg4", "fps": 25}),
    "30_fps.avi": (60, {"codec": "mpeg4"}),
    "short.mp4": (9, {}),
}
# main decodes these whole: it cannot know their length, or they are shorter than a clip.
DECODED_WHOLE = {"no_duration.mkv", "short.mp4"}

KINETICS = """
import contextlib, io, json, random, sys, warnings
warnings.simplefilter("ignore")
import slowfast_ext; slowfast_ext.register()
import torch
from slowfast.datasets.kinetics import Kinetics
from slowfast_ext.host import get_host
from slowfast_ext.host.cures import applied_cures
from videos import read_numbers

torch.set_num_threads(1)
host = get_host()
result = {"host": host.NAME, "cured": [cure.name for cure in applied_cures()]}

def data_set(folder, mode, backend, multi_thread=False):
    cfg = host.get_defaults().clone()
    overrides = f'''DATA.PATH_TO_DATA_DIR {folder} DATA.NUM_FRAMES 8 DATA.SAMPLING_RATE 2
        DATA.TRAIN_JITTER_SCALES [64,64] DATA.TRAIN_CROP_SIZE 64 DATA.TEST_CROP_SIZE 64
        DATA.RANDOM_FLIP False TEST.NUM_ENSEMBLE_VIEWS 3 TEST.NUM_SPATIAL_CROPS 1 MODEL.ARCH i3d
        DATA.DECODING_BACKEND {backend} DATA_LOADER.ENABLE_MULTI_THREAD_DECODE {multi_thread}'''
    cfg.merge_from_list(overrides.split())
    return Kinetics(cfg, mode, num_retries=16)

def read(*options):
    items = []
    data = data_set(*options)
    for index in range(len(data)):
        random.seed(index)
        frames, label, index, *times, _ = data[index]
        pictures = (frames[0].permute(1, 2, 3, 0) * 0.225 + 0.45) * 255
        items.append([read_numbers(pictures), index, [list(map(float, time[0])) for time in times]])
    return items
"""
BOTH = """
result["test"] = read(sys.argv[1], "test", "torchvision")
"""
MAIN_ONLY = """
import av, torchvision
from slowfast.datasets import decoder

result["test pyav"] = read(sys.argv[1], "test", "pyav", True)
for mode in ("train", "val"):
    for backend in ("torchvision", "pyav"):
        result[f"{mode} {backend}".removesuffix(" torchvision")] = read(sys.argv[1], mode, backend)
result["damaged val"] = [index for numbers, index, _ in read(sys.argv[2], "val", "torchvision")]
damaged = data_set(sys.argv[2], "test", "torchvision")
as_published = type(damaged).__getitem__.__wrapped__  # None in place of an error that names the file
result["damaged test"] = [as_published(damaged, index) is None for index in range(len(damaged))]

def said(container, backend):
    decode = getattr(decoder.decode, "__wrapped__", decoder.decode)
    with contextlib.redirect_stdout(io.StringIO()) as text:
        decode(container, [2], [8], 0, 1, {}, backend=backend)
    return text.getvalue()

path = sys.argv[1] + "/long.mp4"
mended, decoder.io = decoder.io, torchvision.io
result["unmended"] = [said(open(path, "rb").read(), "torchvision"), said(av.open(path), "pyav")]
decoder.io = mended
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    """Whole videos, and damaged ones beside a whole one; lists for each mode in both."""
    whole, damaged = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("damaged")
    for name, (length, options) in VIDEOS.items():
        make_video(whole / name, length, size=(64, 64), **options)
    data = (whole / "long.mp4").read_bytes()
    (damaged / "whole.mp4").write_bytes(data)
    (damaged / "cut.mp4").write_bytes(data[: len(data) // 2])  # before the index, which is last
    (damaged / "text.mp4").write_text("no video at all")
    (damaged / "empty.mp4").write_bytes(b"")
    for folder, names in (whole, list(VIDEOS)), (damaged, ["whole.mp4", "cut.mp4", "text.mp4", "empty.mp4"]):
        for mode in ("train", "val", "test"):
            (folder / f"{mode}.csv").write_text("".join(f"{folder / name} 0\n" for name in names))
    return whole, damaged


def run_kinetics(code: str, folders: tuple[Path, Path], home: str | None) -> dict:
    environment = {name: value for name, value in os.environ.items() if name != "SLOWFAST_HOME"}
    if home:
        environment["SLOWFAST_HOME"] = home
    tests = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join([tests, environment.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, "-c", KINETICS + code + "print(json.dumps(result))", *map(str, folders)],
        capture_output=True,
        text=True,
        timeout=280,
        env=environment,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def main(folders) -> dict:
    """What Kinetics of PySlowFast main gave."""
    home = os.environ.get("SLOWFAST_HOME")
    if not home:
        pytest.skip("SLOWFAST_HOME is not set, so there is no PySlowFast main to run")
    return run_kinetics(BOTH + MAIN_ONLY, folders, home)


@pytest.fixture(scope="module")
def wheel(folders) -> dict:
    """What Kinetics of PySlowFast 1.0 gave."""
    if not list(importlib.metadata.distributions(name="pyslowfast")):
        pytest.skip("PySlowFast 1.0 is not installed")
    result = run_kinetics(BOTH, folders, None)
    if result["host"] != "wheel":
        pytest.skip("PySlowFast main is installed, which hides PySlowFast 1.0")
    return result


def asked_for(name: str, start: float, end: float) -> list[int]:
    """Frame numbers of main's clip, by its rule: T indices evenly between two ends, rounded down.

    Args:
        start: First frame of the clip; may lie between frames.
        end: Last frame of the clip.
    """
    length, options = VIDEOS[name]
    clip = NUM_FRAMES * SAMPLING_RATE / TARGET_FPS * float(options.get("fps", 30))
    steps = [position * (clip - 1) / (NUM_FRAMES - 1) + 1e-5 for position in range(NUM_FRAMES)]
    if name in DECODED_WHOLE:
        return [min(int(start + step), length - 1) for step in steps]
    # Only frames from start to end were decoded. A fiftieth of a frame is 0.7 ms.
    first, last = math.ceil(start - 0.02), math.floor(end + 0.02)
    return [min(first + int(step), last) for step in steps]


@pytest.mark.parametrize("run", ["train", "val", "test", "train pyav", "val pyav", "test pyav"])
def test_frames_are_those_that_main_asked_for(main, run):
    views = NUM_VIEWS if run.startswith("test") else 1
    names = [name for name in VIDEOS for _ in range(views)]
    assert len(main[run]) == len(names)
    for position, (numbers, index, [[start, end, _]]) in enumerate(main[run]):
        assert index == position
        assert numbers == asked_for(names[position], start, end), (names[position], start, end)


def test_clips_lie_where_main_puts_them(main):
    """Starts by hand: a third of what a clip of 16 frames, at 25 fps of 13.33, leaves of the video."""
    starts = {}
    for position, (_, _, [[start, _, _]]) in enumerate(main["test"]):
        starts.setdefault(list(VIDEOS)[position // NUM_VIEWS], []).append(start)
    assert starts["b_frames.mp4"] == pytest.approx([0, 44 / 3, 88 / 3], abs=0.01)
    assert starts["on_a_frame.mp4"] == pytest.approx([0, 15, 30], abs=0.01)
    assert starts["plain.mkv"] == starts["30_fps.avi"] == pytest.approx([0, 44 / 3, 88 / 3], abs=0.01)
    for name in ("25_fps.mp4", "25_fps.mkv", "mpeg4.avi"):
        assert starts[name] == pytest.approx([0, 140 / 9, 280 / 9], abs=0.01)
    assert starts["short.mp4"] == [0, 0, 0]


def test_main_and_wheel_read_the_same_frames(main, wheel):
    """They differ by one frame where a clip begins between two: the wheel reads one more, or one earlier."""
    same, differences = set(), set()
    for position, ((ours, *_), (theirs, *_)) in enumerate(zip(main["test"], wheel["test"], strict=True)):
        name, view = list(VIDEOS)[position // NUM_VIEWS], position % NUM_VIEWS
        if ours == theirs:
            same.add((name, view))
        differences |= {a - b for a, b in zip(ours, theirs, strict=True)}
        if name in ("b_frames.mp4", "25_fps.mp4", "long.mp4"):
            # The wheel also decodes the frame after the end of the clip.
            assert theirs == (ours if view == 0 else [*ours[:-1], ours[-1] + 1])
    assert same >= {(name, 0) for name in VIDEOS}
    assert same >= {(name, view) for name in ("on_a_frame.mp4", *DECODED_WHOLE) for view in range(NUM_VIEWS)}
    assert differences <= {-1, 0, 1}


def test_damaged_files_are_passed_over(main):
    assert main["damaged val"] == [0, 0, 0, 0]  # a random other one: only the first can be read
    assert main["damaged test"] == [False] * NUM_VIEWS + [True] * 3 * NUM_VIEWS


def cure_of(name: str):
    return next(cure for cure in DECODING_CURES if cure.name == name)


def test_every_cure_has_a_test_here():
    for cure in DECODING_CURES:
        assert f"test_{cure.label}" in globals(), cure.name


def test_io(main):
    if "slowfast.datasets.decoder.io" not in main["cured"]:
        pytest.skip("this torchvision can decode videos")
    assert "has no attribute" in main["unmended"][0]


def test_io_is_left_alone_where_torchvision_can_decode(monkeypatch):
    class VideoReader:
        probe_video_from_memory = read_video_from_memory = None

    monkeypatch.setattr(torch.ops, "video_reader", VideoReader)
    assert cure_of("slowfast.datasets.decoder.io").present() is not hasattr(
        torchvision.io, "_read_video_from_memory"
    )
    for name in ("_probe_video_from_memory", "_read_video_from_memory"):
        monkeypatch.setattr(torchvision.io, name, None, raising=False)
    assert not cure_of("slowfast.datasets.decoder.io").present()
    # The names alone will not do: torchvision had them long after its wheels had the functions beneath.
    monkeypatch.delattr(VideoReader, "read_video_from_memory")
    assert cure_of("slowfast.datasets.decoder.io").present()


def test_io_passes_the_rest_on():
    ours = TorchvisionIo()
    assert ours.read_image is torchvision.io.read_image
    assert ours._read_video_from_memory is git_decoding.read_video_from_memory
    assert ours._probe_video_from_memory is git_decoding.probe_video_from_memory
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = ours.no_such_name


def test_decode(main):
    assert "slowfast.datasets.decoder.decode" in main["cured"]
    assert "Failed to decode by pyav with exception: unsupported operand" in main["unmended"][1]
    assert main["test pyav"] == main["test"]  # with several threads, too


def test_decode_is_left_alone_where_it_works():
    def decode(container, sampling_rate, num_frames, clip_idx, num_clips, video_meta, target_fps, backend):
        assert backend == "pyav"
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        return [frames[: num_frames[0]]], [[0, 1, 0]], [None]

    assert not fails_with_pyav(decode)
    assert fails_with_pyav(lambda *args, **options: (None, None, None))
    assert fails_with_pyav(lambda *args, **options: ([[]], None, None))
    assert fails_with_pyav(lambda container: None)


def test_without_pyav():
    def backend_of(path, threads=False, backend="pyav"):
        return path, threads, backend

    changed = without_pyav(backend_of)
    assert changed("a") == ("a", False, "torchvision")
    assert changed("a", True, "pyav") == ("a", True, "torchvision")
    assert changed("a", backend="pyav", threads=True) == ("a", True, "torchvision")
    assert changed("a", backend="decord") == ("a", False, "decord")
