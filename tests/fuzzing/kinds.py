"""Undamaged videos of many containers and codecs, each frame of which carries its number.

The order of KINDS decides what a case number means: add at the end.
"""

import os
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from videos import make_video, paint

SIZE = (96, 64)
# Frames from one keyframe to the next, see make_video.
KEYFRAME_INTERVAL = 12
# The encoder of AV1 writes to the terminal otherwise.
os.environ.setdefault("SVT_LOG", "0")


@dataclass(frozen=True)
class Kind:
    """One container and codec.

    Attributes:
        suffix: Of the file's name.
        codec: Encoder.
        num_frames: Frames that are encoded.
        fps: Their rate, where they are evenly spaced.
        varied: Whether the time between frames varies.
        skipped: Frames at the start that an edit list hides.
        more: Other arguments of make_video.
    """

    suffix: str
    codec: str = "libx264"
    num_frames: int = 50
    fps: int = 30
    varied: bool = False
    skipped: int = 0
    more: dict = field(default_factory=dict)

    @property
    def times_ms(self) -> list[int] | None:
        """When each encoded frame is shown, milliseconds; None if evenly."""
        if not self.varied:
            return None
        # Steps of 20, 40 and 60 ms, in runs.
        steps = [20 * (1 + index // 7 % 3) for index in range(self.num_frames)]
        return [int(time) for time in np.cumsum([0, *steps[:-1]])]

    @property
    def times(self) -> np.ndarray:
        """When each shown frame is shown, seconds after the first."""
        times = np.arange(self.num_frames) / self.fps if not self.varied else np.array(self.times_ms) / 1000
        return times[self.skipped :] - times[self.skipped]


def _kind(suffix: str, codec: str = "libx264", **fields) -> Kind:
    own = {name: fields.pop(name) for name in ("num_frames", "fps", "varied", "skipped") if name in fields}
    return Kind(suffix, codec, **own, more=fields)


_WIDE = Fraction(4, 3)  # pixels
# Said in the header, where damage may name colours that there are none of.
_COLOURS = {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709"}
_B_FRAMES = {"bf": "2"}
_FAST_START = {"movflags": "faststart"}
KINDS: dict[str, Kind] = {
    "mp4 h264": _kind("mp4", container_options=_FAST_START, with_audio=True, pixel_aspect=_WIDE),
    "mp4 h264 fragments": _kind(
        "mp4", num_frames=60, container_options={"movflags": "frag_keyframe+empty_moov"}
    ),
    "mp4 h264 edit list": _kind("mp4", num_frames=60, skipped=14, options=_COLOURS),
    "mp4 h264 varied rate": _kind("mp4", varied=True, container_options=_FAST_START),
    "mp4 hevc": _kind(
        "mp4",
        "libx265",
        container_options=_FAST_START,
        options={"x265-params": "log-level=none:pools=none:frame-threads=1:bframes=3"},
    ),
    "mp4 mpeg4": _kind("mp4", "mpeg4", options=_B_FRAMES, pixel_aspect=_WIDE),
    "mov mjpeg": _kind("mov", "mjpeg", num_frames=40, pix_fmt="yuvj420p", pixel_aspect=_WIDE),
    "mov png": _kind("mov", "png", num_frames=40, pix_fmt="rgb24", container_options=_FAST_START),
    "mov prores": _kind("mov", "prores_ks", num_frames=40, pix_fmt="yuv422p10le", options=_COLOURS),
    "avi mpeg4": _kind("avi", "mpeg4", num_frames=60, fps=25),
    "avi mpeg4 b-frames": _kind("avi", "mpeg4", options=_B_FRAMES),
    "avi mjpeg": _kind("avi", "mjpeg", num_frames=40, pix_fmt="yuvj420p"),
    "avi h264": _kind("avi", num_frames=60),
    "avi rawvideo": _kind("avi", "rawvideo", num_frames=40),
    "mkv h264": _kind("mkv", with_audio=True),
    "mkv h264 varied rate": _kind("mkv", varied=True),
    "mkv ffv1": _kind("mkv", "ffv1", num_frames=40),
    "mkv mpeg2": _kind("mkv", "mpeg2video", num_frames=60, fps=25, options=_B_FRAMES, pixel_aspect=_WIDE),
    "webm vp8": _kind("webm", "libvpx", options={"cpu-used": "8"}),
    "webm vp8 alpha": _kind(
        "webm", "libvpx", pix_fmt="yuva420p", options={"cpu-used": "8", "auto-alt-ref": "0"}
    ),
    "webm vp9": _kind("webm", "libvpx-vp9", options={"cpu-used": "8"}),
    "webm av1": _kind("webm", "libsvtav1", options={"preset": "8", "crf": "15", "svtav1-params": "lp=1"}),
    "ts h264": _kind("ts", num_frames=60, with_audio=True),
    "ts mpeg2": _kind("ts", "mpeg2video", fps=25, options=_B_FRAMES),
    "mpg mpeg1": _kind("mpg", "mpeg1video", fps=25, options=_B_FRAMES),
    "mpg mpeg2": _kind("mpg", "mpeg2video", fps=25, options=_B_FRAMES | _COLOURS),
    "flv flv1": _kind("flv", "flv"),
    "flv h264": _kind("flv", with_audio=True),
    "wmv": _kind("wmv", "wmv2"),
    "asf msmpeg4": _kind("asf", "msmpeg4"),
    "mxf mpeg2": _kind("mxf", "mpeg2video", fps=25, options=_B_FRAMES, pixel_aspect=_WIDE),
    "ogv vp8": _kind("ogv", "libvpx", options={"cpu-used": "8"}),
    "3gp mpeg4": _kind("3gp", "mpeg4", container_options=_FAST_START),
    "y4m": _kind("y4m", "wrapped_avframe", num_frames=40),
    "gif": _kind("gif", "gif", num_frames=40, fps=25, pix_fmt="rgb8"),
    "raw h264": _kind("h264", fps=25),
}


def make_kind(name: str, path: Path) -> Path:
    """Write the undamaged video of a kind; the same bytes every time with the same FFmpeg."""
    kind = KINDS[name]
    more = dict(kind.more)
    # Without dates, unique numbers and versions.
    container_options = {"fflags": "+bitexact"} | more.pop("container_options", {})
    if kind.codec == "libx264":
        # On some processors its fastest instructions do not give the same bytes every time.
        more["options"] = {"x264-params": "asm=0"} | more.get("options", {})
    target = path if not kind.skipped else path.with_name(f"whole_{path.name}")
    make_video(
        target,
        kind.num_frames,
        fps=Fraction(kind.fps),
        size=SIZE,
        codec=kind.codec,
        times=kind.times_ms,
        container_options=container_options,
        picture=paint_textured,
        **more,
    )
    if kind.skipped:
        _hide_start(target, path, kind.skipped, container_options)
        target.unlink()
    return path


def paint_textured(number: int, size: tuple[int, int]) -> np.ndarray:
    """The picture of frame `number` with a moving texture over it, so that damage anywhere can be seen."""
    width, height = size
    rows, columns = np.mgrid[:height, :width]
    waves = np.sin((columns + 2 * number) / 5) * np.cos((rows - number) / 4) + np.sin((columns * rows) / 97)
    picture = paint(number, size) + 14 * waves[..., None] * np.array([1, 0.6, -0.8])
    return picture.clip(0, 255).astype(np.uint8)


def _hide_start(source: Path, target: Path, skipped: int, container_options: dict[str, str]) -> None:
    """Copy an mp4 with an edit list that begins at frame number `skipped`."""
    with av.open(str(source)) as one, av.open(str(target), "w", options=container_options) as other:
        stream = other.add_stream_from_template(one.streams.video[0])
        for packet in one.demux(video=0):
            if packet.size:
                packet.stream = stream
                packet.pts -= skipped * packet.duration
                packet.dts -= skipped * packet.duration
                other.mux(packet)
