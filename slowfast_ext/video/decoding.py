"""Frames of a video file by their number, exactly: frame n is the n-th that a player shows, from 0.

Only what lies between the last keyframe before a wanted frame and that frame is decoded, and only wanted
frames are converted to RGB. Pictures come the right way up, as the file's rotation tag asks; interlaced ones
are not deinterlaced. Colours follow the file's tags; without any they are BT.601 in the limited range. Where
a video changes its picture size, later frames are scaled to the first size, as players do.

Legend: n frames asked for, H, W their height and width.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

import av
import numpy as np
import torch

from slowfast_ext.video.ahead import ahead
from slowfast_ext.video.convert import Converter, ToPicture, room_for_pictures
from slowfast_ext.video.file import VideoFile, VideoLike
from slowfast_ext.video.missing import clause_of_undecodable
from slowfast_ext.video.opening import Damage, VideoError, decode_packet, open_video, packets_of
from slowfast_ext.video.probing import VideoInfo, probe_video
from slowfast_ext.video.walk import position_of
from vtn.errors import InputError

# Seeking costs about as much as decoding this many frames that only others depend on.
_FRAMES_WORTH_A_SEEK = 16
# Formats in which a frame that is marked as no reference is none for any other. Not HEVC, where it may be one
# for frames of a higher temporal layer.
_FORMATS_WITH_TRUE_NON_REFERENCES = {"h264", "mpeg4", "mpeg2video", "mpeg1video"}


class MissingFrames(VideoError):
    """A file lists frames that cannot be decoded; `repair_video` finds out which can."""


def read_frames(
    video: VideoLike,
    frame_indices: Sequence[int],
    info: VideoInfo | None = None,
    damage: Damage | None = None,
) -> torch.Tensor:
    """Decode the frames asked for, each distinct one once.

    Args:
        video: The video file.
        frame_indices: Frame numbers in [0, info.num_frames), in any order, repeats allowed.
        info: What probe_video(video) returned; probed here if not given.
        damage: As for decode_frames.

    Returns:
        Shape (n, H, W, 3), uint8, RGB, in the order of frame_indices. Decoding never holds more than the
        distinct frames, on one thread.

    Raises:
        InputError: If frame_indices is empty or names a frame that the video does not have.
        VideoError: If the file cannot be read.
        MissingFrames: If a frame cannot be decoded.
    """
    video = VideoFile.of(video)
    info = info or probe_video(video)
    indices = [int(index) for index in frame_indices]
    wanted = sorted(set(indices))
    if not wanted:
        raise InputError(f"frame_indices for {video} is empty.")
    for index in (wanted[0], wanted[-1]):
        if not 0 <= index < info.num_frames:
            raise InputError(f"frame_indices has {index}, but {video} has frames 0 to {info.num_frames - 1}.")
    slots = {number: slot for slot, number in enumerate(wanted)}
    frames = room_for_pictures(len(wanted), info.height, info.width)
    for number, picture in decode_frames(video, wanted, info, damage):
        frames[slots[number]] = picture
    return frames if indices == wanted else frames[[slots[index] for index in indices]]


def decode_frames(
    video: VideoLike,
    frame_indices: Sequence[int],
    info: VideoInfo,
    damage: Damage | None = None,
    to_picture: ToPicture | None = None,
    *,
    two_threads: bool = False,
) -> Iterator[tuple[int, torch.Tensor]]:
    """Decode the frames asked for one by one, each once, in rising order unless the file forbids it.

    Args:
        video: The video file.
        frame_indices: Frame numbers in [0, info.num_frames), rising, distinct.
        info: What probe_video(video) or repair_video returned.
        damage: Gets what is found damaged on the way, in these frames or in others that they depend on.
        to_picture: What turns a frame into a picture, None where it cannot; a Converter if not given.
        two_threads: Decode the next frames in another thread meanwhile: for whoever has a core to spare.

    Yields:
        The number, and the picture, (H, W, 3) uint8, RGB. The picture is the caller's until the next one is
        asked for; it need not be contiguous.

    Raises:
        VideoError: If the file cannot be read.
        MissingFrames: After all others, if a frame cannot be decoded.
    """
    video = VideoFile.of(video)
    wanted = [int(index) for index in frame_indices]
    if not wanted:
        return
    missing = set(wanted)
    to_picture = to_picture or Converter(info)
    frames = _decode(video, wanted, info, Damage() if damage is None else damage)
    for number, frame in ahead(frames) if two_threads else frames:
        picture = to_picture(frame) if number in missing else None
        if picture is not None:
            missing.discard(number)
            yield number, picture
    if missing:
        raise MissingFrames(
            f"{video} is truncated or damaged: {info.num_frames} frames are listed in it, but frame "
            f"{min(missing)} cannot be decoded."
        )


def repair_video(video: VideoLike, info: VideoInfo) -> VideoInfo:
    """Find out which frames of a damaged video can be decoded, by decoding all of it.

    Args:
        video: The video file.
        info: What probe_video(video) returned.

    Returns:
        The same, but `present` says which frames there are and `missing` how many are lost. Frames keep their
        numbers; lost ones at the end are cut off. Where frames can only be counted, only those that can be
        decoded are.

    Raises:
        VideoError: If no frame can be decoded.
    """
    video = VideoFile.of(video)
    to_picture = Converter(info)
    with open_video(video) as (container, stream):
        frames = chain.from_iterable(
            decode_packet(stream, packet) for packet in packets_of(container, stream)
        )
        usable = [(frame.pts, to_picture(frame) is not None) for frame in frames]
    if info.pts is None:
        present = np.array([good for _, good in usable], dtype=bool)
    else:
        times = {time for time, good in usable if good and time is not None}
        present = np.isin(info.pts, np.array(list(times), dtype=np.int64))
        if info.present is not None:
            present &= info.present
    if not present.any():
        raise VideoError(f"No frame of {video} can be decoded.")
    num_frames = int(np.flatnonzero(present)[-1]) + 1
    listed = info.num_frames if info.present is None else int(info.present.sum())
    missing, num_lost = info.missing, listed - int(present.sum())
    if num_lost:
        lost = clause_of_undecodable(num_lost, listed)
        missing = f"{missing}; {lost}" if missing else lost
    first_of = {name: getattr(info, name) for name in ("pts", "times", "positions")}
    return replace(
        info,
        num_frames=num_frames,
        present=None if present.all() else present[:num_frames],
        keyframes=_usable_keyframes(info, present),
        missing=missing,
        **{name: None if values is None else values[:num_frames] for name, values in first_of.items()},
    )


def _usable_keyframes(info: VideoInfo, present: np.ndarray) -> np.ndarray:
    """Those that can be decoded; if none can, the first one, since decoding goes on without it."""
    if info.pts is None:
        return info.keyframes
    usable = info.keyframes[present[info.keyframes[:, 0]]]
    return usable if len(usable) else info.keyframes[:1]


def _decode(
    video: VideoFile, wanted: list[int], info: VideoInfo, damage: Damage
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield (number, frame) of the wanted frames, seeking over stretches where none is wanted."""
    if info.pts is None:
        yield from _decode_by_count(video, wanted, damage)
        return
    missing = set(wanted)
    with open_video(video) as (container, stream):
        for run, (keyframe, earlier) in _runs(wanted, info):
            # mp4 looks a keyframe up by its pts, and by an earlier time finds the one before it.
            times = (int(info.pts[keyframe]), int(earlier))
            packets = _seek(container, stream, times, info.pts[run[0]])
            if packets is not None:
                for number, frame in _decode_only(stream, packets, run, info, damage):
                    missing.discard(number)
                    yield number, frame
    # With intra refresh a "keyframe" begins a gradual repair, during which the decoder withholds the frames.
    # In a damaged file a seek may also lead to other packets than reading in order does.
    if missing:
        with open_video(video) as (container, stream):
            packets = packets_of(container, stream)
            yield from _decode_all(stream, packets, sorted(missing), info, damage)


def _decode_by_count(
    video: VideoFile, wanted: list[int], damage: Damage
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decode from the start of the file and count."""
    with open_video(video) as (container, stream):
        packets = packets_of(container, stream)
        frames = chain.from_iterable(decode_packet(stream, packet, damage) for packet in packets)
        for number, frame in enumerate(frames):
            if wanted[bisect_left(wanted, number)] == number:
                yield number, frame
            if number == wanted[-1]:
                return


def _runs(wanted: list[int], info: VideoInfo) -> Iterator[tuple[list[int], np.ndarray]]:
    """Split the wanted frames where a seek pays; with each run, the row of its keyframe."""
    # A keyframe shown later will not do, even if it is decoded earlier: with an open GOP the frames shown
    # before it need pictures from before it.
    rows = np.maximum(np.searchsorted(info.keyframes[:, 0], wanted, side="right") - 1, 0)
    starts = info.keyframes[rows]
    begin = 0
    for index in range(1, len(wanted) + 1):
        if index == len(wanted) or starts[index, 0] > wanted[index - 1] + _FRAMES_WORTH_A_SEEK:
            yield wanted[begin:index], starts[begin]
            begin = index


def _decode_only(
    stream: av.VideoStream,
    packets: Iterable[av.Packet | None],
    run: list[int],
    info: VideoInfo,
    damage: Damage,
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield the run's frames by their presentation times, without the frames that none of them depends on.

    It ends early where a packet does not stand in the file where it stood when the frames were numbered.
    """
    index_at = {int(info.pts[index]): index for index in run}
    to_feed, just_fed = len(index_at), False
    context = stream.codec_context
    can_skip = context.name in _FORMATS_WITH_TRUE_NON_REFERENCES
    for packet in packets:
        wanted = packet is not None and packet.pts in index_at
        if wanted and _has_moved(packet, index_at[packet.pts], info):
            return
        if can_skip:
            # The two fields of a frame may come in two packets, so the one after a wanted one is decoded too.
            context.skip_frame = "DEFAULT" if wanted or just_fed else "NONREF"
        frames = decode_packet(stream, packet, damage)
        is_last = packet is not None and just_fed and not to_feed
        if is_last:
            frames += decode_packet(stream, None, damage)  # those that wait for their turn to be shown
        for frame in frames:
            if frame.pts in index_at:
                yield index_at[frame.pts], frame
        if is_last:
            return
        to_feed, just_fed = to_feed - wanted, wanted


def _has_moved(packet: av.Packet, number: int, info: VideoInfo) -> bool:
    """Whether a packet stands elsewhere than when the file was read in order: by its time it is another's."""
    if info.positions is None:
        return False
    before, now = int(info.positions[number]), position_of(packet)
    return before >= 0 and now >= 0 and before != now


def _decode_all(
    stream: av.VideoStream,
    packets: Iterable[av.Packet | None],
    run: list[int],
    info: VideoInfo,
    damage: Damage,
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield the run's frames by their presentation times, decoding all that there is until they are found."""
    index_at = {int(info.pts[index]): index for index in run}
    for packet in packets:
        for frame in decode_packet(stream, packet, damage):
            if frame.pts in index_at:
                yield index_at.pop(frame.pts), frame
        if not index_at:
            return


def _seek(
    container: av.container.InputContainer, stream: av.VideoStream, times: Sequence[int], first_pts: int
) -> Iterable[av.Packet | None] | None:
    """Packets from a keyframe shown no later than first_pts; None if none of the times leads to one."""
    for time in times:
        try:
            container.seek(time, stream=stream)
        except av.FFmpegError:
            continue
        packets = packets_of(container, stream)
        first = next(packets)
        if first is not None and first.is_keyframe and first.pts is not None and first.pts <= first_pts:
            return chain([first], packets)
    return None
