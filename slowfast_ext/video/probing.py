"""What a video file shows without being decoded: its frames, when each comes, and what is missing.

Containers state frame counts, durations and rates that are often missing or wrong, so frames are numbered by
walking the packets: frame n is the n-th that a player shows, from 0. Where the times show that frames are
lost in between, these keep their numbers, so that all others keep their place in time. Only the first frame
is decoded, to see that one can be and which way up it is.

Legend: V frames of the video, those that are lost included.
"""

from dataclasses import asdict, dataclass
from fractions import Fraction

import av
import numpy as np
import torch

from slowfast_ext.video.file import VideoFile, VideoLike
from slowfast_ext.video.missing import (
    clause_of_pixels,
    clause_of_rate,
    clauses_of_damage,
    clauses_of_file,
    clauses_of_numbering,
)
from slowfast_ext.video.numbering import Numbering, number_frames
from slowfast_ext.video.opening import (
    MOST_PIXELS,
    Damage,
    VideoError,
    decode_packet,
    open_video,
    packets_of,
)
from slowfast_ext.video.walk import walk_packets

# A stated rate is believed if it is this close to the measured one.
_RATE_TOLERANCE = 0.01
# Part of the time between frames by which each may miss its even place before the rate counts as variable.
_EVEN_TOLERANCE = 0.25
# A higher rate is not believed, and this one is taken instead, which FFmpeg too takes where it knows none.
_MOST_FPS, _FALLBACK_FPS = 1000.0, 25.0
# Width of a pixel over its height, or the inverse, that is believed. The widest in use is 64/33.
_MOST_PIXEL_ASPECT = 8.0
# Longer pictures are refused: the short side is scaled to a fixed size, and the other goes with it.
_MOST_ELONGATED = 32.0


@dataclass(frozen=True, eq=False)
class PictureShape:
    """What the pictures of a video look like, by its first one.

    Attributes:
        height: Of a picture the right way up, pixels.
        width: Of a picture the right way up, pixels.
        pixel_aspect: Width of a pixel over its height, the right way up; 1.0 where the file does not say.
        rotation: Degrees by which decoded pictures are turned clockwise to be the right way up: 0, 90, 180
            or 270. Mirroring is not undone.
    """

    height: int
    width: int
    pixel_aspect: float
    rotation: int

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height of a picture before it is turned the right way up, pixels."""
        turned = self.rotation in (90, 270)
        return (self.height, self.width) if turned else (self.width, self.height)


@dataclass(frozen=True, eq=False)
class VideoInfo(PictureShape):
    """What `probe_video` found.

    Attributes:
        num_frames: Frames of the video, V. Those that are lost between others count, so that all others keep
            their place in time.
        fps: Average rate, frames per second.
        pts: Shape (V,), int64: presentation time of each frame in units of time_base, by which it is found
            in the file. None where the file does not give usable times, so that frames can only be counted
            from the start.
        keyframes: Shape (number of keyframes, 2), int64: (number of the frame, time to seek to), by number;
            no rows where pts is None.
        time_base: Seconds per unit of pts.
        missing: A clause on what the file lacks, as "it states 10.00 s of video and holds 6.80 s"; empty if
            nothing.
        times: Shape (V,), int64: when each frame is shown, from 0, in units of time_base. None: as in pts.
        present: Shape (V,), bool: which frames can be decoded, as far as is known. None: all.
        positions: Shape (V,), int64: where in the file each frame's packet begins, in bytes, or -1. None: not
            known.
        first: Number of the first frame that decoding gives from the start of the file. Those before it
            depend on frames that the file does not have.
    """

    num_frames: int
    fps: float
    pts: np.ndarray | None
    keyframes: np.ndarray
    time_base: Fraction
    missing: str
    times: np.ndarray | None = None
    present: np.ndarray | None = None
    positions: np.ndarray | None = None
    first: int = 0

    @property
    def decodable(self) -> list[int]:
        """Numbers of the frames that can be decoded, as far as is known, rising."""
        everything = np.arange(self.num_frames)
        return (everything if self.present is None else everything[self.present]).tolist()

    def missing_with(self, damage: Damage) -> str:
        """`missing`, and what was found damaged while frames were read."""
        if self.pts is None:
            return self.missing  # all frames were decoded to be counted
        return "; ".join(filter(None, [self.missing, *clauses_of_damage(damage)]))

    def seconds_of(self, frame_indices: torch.Tensor) -> torch.Tensor:
        """When frames are shown, seconds from the first one: int64 in [0, V) to float64 of the same shape."""
        if self.times is None:
            return frame_indices.double() / self.fps
        ticks = torch.from_numpy(self.times)[frame_indices] * self.time_base.numerator
        return ticks.double() / self.time_base.denominator  # whole seconds stay whole

    def on_screen(self, frame_indices: torch.Tensor) -> torch.Tensor:
        """Turn frame numbers that were chosen as if frames were evenly spaced into those that are shown then.

        Number k stands for the time k / fps after the first frame, so that the first number is the first
        frame and the last number the last. At a constant rate, which rounding by the container does not make
        variable, that is frame k itself, or where it is lost the one before it.

            pts 0, 100, 110, 120 (ms), fps 25:  [0, 1, 2, 3]  ->  [0, 0, 0, 3]
            of frames 0 to 3, frame 2 is lost:  [0, 1, 2, 3]  ->  [0, 1, 1, 3]

        Args:
            frame_indices: int64, in [0, V), any shape.

        Returns:
            Same shape, int64, numbers of frames that are present.
        """
        on_screen = self._at_variable_rate()
        if self.present is not None:
            everything = np.arange(self.num_frames)
            latest = np.maximum.accumulate(np.where(self.present, everything, -1))
            latest[latest < 0] = self.present.argmax()  # before the first one, the first one
            on_screen = latest if on_screen is None else latest[on_screen]
        return frame_indices if on_screen is None else torch.from_numpy(on_screen)[frame_indices]

    def _at_variable_rate(self) -> np.ndarray | None:
        """(V,): the frame on the screen at the time that each number stands for; None at a constant rate."""
        if self.pts is None or self.num_frames < 2:
            return None
        times = self.pts - self.pts[0] if self.times is None else self.times
        interval = times[-1] / (self.num_frames - 1)
        even = np.arange(self.num_frames) * interval
        # One unit at least: a container may count in units that are not much shorter than a frame.
        if np.abs(times - even).max() <= max(_EVEN_TOLERANCE * interval, 1):
            return None
        # Rounding must not put a frame after the very time that stands for it.
        return np.searchsorted(times, even + 1, side="right") - 1


def probe_video(video: VideoLike) -> VideoInfo:
    """Number the frames of a video without decoding them, where its container gives their times.

    Args:
        video: Any file in a container that holds a video itself; cover pictures do not count as one. Of
            several streams the one that is marked as the default is taken, else the first.

    Raises:
        VideoError: If the file is missing, empty or no video, if no frame of it can be decoded, or if its
            pictures are too large (see MOST_PIXELS) or too long and narrow. A file that is cut short or
            damaged is not refused: see VideoInfo.missing.
    """
    video = VideoFile.of(video)
    with open_video(video) as (container, stream):
        sized = stream.codec_context.width > 0  # FFmpeg forgets a size that is over the limit
        walk = walk_packets(container, stream)
        if walk.first is None:
            perhaps = "" if sized else f": its pictures are damaged, or have more than {MOST_PIXELS:,} pixels"
            raise VideoError(f"No frame of {video} can be decoded{perhaps}.")
        numbering = number_frames(video, container, stream, walk)
        fps = _frames_per_second(stream, numbering)
        clauses = list(clauses_of_file(video, container, stream, walk))
        time_base = stream.time_base
        shape, clause = shape_of(video, walk.first, stream)
    if fps > _MOST_FPS:
        clauses.append(clause_of_rate(fps))
        fps = _FALLBACK_FPS
    clauses += filter(None, [clause])
    clauses += clauses_of_numbering(numbering, time_base)
    num_frames = count_frames(video, walk.damage) if numbering.pts is None else len(numbering.pts)
    return VideoInfo(
        num_frames=num_frames,
        fps=fps,
        **asdict(shape),
        time_base=time_base,
        missing="; ".join([*clauses, *clauses_of_damage(walk.damage)]),
        pts=numbering.pts,
        keyframes=numbering.keyframes,
        times=numbering.times,
        present=numbering.present,
        positions=numbering.positions,
        first=_number_of(walk.first, numbering),
    )


def _number_of(frame: av.VideoFrame, numbering: Numbering) -> int:
    if numbering.pts is None or frame.pts is None:
        return 0
    return min(int(np.searchsorted(numbering.pts, frame.pts)), len(numbering.pts) - 1)


def shape_of(
    video: VideoFile | str, frame: av.VideoFrame, stream: av.VideoStream
) -> tuple[PictureShape, str]:
    """What pictures look like by the first one, and a clause if the file says what is not believed.

    Raises:
        VideoError: If they are too long and narrow.
    """
    pixel_aspect, clause = float(stream.sample_aspect_ratio or 1), ""
    if not 1 / _MOST_PIXEL_ASPECT <= pixel_aspect <= _MOST_PIXEL_ASPECT:
        pixel_aspect, clause = 1.0, clause_of_pixels(pixel_aspect)
    # PyAV gives the angle that the file states, counter-clockwise, from -180 to 180.
    rotation = round(-frame.rotation / 90) % 4 * 90
    height, width = frame.height, frame.width
    if rotation in (90, 270):
        height, width, pixel_aspect = width, height, 1 / pixel_aspect
    _refuse_elongated(video, height, width * pixel_aspect)
    return PictureShape(height, width, pixel_aspect, rotation), clause


def _refuse_elongated(video: VideoFile | str, height: float, width: float) -> None:
    if max(height, width) > _MOST_ELONGATED * min(height, width):
        raise VideoError(
            f"{video} has pictures of {width:.0f} x {height:.0f} pixels; one side may be at most "
            f"{_MOST_ELONGATED:.0f} times as long as the other."
        )


def count_frames(video: VideoLike, damage: Damage | None = None) -> int:
    """Count the frames of a video by decoding all of it.

    Args:
        video: The file.
        damage: Gets what is found damaged.
    """
    with open_video(video) as (container, stream):
        packets = packets_of(container, stream)
        return sum(len(decode_packet(stream, packet, damage)) for packet in packets)


def _frames_per_second(stream: av.VideoStream, numbering: Numbering) -> float:
    """Average rate by the times of the frames, in the container's words where those say the same."""
    # A single picture has no rate; any will do, since every clip of it is that picture.
    stated = float(stream.average_rate or stream.guessed_rate or 1)
    times = numbering.times
    if times is None or len(times) < 2:
        return stated
    measured = float((len(times) - 1) / (int(times[-1]) * stream.time_base))
    return stated if abs(stated - measured) <= _RATE_TOLERANCE * measured else measured
