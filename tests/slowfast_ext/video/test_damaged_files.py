"""Files that are cut short or overwritten: what can be decoded is delivered, and what is missing is said."""

import os
import struct

import pytest
import torch
from videos import make_video, overwrite_packets, read_number, read_numbers

from slowfast_ext.video.decoding import MissingFrames, decode_frames, read_frames, repair_video
from slowfast_ext.video.opening import VideoError
from slowfast_ext.video.probing import probe_video


def numbers(path, indices, info=None):
    return read_numbers(read_frames(path, indices, info).numpy())


def test_a_length_that_the_packets_do_not_reach_is_said(tmp_path):
    """A whole Matroska file whose header says 68.27 s, not 1.333; element 4489 is the duration in ms."""
    path = make_video(tmp_path / "video.mkv", 40)
    data = path.read_bytes()
    stated = b"\x44\x89\x88" + struct.pack(">d", 1333)
    assert stated in data
    path.write_bytes(data.replace(stated, stated[:3] + struct.pack(">d", 68270)))
    info = probe_video(path)
    assert info.missing == "it states 68.27 s of video and holds 1.33 s"
    assert numbers(path, range(40), info) == list(range(40))


@pytest.mark.parametrize(
    ("name", "codec"),
    [("cut.mp4", "libx264"), ("cut.mkv", "libx264"), ("cut.avi", "mpeg4"), ("cut.webm", "libvpx-vp9")],
)
def test_a_broken_tail(tmp_path, name, codec):
    """60 percent of a file whose index comes first: what is left is delivered, and what is not is said."""
    options = {"movflags": "faststart"} if name.endswith("mp4") else {}
    path = make_video(tmp_path / name, 100, codec=codec, container_options=options)
    os.truncate(path, int(path.stat().st_size * 0.6))
    info = probe_video(path)
    assert 20 < info.num_frames < 80
    assert "holds" in info.missing or "incomplete" in info.missing
    # By their times: of the last frames, one that others refer to may be there, and one shown before it not.
    there = info.decodable
    assert numbers(path, there, info) == [round(t * info.time_base * 30) for t in info.pts[there]]


def test_a_broken_tail_where_no_length_is_stated(tmp_path):
    path = make_video(tmp_path / "cut.ts", 100, options={"bf": "0"})
    os.truncate(path, int(path.stat().st_size * 0.6))
    info = probe_video(path)
    assert 20 < info.num_frames < 80
    assert info.missing == ""
    assert numbers(path, range(info.num_frames), info) == list(range(info.num_frames))


def test_last_packet_is_cut(tmp_path):
    path = make_video(tmp_path / "cut.mp4", 100, container_options={"movflags": "faststart"})
    os.truncate(path, path.stat().st_size - 3)
    info = probe_video(path)
    assert (info.num_frames, info.missing) == (99, "1 of its packets is incomplete")
    assert numbers(path, range(98), info) == list(range(98))


def test_index_at_the_end_is_cut_off(tmp_path):
    path = make_video(tmp_path / "cut.mp4", 100)
    os.truncate(path, int(path.stat().st_size * 0.6))
    with pytest.raises(
        VideoError, match=r"cut\.mp4 cannot be decoded as a video: its index \(box moov\) is missing"
    ):
        probe_video(path)


@pytest.mark.parametrize("name", ["video.mp4", "video.mkv"])
def test_frames_that_are_broken_in_the_middle_are_left_out(tmp_path, name):
    """Each frame is a keyframe, so exactly those that are overwritten are lost."""
    path = make_video(tmp_path / name, 40, options={"g": "1", "bf": "0"})
    overwrite_packets(path, {11, 12, 30})
    info = probe_video(path)
    assert (info.num_frames, info.missing) == (40, "")
    whole = [number for number in range(40) if number not in (11, 12, 30)]
    frames = decode_frames(path, range(40), info)
    assert [read_number(next(frames)[1].numpy()) for _ in whole] == whole
    with pytest.raises(MissingFrames, match=rf"{name} is truncated or damaged: .* frame 11 cannot be"):
        next(frames)

    repaired = repair_video(path, info)
    assert (repaired.num_frames, repaired.missing) == (40, "3 of its 40 frames cannot be decoded")
    assert repaired.decodable == whole
    assert numbers(path, whole, repaired) == whole
    # All others keep their numbers, and in the place of a lost one comes the one before it.
    assert repaired.on_screen(torch.tensor([10, 11, 12, 13, 30, 39])).tolist() == [10, 10, 10, 13, 29, 39]


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9"])
def test_a_broken_keyframe_does_not_touch_other_groups(tmp_path, codec):
    """Keyframes come every 12 frames; the one of the second group is overwritten."""
    path = make_video(tmp_path / "video.mkv", 48, codec=codec, options={"bf": "0"})
    overwrite_packets(path, {12})
    info = repair_video(path, probe_video(path))
    assert info.num_frames == 48
    assert 36 <= len(info.decodable) < 48
    assert info.missing == f"{48 - len(info.decodable)} of its 48 frames cannot be decoded"
    others = [*range(12), *range(24, 48)]
    assert numbers(path, others, info) == others
    assert numbers(path, [47], info) == [47]


def test_repairing_adds_to_what_was_missing(tmp_path):
    path = make_video(
        tmp_path / "video.mp4",
        40,
        options={"g": "1", "bf": "0"},
        container_options={"movflags": "faststart"},
    )
    overwrite_packets(path, {5})
    os.truncate(path, path.stat().st_size - 3)
    info = repair_video(path, probe_video(path))
    assert info.missing == "1 of its packets is incomplete; 1 of its 39 frames cannot be decoded"
    assert numbers(path, info.decodable, info) == [number for number in range(39) if number != 5]


@pytest.mark.parametrize("name", ["video.mkv", "video.webm"])
@pytest.mark.parametrize("part", [0.4, 0.8])
def test_a_cut_matroska_file_with_sound_says_so(tmp_path, name, part):
    """The container's length is the sound's there; the video's own is in a tag."""
    codec = {"codec": "libvpx", "options": {"cpu-used": "8"}} if name.endswith("webm") else {}
    sound = {} if name.endswith("webm") else {"with_audio": True}  # aac does not go into webm
    path = make_video(tmp_path / name, 60, **sound, **codec)
    assert probe_video(path).missing == ""
    os.truncate(path, int(path.stat().st_size * part))
    info = probe_video(path)
    assert info.num_frames < 58
    assert info.missing.startswith("it states 2.0")


def test_a_late_start_is_not_taken_for_a_cut(tmp_path):
    path = make_video(tmp_path / "video.mkv", 30, times=[3000 + 33 * k for k in range(30)])
    assert probe_video(path).missing == ""


def test_repairing_what_is_whole_changes_nothing(tmp_path):
    path = make_video(tmp_path / "video.mkv", 30)
    info = probe_video(path)
    repaired = repair_video(path, info)
    assert (repaired.num_frames, repaired.missing) == (30, "")
    assert (repaired.pts == info.pts).all()
    assert (repaired.keyframes == info.keyframes).all()


def test_where_the_only_keyframe_is_lost_what_the_decoder_gives_is_delivered(tmp_path):
    """An MPEG-4 decoder goes on without the picture that the others refer to."""
    path = make_video(tmp_path / "video.mkv", 30, codec="mpeg4", options={"g": "100"})
    overwrite_packets(path, {0})
    info = repair_video(path, probe_video(path))
    assert 0 < len(info.decodable) < 30
    assert len(read_frames(path, info.decodable, info)) == len(info.decodable)
    assert len(read_frames(path, info.decodable[-1:], info)) == 1


def test_repairing_what_cannot_be(tmp_path):
    path = make_video(tmp_path / "video.mkv", 20, options={"bf": "0"})
    info = probe_video(path)
    overwrite_packets(path, set(range(20)))
    with pytest.raises(VideoError, match=r"No frame of .*video\.mkv can be decoded"):
        repair_video(path, info)
