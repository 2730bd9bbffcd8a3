"""Going once through the packets of a file, and what it states of itself beside what it holds."""

import re
from array import array
from dataclasses import dataclass, field

import av

from slowfast_ext.video.opening import Damage, count_of, decode_packet, packets_of
from slowfast_ext.video.timeline import is_short_of

# Formats that state how long the video is, so that a file which was cut short can be told from a short video.
_FORMATS_WITH_LENGTH = {"mp4", "avi", "matroska", "asf", "flv", "mxf", "rm", "ivf"}
# Those of them that count it from time 0 and not from the first frame.
_LENGTH_FROM_ZERO = {"matroska", "flv"}
# Formats that state how many frames there are; MP4 also counts those that an edit list leaves out.
_FORMATS_WITH_COUNT = {"avi", "ivf"}
# Formats that always state a length, so that one without has a damaged header.
_NEVER_WITHOUT_LENGTH = {"asf"}
# Formats in which one packet follows upon the other, so that bytes between them are lost ones; those of them
# in which the first one also follows upon a short header, and the last one ends the file.
_FORMATS_WITHOUT_GAPS = {"matroska", "flv", "ogg", "ivf"}
_WITHOUT_GAP_BEFORE, _WITHOUT_GAP_BEHIND = {"flv", "ogg", "ivf"}, {"flv", "ivf"}
# Bytes between two packets that may be of the container, and the part of the file that all gaps together may
# come to: text tracks, covers and the like in strange places.
_GAP_BYTES, _GAP_PART = 512, 0.02
_GUESSED_FRAMES = 2
# Bytes of a header before a late first frame that are still no lost frames.
_HEADER_BYTES = 2048
# A first frame later than this, in seconds, is a late one.
_LATE = 0.1


@dataclass
class PacketWalk:
    """Numbers of the packets that are shown, in decoding order: the packets themselves hold the whole file.

    Attributes:
        pts: Presentation times; of those packets that have one.
        seek_to: For each of these a time that seeks to it or earlier: containers index by pts or by dts.
        is_key: For each of these whether decoding can begin there.
        positions: For each of these where in the file it begins, in bytes; -1 where that is not known.
        without_pts: How many packets have no presentation time.
        num_packets: All of the stream, also those that are not shown or not whole.
        num_corrupt: How many packets are incomplete; they are not among the others.
        begin: Where in the file the first packet of any stream begins, bytes; None if not known.
        end: Where the last one ends.
        packet_bytes: Of all packets of all streams.
        gap_bytes: In the file between packets, in gaps too large for what the container itself needs.
        num_backward: How often time goes back in decoding order, as where one file begins behind another.
        last_duration: Of the last packet, in units of the stream.
        first: The first frame that can be decoded, or None.
        end_of_all: When the last packet of any stream ends, seconds.
        damage: What was found on the way.
    """

    pts: array = field(default_factory=lambda: array("q"))
    seek_to: array = field(default_factory=lambda: array("q"))
    is_key: array = field(default_factory=lambda: array("b"))
    positions: array = field(default_factory=lambda: array("q"))
    without_pts: int = 0
    num_packets: int = 0
    num_corrupt: int = 0
    num_backward: int = 0
    last_duration: int = 0
    begin: int | None = None
    end: int = 0
    packet_bytes: int = 0
    gap_bytes: int = 0
    first: av.VideoFrame | None = None
    end_of_all: float = 0.0
    damage: Damage = field(default_factory=Damage)
    _last_dts: int | None = None
    _last_position: int = -1

    def cover(self, packet: av.Packet) -> None:
        """Note where in the file a packet of any stream lies."""
        self.packet_bytes += packet.size
        position = position_of(packet)
        if position < 0 or position == self._last_position:  # of several in one unit of the container
            self.end += packet.size
            return
        if self.begin is None:
            self.begin = self.end = position
        if position - self.end > _GAP_BYTES:
            self.gap_bytes += position - self.end
        self.end = max(self.end, position) + packet.size
        self._last_position = position

    def add(self, packet: av.Packet) -> None:
        """Note one packet of the video."""
        self.num_packets += 1
        if packet.dts is not None:
            # FFmpeg guesses times that MPEG-PS leaves out, and may be a frame or two ahead of the next one.
            slack = _GUESSED_FRAMES * (packet.duration or 0)
            self.num_backward += self._last_dts is not None and packet.dts < self._last_dts - slack
            self._last_dts = packet.dts
        if packet.is_discard:
            return  # decoded but, by an edit list, not shown
        self.last_duration = packet.duration or 0
        if packet.is_corrupt:
            self.num_corrupt += 1
        elif packet.pts is None:
            self.without_pts += 1
        else:
            self.pts.append(packet.pts)
            self.seek_to.append(packet.pts if packet.dts is None else min(packet.pts, packet.dts))
            self.is_key.append(packet.is_keyframe)
            self.positions.append(position_of(packet))


def position_of(packet: av.Packet) -> int:
    """Where in the file a packet begins, in bytes; -1 where that is not known."""
    return -1 if packet.pos is None else packet.pos


def walk_packets(container: av.container.InputContainer, stream: av.VideoStream) -> PacketWalk:
    """Go through the file once; decode until there is a frame."""
    walk = PacketWalk()
    for packet in packets_of(container, None, walk.damage):
        if packet is not None:
            walk.cover(packet)
        if packet is not None and packet.pts is not None and packet.time_base:
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            walk.end_of_all = max(walk.end_of_all, end)
        if packet is not None and packet.stream_index != stream.index:
            continue
        if walk.first is None:
            walk.first = next(iter(decode_packet(stream, packet)), None)
        if packet is not None:
            walk.add(packet)
    return walk


def shortfalls(container: av.container.InputContainer, stream: av.VideoStream, walk: PacketWalk) -> list[str]:
    """Clauses on what the packets lack of what the file states, and on what is wrong with them."""
    clauses = []
    if walk.num_corrupt:
        verb = "is" if walk.num_corrupt == 1 else "are"
        clauses.append(f"{walk.num_corrupt} of its packets {verb} incomplete")
    if walk.num_backward:
        clauses.append(f"its times go back in {count_of(walk.num_backward, 'place')}")
    names = set(container.format.name.split(","))
    length = _length_clause(container, stream, walk) if names & _FORMATS_WITH_LENGTH else ""
    if length:
        clauses.append(length)
    # More than are stated come of a block that stands there twice, or of a second file behind the first.
    elif names & _FORMATS_WITH_COUNT and stream.frames not in (0, walk.num_packets):
        clauses.append(f"it states {stream.frames} frames and holds {walk.num_packets}")
    elif names & _NEVER_WITHOUT_LENGTH and stream.duration is None:
        clauses.append("its header states no length")
    unread = _unread_bytes(container, stream, walk, names)
    if unread > _GAP_PART * container.size:
        clauses.append(f"{unread:,} of its {container.size:,} bytes hold nothing that can be read")
    return clauses


def _unread_bytes(
    container: av.container.InputContainer, stream: av.VideoStream, walk: PacketWalk, names: set[str]
) -> int:
    """Bytes of the file that are neither in a packet nor the container's own; 0 where that is not known."""
    if not names & _FORMATS_WITHOUT_GAPS or walk.begin is None:
        return 0
    unread = walk.gap_bytes
    late = bool(walk.pts) and float(min(walk.pts) * stream.time_base) > _LATE
    # Matroska may have fonts before the first packet; if this comes late too, packets are lost.
    if (names & _WITHOUT_GAP_BEFORE and walk.begin > _GAP_BYTES) or (late and walk.begin > _HEADER_BYTES):
        unread += walk.begin
    if names & _WITHOUT_GAP_BEHIND and container.size - walk.end > _GAP_BYTES:
        unread += container.size - walk.end
    return unread


def _length_clause(container: av.container.InputContainer, stream: av.VideoStream, walk: PacketWalk) -> str:
    """What to say if the packets end well before the length that the file states."""
    if not walk.pts:
        return ""
    from_zero = stream.duration is None and _LENGTH_FROM_ZERO.intersection(container.format.name.split(","))
    since = 0 if from_zero else min(walk.pts)
    found = float((max(walk.pts) + walk.last_duration - since) * stream.time_base)
    tag = _seconds(stream.metadata.get("DURATION", ""))
    if stream.duration is not None:
        stated = float(stream.duration * stream.time_base)
    elif container.duration is not None and len(container.streams) == 1:
        stated = container.duration / av.time_base
    elif tag is not None:
        stated = tag  # Matroska's, of this stream
    elif container.duration is not None:
        # The container's length is that of its longest stream.
        stated, found = container.duration / av.time_base, max(found, walk.end_of_all)
    else:
        return ""
    return f"it states {stated:.2f} s of video and holds {found:.2f} s" if is_short_of(found, stated) else ""


def _seconds(text: str) -> float | None:
    """Seconds of "00:00:02.005000000"."""
    found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", text)
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else None
