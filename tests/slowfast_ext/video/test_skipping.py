"""Files in which leaving out frames, or seeking, would go wrong: right frames, and none decoded twice.

A frame that a shortcut misses is found in the end by reading all of the file, so a wrong shortcut shows in
the number of packets that the decoder is fed, not in the pictures.
"""

import av
import pytest
from field_pictures import make_field_video
from videos import make_video, read_numbers

from slowfast_ext.video import decoding
from slowfast_ext.video.decoding import read_frames, repair_video
from slowfast_ext.video.probing import probe_video


@pytest.fixture
def fed(monkeypatch):
    """Packets that the decoder is fed while frames are read."""
    packets, original = [], decoding.decode_packet

    def spy(stream, packet, *more):
        packets.append(packet)
        return original(stream, packet, *more)

    monkeypatch.setattr(decoding, "decode_packet", spy)
    return packets


def _read_one(path, index, info, fed) -> int:
    """Read one frame, by its painted number; returns how many packets that took."""
    fed.clear()
    assert read_numbers(read_frames(path, [index], info).numpy()) == [index]
    return len(fed)


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    """HEVC in three temporal layers, 60 frames: 0, 4, 8 ...; 2, 6, 10 ...; and the odd ones.

    Those of the second layer are marked as no reference for their own layer, which they are not; x265 does
    not mark them, but other encoders may. The third layer refers to them all the same.
    """
    layers = "temporal-layers=3:bframes=3:b-adapt=0:b-pyramid=1:ref=1:scenecut=0:open-gop=0:log-level=none"
    path = make_video(
        tmp_path_factory.mktemp("layers") / "layers.mp4",
        60,
        codec="libx265",
        options={"g": "60", "x265-params": layers},
    )
    data, marked = bytearray(path.read_bytes()), 0
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            at, content = 0, bytes(packet)
            while at < len(content):  # units with their length in front, then type and layer
                kind, layer = content[at + 4] >> 1 & 63, (content[at + 5] & 7) - 1
                if kind in (1, 3, 5) and layer == 1:  # references of trailing pictures
                    data[packet.pos + at + 4] -= 2
                    marked += 1
                at += 4 + int.from_bytes(content[at : at + 4], "big")
    assert marked >= 12
    path.write_bytes(data)
    return path


def test_in_hevc_a_frame_marked_as_no_reference_may_be_one_for_a_higher_layer(layers, fed):
    info = probe_video(layers)
    for index in (1, 21, 41, 43):
        assert _read_one(layers, index, info, fed) <= index + 10


def test_the_second_field_of_a_frame_in_a_packet_of_its_own_is_decoded(tmp_path, fed):
    """Keyframes come every ten frames, one packet each; the other frames take two."""
    path = make_field_video(tmp_path / "fields.ts", 40)
    info = repair_video(path, probe_video(path))  # the second fields are taken for frames at first
    with av.open(str(path)) as container:
        times = [frame.pts for frame in container.decode(video=0)]
    assert len(times) == 40
    for index in (1, 17, 33):
        fed.clear()
        (number,) = info.pts.searchsorted(times[index : index + 1])
        assert read_numbers(read_frames(path, [int(number)], info).numpy()) == [index]
        assert len(fed) <= 2 * 10 + 3


def test_an_index_that_leads_too_far_is_not_followed(tmp_path, fed):
    """In the file's index the second keyframe, frame 12, has the place of the sixth, frame 60."""
    path = make_video(
        tmp_path / "index.mkv", 120, options={"bf": "0"}, container_options={"cluster_time_limit": "300"}
    )
    info, data = probe_video(path), bytearray(path.read_bytes())
    # For each keyframe: CuePoint, CueTime, CueTrackPositions, CueTrack, CueClusterPosition and its length.
    cues = data.index(b"\x1c\x53\xbb\x6b")
    places, at = [], cues
    while (at := data.find(b"\xf7\x81\x01\xf1", at)) >= 0:
        size = data[at + 4] & 0x7F
        places.append(slice(at + 5, at + 5 + size))
        at += 5 + size
    assert len(places) == 10
    size = places[1].stop - places[1].start
    data[places[1]] = int.from_bytes(data[places[5]], "big").to_bytes(size, "big")
    path.write_bytes(data)
    assert _read_one(path, 70, info, fed) <= 20  # the rest of the index is right
    assert _read_one(path, 15, info, fed) <= 25
