"""What a video file lacks, in words: every clause that VideoInfo.missing may hold is made here.

A clause goes on after the name of the file: "it states 10.00 s of video and holds 6.80 s".
"""

from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np

from slowfast_ext.video.file import VideoFile
from slowfast_ext.video.gif_blocks import check_gif
from slowfast_ext.video.numbering import Numbering
from slowfast_ext.video.opening import Damage
from slowfast_ext.video.timeline import is_short_of
from slowfast_ext.video.walk import GAP_BYTES, PacketWalk, StatedLength, stated_length

# Formats that state how long the video is, so that a file which was cut short can be told from a short video.
_FORMATS_WITH_LENGTH = {"mp4", "avi", "matroska", "asf", "flv", "mxf", "rm", "ivf"}
# Formats that state how many frames there are; MP4 also counts those that an edit list leaves out.
_FORMATS_WITH_COUNT = {"avi", "ivf"}
# Formats that always state a length, so that one without has a damaged header.
_NEVER_WITHOUT_LENGTH = {"asf"}
# Formats in which packets follow each other without a gap, so that bytes between them are lost ones; those of
# them in which only a short header comes before the first packet, and nothing after the last one.
_FORMATS_WITHOUT_GAPS = {"matroska", "flv", "ogg", "ivf"}
_WITHOUT_GAP_BEFORE, _WITHOUT_GAP_BEHIND = {"flv", "ogg", "ivf"}, {"flv", "ivf"}
# All gaps together may come to this part of the file: text tracks, covers and the like in strange places.
_GAP_PART = 0.02
# Where the first frame comes late, more bytes than this before it are lost frames and not a header.
_HEADER_BYTES = 2048
# A first frame later than this, in seconds, is a late one.
_LATE = 0.1
# An edit list may leave frames of an MP4 out, but at least this part of them is shown.
_SHOWN_PART = 0.5
# Some cameras reserve space: up to this part of an MP4's media may be listed nowhere.
_UNREAD_PART = 0.1


def clauses_of_file(
    video: VideoFile, container: av.container.InputContainer, stream: av.VideoStream, walk: PacketWalk
) -> Iterator[str]:
    """What is wrong with the packets and the structure of a file, and what it states but does not hold."""
    formats = set(container.format.name.split(","))
    if walk.num_corrupt:
        yield clause_of_incomplete(walk.num_corrupt)
    if walk.num_backward:
        yield clause_of_backward(walk.num_backward)
    yield from _stated_but_not_there(container, stream, walk, formats)
    unread = _unread_bytes(container, stream, walk, formats)
    if unread > _GAP_PART * container.size:
        yield f"{unread:,} of its {container.size:,} bytes hold nothing that can be read"
    if "gif" in formats:
        with video.opened() as file:
            yield from filter(None, [check_gif(file, video.size)])
    if "mp4" in formats and stream.frames:
        yield from _unlisted_in_mp4(video, stream, walk)


def clauses_of_numbering(numbering: Numbering, time_base: Fraction) -> Iterator[str]:
    """Frames that are lost between others, and times that cannot be true."""
    if numbering.present is not None:
        lost = np.flatnonzero(~numbering.present)
        seconds = float(numbering.times[lost[0] - 1] * time_base)
        of = f"{len(lost)} of its {len(numbering.present)} frames"
        yield f"{of} {_are(len(lost))} missing in between, the first after {seconds:.2f} s"
    if numbering.jumps:
        yield clause_of_jumps(numbering.jumps)


def clauses_of_damage(damage: Damage) -> Iterator[str]:
    """What was found damaged while the file was read."""
    return clauses_of_counts(damage.places, len(damage.rejected), len(damage.marked))


def clauses_of_counts(places: int, rejected: int, marked: int) -> Iterator[str]:
    """The same from how many there are of what Damage holds."""
    if places:
        yield f"its container is damaged in {_count_of(places, 'place')}"
    if rejected:
        yield f"{_count_of(rejected, 'packet')} cannot be decoded"
    if marked:
        yield f"{_count_of(marked, 'picture')} {_are(marked)} damaged"


def clause_of_backward(num_places: int) -> str:
    """Times that begin anew."""
    return f"its times go back in {_count_of(num_places, 'place')}"


def clause_of_jumps(num_places: int) -> str:
    """Times at which no frame comes for long."""
    return f"its times jump ahead in {_count_of(num_places, 'place')}"


def clause_of_incomplete(num_packets: int) -> str:
    """Packets of which a part is missing."""
    return f"{num_packets} of its packets {_are(num_packets)} incomplete"


def clause_of_length(
    container: av.container.InputContainer,
    stated: StatedLength | None,
    first: float,
    end: float,
    end_of_all: float,
) -> str:
    """What to say if the packets end well before the length that the file states; empty if nothing.

    Args:
        container: The file.
        stated: What it says.
        first, end: When the first packet of the video begins and the last one ends, seconds.
        end_of_all: When the last packet of any stream ends.
    """
    if stated is None or not _FORMATS_WITH_LENGTH.intersection(container.format.name.split(",")):
        return ""
    found = end - (0 if stated.from_zero else first)
    if stated.of_all:
        found = max(found, end_of_all)
    short = is_short_of(found, stated.seconds)
    return f"it states {stated.seconds:.2f} s of video and holds {found:.2f} s" if short else ""


def clause_of_rate(fps: float) -> str:
    """A frame rate that is not believed."""
    return f"it states {fps:,.0f} frames per second, which is not believed"


def clause_of_pixels(pixel_aspect: float) -> str:
    """A shape of pixels that is not believed."""
    return f"it states pixels {pixel_aspect:.3g} times as wide as high, which is not believed"


def clause_of_undecodable(num_lost: int, num_listed: int) -> str:
    """Frames that the file lists and that do not decode."""
    return f"{num_lost} of its {num_listed} frames cannot be decoded"


def _count_of(number: int, what: str) -> str:
    """The number and the noun, in the plural where that is due: "2 frames"."""
    return f"{number} {what}{'s' * (number != 1)}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _stated_but_not_there(
    container: av.container.InputContainer, stream: av.VideoStream, walk: PacketWalk, formats: set[str]
) -> Iterator[str]:
    """The length, or else the number of frames, that the file states and the packets do not come to."""
    length = _missing_length(container, stream, walk)
    if length:
        yield length
    # More than are stated come of a block that stands there twice, or of a second file behind the first.
    elif formats & _FORMATS_WITH_COUNT and stream.frames not in (0, walk.num_packets):
        yield f"it states {stream.frames} frames and holds {walk.num_packets}"
    elif formats & _NEVER_WITHOUT_LENGTH and stream.duration is None:
        yield "its header states no length"


def _missing_length(container: av.container.InputContainer, stream: av.VideoStream, walk: PacketWalk) -> str:
    """What to say if the packets end well before the length that the file states."""
    if not walk.pts:
        return ""
    first, last = (float(time * stream.time_base) for time in (min(walk.pts), max(walk.pts)))
    end = last + float(walk.last_duration * stream.time_base)
    return clause_of_length(container, stated_length(container, stream), first, end, walk.end_of_all)


def _unread_bytes(
    container: av.container.InputContainer, stream: av.VideoStream, walk: PacketWalk, formats: set[str]
) -> int:
    """Bytes of the file that are neither in a packet nor the container's own; 0 where that is not known."""
    if not formats & _FORMATS_WITHOUT_GAPS or walk.begin is None:
        return 0
    unread = walk.gap_bytes
    late = bool(walk.pts) and float(min(walk.pts) * stream.time_base) > _LATE
    # Matroska may have fonts before the first packet; if this comes late too, packets are lost.
    if (formats & _WITHOUT_GAP_BEFORE and walk.begin > GAP_BYTES) or (late and walk.begin > _HEADER_BYTES):
        unread += walk.begin
    if formats & _WITHOUT_GAP_BEHIND and container.size - walk.end > GAP_BYTES:
        unread += container.size - walk.end
    return unread


def _unlisted_in_mp4(video: VideoFile, stream: av.VideoStream, walk: PacketWalk) -> Iterator[str]:
    """Frames of an MP4 that are not shown, or samples that no table lists."""
    # Fewer than are stated are shown where an edit list leaves some out: up to a keyframe, not most of them.
    if len(walk.pts) < _SHOWN_PART * stream.frames:
        yield f"it states {stream.frames} frames and shows {len(walk.pts)}"
        return
    stated = video.boxes.media_bytes if video.boxes else 0
    unread = stated - walk.packet_bytes
    if walk.num_packets >= stream.frames and unread > _UNREAD_PART * stated:
        yield f"{unread:,} of its {stated:,} bytes of media are listed nowhere"
