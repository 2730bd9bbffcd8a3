"""Opening a video file and reading its packets, whatever the file may be.

A listed file is data, never an instruction: only containers are opened, never what leads to another file, and
what a header claims is checked before memory is asked for. Whatever a library raises for one file becomes a
VideoError, so that it cannot end the work on the others.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import av
from av.stream import Disposition

from slowfast_ext.processes import memory_is_limited
from slowfast_ext.video.file import VideoFile, VideoLike
from vtn.errors import InputError

# Pixels of a picture: a little more than 8K has. Larger ones are not decoded.
MOST_PIXELS = 8192 * 4320
# FFmpeg's names of the formats that hold a video themselves. No playlists, no numbered pictures, no scripts.
_CONTAINERS = (
    "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,kux,asf,asf_o,mxf,mxf_opatom,ogg,nut,rm,ivr,wtv,"
    "dv,gxf,lxf,nsv,nuv,swf,gif,apng,ivf,h261,h263,h264,hevc,vvc,m4v,mjpeg,obu,av1,vc1,vc1test,dirac,cavsvideo,"
    "avs2,avs3,yuv4mpegpipe,flic,bink,smk,roq,film_cpk,thp,xmv,dhav,pva,ty"
)
# For every av.open of a file that a user lists.
SAFE_OPTIONS = {
    "format_whitelist": _CONTAINERS,
    "protocol_whitelist": "file",
    "max_pixels": str(MOST_PIXELS),
}
# Unless asked to, some decoders (WMV, Flash) do not mark what they find damaged.
_DECODER_OPTIONS = {"max_pixels": str(MOST_PIXELS), "err_detect": "crccheck+bitstream+buffer"}
# How often reading may go on behind a damaged place without coming to another packet, and in all.
_MOST_ERRORS_IN_A_ROW, _MOST_ERRORS = 32, 1000


class VideoError(InputError):
    """A video file that cannot be read; the message names the file and says why."""


@dataclass
class Damage:
    """What was found damaged while a file was read.

    Attributes:
        places: How often the container could not be followed, so that reading went on behind.
        rejected: Times, or numbers, of the packets that the decoder refused.
        marked: Times, or numbers, of the pictures that the decoder marked as damaged or made up in part.
    """

    places: int = 0
    rejected: set[int] = field(default_factory=set)
    marked: set[int] = field(default_factory=set)


@contextmanager
def open_video(video: VideoLike) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """Open a file and its video stream, to be decoded on one thread.

    Raises:
        VideoError: If there is no video in it, and for whatever else is raised by libraries, then or later.
    """
    video = VideoFile.of(video)
    with open_container(video) as container:
        stream = find_video_stream(container)
        if stream is None:
            raise VideoError(f"{video} has no video stream.")
        prepare_decoder(video, stream)
        yield container, stream


def prepare_decoder(video: object, stream: av.VideoStream) -> None:
    """Let a stream be decoded on one thread, within the limits.

    Raises:
        VideoError: If there is no decoder; `video` is what it calls the file.
    """
    if stream.codec_context is None:
        raise VideoError(f"{video} is in a video format that this FFmpeg has no decoder for.")
    stream.codec_context.thread_count = 1
    stream.codec_context.options = _DECODER_OPTIONS


@contextmanager
def open_container(video: VideoLike) -> Iterator[av.container.InputContainer]:
    """Open a file, whatever streams it has.

    Raises:
        VideoError: As open_video.
    """
    video = VideoFile.of(video)
    if video.path is not None and not video.path.is_file():
        raise VideoError(f"{video} does not exist or is not a file.")
    with _only_video_errors(video):
        if not video.size:
            raise VideoError(f"{video} is empty (0 bytes).")
        if video.boxes and video.boxes.problem:
            raise VideoError(f"{video} cannot be read: {video.boxes.problem}.")
        # Tags may be in any encoding.
        with av.open(video.for_av, metadata_errors="replace", options=SAFE_OPTIONS) as container:
            yield container


@contextmanager
def memory_told(video: object) -> Iterator[None]:
    """Within, in a process whose memory is limited, a lack of it is a VideoError; `video` names the file."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # FFmpeg asks for absurd amounts for some damaged files.
        of_ffmpeg = isinstance(error, av.FFmpegError)
        lacks = isinstance(error, MemoryError) or "can't allocate memory" in str(error)
        if of_ffmpeg or not lacks or not memory_is_limited():
            raise
        raise VideoError(f"{video} takes more memory to read than a worker may have.") from error


@contextmanager
def _only_video_errors(video: VideoFile) -> Iterator[None]:
    try:
        with memory_told(video):
            yield
    except InputError:
        raise
    except av.ArgumentError as error:
        raise VideoError(
            f"{video} is in no video container, or its header is damaged. Playlists and numbered pictures "
            "are not followed."
        ) from error
    except av.FFmpegError as error:
        reason = error.strerror
        if video.boxes and not video.boxes.has_index:
            reason = "its index (box moov) is missing, so it was probably cut off"
        raise VideoError(f"{video} cannot be decoded as a video: {reason}.") from error
    except Exception as error:
        raise VideoError(f"{video} cannot be read ({type(error).__name__}: {error}).") from error


def find_video_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    """The stream that is marked as the default, else the first; None if there is none but cover pictures.

    Without a decoder for its format it has no context.
    """
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    # The first of those that are equally marked.
    return min(streams, key=lambda s: not s.disposition & Disposition.default, default=None)


def packets_of(
    container: av.container.InputContainer, stream: av.VideoStream | None, damage: Damage | None = None
) -> Iterator[av.Packet | None]:
    """Packets of a stream, or of all streams, then None: the decoder gives what it kept.

    Behind a place where the container is damaged reading goes on, as long as packets come.
    """
    errors = in_a_row = 0
    while errors < _MOST_ERRORS and in_a_row < _MOST_ERRORS_IN_A_ROW:
        try:
            for packet in container.demux() if stream is None else container.demux(stream):
                if packet.size:
                    in_a_row = 0
                    yield packet
            break
        except Exception:  # PyAV has raised IndexError and BlockingIOError here, beside FFmpeg's errors
            errors, in_a_row = errors + 1, in_a_row + 1
            if damage is not None and in_a_row == 1:
                damage.places += 1
    yield None


def decode_packet(
    stream: av.VideoStream, packet: av.Packet | None, damage: Damage | None = None
) -> list[av.VideoFrame]:
    """Frames that the decoder gives out on being fed a packet; none for a packet that it rejects."""
    try:
        frames = stream.decode(packet)
    except Exception:  # at this boundary one packet must not end the work on the others
        if damage is not None and packet is not None:
            damage.rejected.add(_name(packet, len(damage.rejected)))
        return []
    if damage is not None:
        damage.marked.update(_name(frame, len(damage.marked)) for frame in frames if frame.is_corrupt)
    return frames


def _name(item: av.Packet | av.VideoFrame, number: int) -> int:
    """What tells a packet or frame from others when it is met again: its time, where it has one."""
    return item.pts if item.pts is not None else -1 - number
