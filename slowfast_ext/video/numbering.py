"""Numbers of the frames of a file, by the times of its packets.

Legend: n frames that the file holds, V frames of the video with those that are lost in between.
"""

from dataclasses import dataclass

import av
import numpy as np

from slowfast_ext.video.file import VideoFile
from slowfast_ext.video.timeline import place_frames
from slowfast_ext.video.walk import PacketWalk

# Formats in which every step in time is written down, so that a long one is there on purpose.
_EXPLICIT_TIMES = {"mp4", "gif", "apng"}


@dataclass(frozen=True, eq=False)
class Numbering:
    """Attributes of VideoInfo that follow from the packets; see there.

    Attributes:
        keyframes: (number of keyframes, 2) int64.
        pts, times: (V,) int64, or None where the file gives no usable times.
        present: (V,) bool, or None where nothing is lost.
        positions: (V,) int64, or None.
        jumps: How many steps in time cannot be true.
    """

    keyframes: np.ndarray
    pts: np.ndarray | None = None
    times: np.ndarray | None = None
    present: np.ndarray | None = None
    positions: np.ndarray | None = None
    jumps: int = 0


def number_frames(
    video: VideoFile, container: av.container.InputContainer, stream: av.VideoStream, walk: PacketWalk
) -> Numbering:
    """Number the frames in the order in which they are shown; without times where these are of no use.

    Args:
        video: The file.
        container: The same, open.
        stream: Its video.
        walk: Its packets.
    """
    decoded = np.array(walk.pts, dtype=np.int64)
    order = np.argsort(decoded)
    found = decoded[order]
    formats = set(container.format.name.split(","))
    # AVI stores no pts. FFmpeg then gives H.264 packets the order in which they are decoded, which is wrong
    # as soon as there are B-frames.
    wrong = "avi" in formats and stream.codec_context.has_b_frames and (found == decoded).all()
    # Where time goes back, one part of the file would be shuffled into another by its times.
    useless = walk.without_pts or not len(found) or wrong or walk.num_backward
    if useless or (np.diff(found) == 0).any():
        return Numbering(np.empty((0, 2), dtype=np.int64))
    explicit = formats & _EXPLICIT_TIMES and not (video.boxes and video.boxes.is_fragmented)
    rates = [] if explicit else [stream.average_rate, stream.guessed_rate, stream.base_rate]
    timeline = place_frames(found, float(stream.time_base), [float(rate) for rate in rates if rate])
    frame_indices = timeline.frame_indices
    pts = found[0] + timeline.times
    pts[frame_indices] = found
    positions = np.full(len(pts), -1, dtype=np.int64)
    positions[frame_indices] = np.array(walk.positions, dtype=np.int64)[order]
    present = np.isin(np.arange(len(pts)), frame_indices) if timeline.num_lost else None
    keyframes = _keyframes(walk, frame_indices[np.searchsorted(found, decoded)])
    return Numbering(keyframes, pts, timeline.times, present, positions, timeline.jumps)


def _keyframes(walk: PacketWalk, frame_indices: np.ndarray) -> np.ndarray:
    """VideoInfo.keyframes; `frame_indices` are those of the packets, in decoding order."""
    is_key = np.array(walk.is_key, dtype=bool)
    # Where no packet is marked as a keyframe, decoding can only begin at the start.
    is_key[0] |= not is_key.any()
    rows = np.stack([frame_indices[is_key], np.array(walk.seek_to, dtype=np.int64)[is_key]], axis=1)
    return rows[np.argsort(rows[:, 0], kind="stable")]
