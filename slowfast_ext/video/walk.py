"""Going once through the packets of a file, and how long the file says that its video is."""

import re
from array import array
from dataclasses import dataclass, field

import av

from slowfast_ext.video.opening import Damage, decode_packet, packets_of

# Formats that count the length of the video from time 0 and not from the first frame.
_LENGTH_FROM_ZERO = {"matroska", "flv"}
# Bytes between two packets that may be of the container.
GAP_BYTES = 512
# Frames that FFmpeg's guess of a time may be ahead of the next one.
_GUESSED_FRAMES = 2


@dataclass
class PacketWalk:
    """What is noted of the packets, in decoding order; to keep the packets would be to keep the whole file.

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
        if position - self.end > GAP_BYTES:
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


@dataclass(frozen=True)
class StatedLength:
    """How long a file says that its video is.

    Attributes:
        seconds: The length.
        from_zero: Whether it is counted from time 0 and not from the first frame.
        of_all: Whether it is that of the longest stream, whichever that is.
    """

    seconds: float
    from_zero: bool
    of_all: bool = False


def stated_length(container: av.container.InputContainer, stream: av.VideoStream) -> StatedLength | None:
    """How long a file says that its video is; None if it does not say."""
    if stream.duration is not None:
        return StatedLength(float(stream.duration * stream.time_base), from_zero=False)
    from_zero = bool(_LENGTH_FROM_ZERO.intersection(container.format.name.split(",")))
    if container.duration is not None and len(container.streams) == 1:
        return StatedLength(container.duration / av.time_base, from_zero)
    tag = _seconds(stream.metadata.get("DURATION", ""))  # Matroska's, of this stream
    if tag is not None:
        return StatedLength(tag, from_zero)
    if container.duration is not None:
        return StatedLength(container.duration / av.time_base, from_zero, of_all=True)
    return None


def _seconds(text: str) -> float | None:
    """Seconds of "00:00:02.005000000"."""
    found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", text)
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else None
