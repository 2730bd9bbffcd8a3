"""Files that once got through, ended a run, led elsewhere or asked for gigabytes."""

import http.server
import os
import struct
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from data_config import make_data_config
from PIL import Image
from videos import make_video, paint, read_number, read_numbers

from slowfast_ext.data.dataset import Vtnkinetics
from slowfast_ext.data.ledger import FAILED, REPAIRED, USED, decode_outcomes
from slowfast_ext.data.loader import VideoLoader, VideoSampler
from slowfast_ext.prepare.process import Work, process_video
from slowfast_ext.video import VideoError, VideoReader, decoding, opening, probing
from slowfast_ext.video.decoding import decode_frames, repair_video
from slowfast_ext.video.file import VideoFile
from slowfast_ext.video.gif_blocks import check_gif
from slowfast_ext.video.missing import clauses_of_damage
from slowfast_ext.video.opening import Damage
from slowfast_ext.video.probing import probe_video

ODD = Path(__file__).resolve().parents[2] / "data" / "odd_videos"


def outcome_of(path: Path, folder: Path, mode: str = "val") -> tuple[str, str]:
    """What the data set says of one file."""
    (folder / f"{mode}.csv").write_text(f"{path} 0\n")
    cfg = make_data_config(folder)
    cfg.TRAIN.EVAL_FULL_VIDEO = True
    *_, meta = Vtnkinetics(cfg, mode)[0]
    return decode_outcomes({key: value[None] for key, value in meta.items()})[0]


def test_every_odd_file_is_repaired_with_a_reason(tmp_path):
    names = sorted(os.listdir(ODD))
    assert len(names) == 7
    for name in names:
        listed = process_video(str(ODD / name), Work("full"))
        assert (listed.reason, bool(listed.missing)) == ("", True), name
        # A training clip of the fourth one comes from a part that is whole.
        for mode in ("val",) if name == "fz412.mov" else ("train", "val"):
            outcome, reason = outcome_of(ODD / name, tmp_path, mode)
            assert outcome == REPAIRED, (name, mode)
            assert len(reason.split()) > 3


@pytest.mark.parametrize("num_workers", [0, 2])
def test_odd_files_do_not_end_an_epoch(tmp_path, num_workers):
    paths = [make_video(tmp_path / f"{number}.mp4", 20) for number in range(4)]
    rows = [str(path) for pair in zip(paths, sorted(ODD.iterdir()), strict=False) for path in pair]
    (tmp_path / "train.csv").write_text("".join(f"{path} 0\n" for path in rows))
    dataset = Vtnkinetics(make_data_config(tmp_path), "train")
    sampler = VideoSampler(dataset, shuffle=True, seed=0)
    loader = VideoLoader(dataset, sampler, batch_size=2, train=True, num_workers=num_workers)
    assert len(list(loader)) == 4
    assert loader.ledger.count(USED) == 4
    assert loader.ledger.count(REPAIRED) == 4


def test_whatever_is_raised_for_one_file_is_its_failure(tmp_path, monkeypatch):
    """Not a list of exceptions: one that nobody has seen yet is a failure of that file, too."""
    path = make_video(tmp_path / "video.mp4", 20)

    class Unheard(Exception):
        """Never raised by PyAV so far."""

    def raises(*args, **kwargs):
        raise Unheard("of")

    monkeypatch.setattr(opening.av, "open", raises)
    with pytest.raises(VideoError, match=r"video\.mp4 cannot be read \(Unheard: of\)"):
        probe_video(path)
    assert outcome_of(path, tmp_path)[0] == FAILED


def test_a_frame_that_cannot_be_converted_is_lost_alone():
    info = probe_video(ODD / "fz412.mov")
    repaired = repair_video(ODD / "fz412.mov", info)
    assert (repaired.num_frames, len(repaired.decodable)) == (48, 46)
    assert "2 of its 48 frames cannot be decoded" in repaired.missing


@pytest.mark.parametrize(("name", "lost"), [("gap782.webm", 28), ("gap814.mkv", 17)])
def test_frames_behind_a_hole_keep_their_numbers(name, lost):
    """The painted number is that of the undamaged video."""
    reader = VideoReader(ODD / name)
    assert (reader.num_frames, reader.fps) == (48, 25.0)
    assert f"{lost} of its 48 frames are missing in between" in reader.missing
    there = reader.info.decodable
    assert len(there) == 48 - lost
    painted = [_painted(picture) for picture in reader.read(there).numpy()]
    assert sum(number == place for number, place in zip(painted, there, strict=True)) > 0.6 * len(there)
    assert all(number in (place, None) for number, place in zip(painted, there, strict=True))
    gone = sorted(set(range(48)) - set(there))
    assert all(int(reader.on_screen([number])) == max(n for n in there if n < number) for number in gone)


def _painted(picture: np.ndarray) -> int | None:
    try:
        return read_number(picture)
    except ValueError:
        return None


@pytest.mark.parametrize("aspect", [Fraction(1_000_000), Fraction(1, 1_000_000)])
def test_absurd_pixels_are_taken_for_square(tmp_path, aspect):
    path = make_video(tmp_path / "video.mp4", 20, pixel_aspect=Fraction(1))
    data = path.read_bytes()
    pasp = b"pasp" + struct.pack(">II", 1, 1)
    assert pasp in data
    path.write_bytes(data.replace(pasp, b"pasp" + struct.pack(">II", aspect.numerator, aspect.denominator)))
    info = probe_video(path)
    assert info.pixel_aspect == 1.0
    assert info.missing.endswith("times as wide as high, which is not believed")
    outcome, reason = outcome_of(path, tmp_path)
    assert (outcome, "not believed" in reason) == (REPAIRED, True)


def test_a_long_narrow_picture_is_refused(tmp_path):
    path = make_video(tmp_path / "line.mp4", 5, size=(1040, 32))
    with pytest.raises(
        VideoError, match=r"line\.mp4 has pictures of 1040 x 32 pixels; one side may be at most 32"
    ):
        probe_video(path)


def test_huge_pictures_are_not_decoded(tmp_path, monkeypatch):
    path = make_video(tmp_path / "video.mov", 5, size=(96, 64), codec="png", pix_fmt="rgb24")
    monkeypatch.setattr(opening, "MOST_PIXELS", 96 * 64 - 1)
    limits = {"max_pixels": str(opening.MOST_PIXELS)}
    monkeypatch.setattr(opening, "SAFE_OPTIONS", opening.SAFE_OPTIONS | limits)
    monkeypatch.setattr(opening, "_DECODER_OPTIONS", limits)
    monkeypatch.setattr(probing, "MOST_PIXELS", opening.MOST_PIXELS)
    with pytest.raises(
        VideoError,
        match=r"video\.mov can be decoded: its pictures are damaged, or have more than 6,143 pixels",
    ):
        probe_video(path)


@pytest.mark.parametrize(
    ("box", "offset", "claim"),
    [
        (b"stsz", 8, struct.pack(">II", 1, 30_000_000)),
        (b"stts", 12, struct.pack(">I", 30_000_000)),
        (b"stsc", 8, struct.pack(">I", 30_000_000)),
    ],
)
def test_claims_of_a_header_are_checked_before_memory_is_asked_for(tmp_path, box, offset, claim):
    path = make_video(tmp_path / "video.mp4", 20)
    assert VideoFile(path).boxes.problem == ""
    data = bytearray(path.read_bytes())
    place = data.index(box) + offset
    data[place : place + len(claim)] = claim
    path.write_bytes(data)
    with pytest.raises(VideoError, match=rf"its header \(box {box.decode()}\) claims 30,000,000 entries"):
        probe_video(path)


def test_fragments_are_told_from_one_table(tmp_path):
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    parts = make_video(tmp_path / "parts.mp4", 20, container_options=fragments)
    assert VideoFile(parts).boxes.is_fragmented
    assert not VideoFile(make_video(tmp_path / "whole.mp4", 20)).boxes.is_fragmented
    assert VideoFile(make_video(tmp_path / "other.mkv", 20)).boxes is None


def test_a_fragment_that_is_gone_leaves_a_hole(tmp_path):
    """60 frames in fragments of 12; the third one, with its moof and mdat, is cut out."""
    path = make_video(
        tmp_path / "parts.mp4",
        60,
        fps=25,
        container_options={"movflags": "frag_keyframe+empty_moov+default_base_moof"},
    )
    data = path.read_bytes()
    starts = [place - 4 for place in range(len(data)) if data[place : place + 4] == b"moof"]
    assert len(starts) == 5
    end = data.index(b"mfra") - 4  # an index of the fragments, whose places would be wrong
    path.write_bytes(data[: starts[2]] + data[starts[3] : end])
    info = probe_video(path)
    assert "12 of its 60 frames are missing in between, the first after 0.92 s" in info.missing
    assert info.decodable == [*range(24), *range(36, 60)]
    painted = [read_number(picture.numpy()) for _, picture in decode_frames(path, [0, 23, 36, 59], info)]
    assert painted == [0, 23, 36, 59]


@pytest.mark.parametrize("name", ["list.mp4", "list.ffconcat", "list.txt"])
def test_a_list_of_files_is_not_followed(tmp_path, name):
    make_video(tmp_path / "secret.mp4", 20)
    path = tmp_path / name
    path.write_text("ffconcat version 1.0\nfile secret.mp4\n")
    with pytest.raises(VideoError, match="is in no video container"):
        probe_video(path)


def test_numbered_pictures_are_not_followed(tmp_path):
    for number in (1, 2, 3):
        Image.fromarray(paint(number, (96, 64))).save(tmp_path / f"img{number:03d}.png")
    path = tmp_path / "img%03d.png"
    path.write_text("a file of this name is there")
    with pytest.raises(VideoError, match="is in no video container"):
        probe_video(path)


def test_no_playlist_leads_to_a_server(tmp_path):
    """A playlist that names a server on this machine: nobody asks the server."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *args):
            """Nothing on the screen."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/video.ts"
    try:
        for name, text in (
            ("a.m3u8", f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\n{url}\n#EXT-X-ENDLIST\n"),
            ("b.mp4", f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\n{url}\n#EXT-X-ENDLIST\n"),
            ("c.ffconcat", f"ffconcat version 1.0\nfile {url}\n"),
            (
                "d.sdp",
                "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
            ),
        ):
            (tmp_path / name).write_text(text)
            with pytest.raises(VideoError):
                probe_video(tmp_path / name)
    finally:
        server.shutdown()
        server.server_close()
    assert asked == []


def test_a_gif_that_breaks_off_says_so(tmp_path):
    path = make_video(tmp_path / "video.gif", 20, codec="gif", pix_fmt="rgb8")
    with path.open("rb") as file:
        assert check_gif(file, path.stat().st_size) == ""
    assert probe_video(path).missing == ""
    data = bytearray(path.read_bytes())
    half = len(data) // 2
    data[half : half + 400] = bytes(400)
    path.write_bytes(data)
    assert "the chain of its blocks breaks after" in probe_video(path).missing


def test_damaged_pictures_are_counted(tmp_path):
    """An MPEG-4 AVI whose packets 15 and 16 are overwritten behind their headers."""
    import av

    path = make_video(tmp_path / "video.avi", 40, codec="mpeg4", size=(192, 128))
    whole = VideoReader(path).read(range(40)).numpy()
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for position, size in packets[15:17]:
        data[position + 20 : position + size] = bytes(range(1, 200))[: size - 20]
    path.write_bytes(data)
    reader = VideoReader(path)
    assert reader.missing == ""  # of pictures nothing is known before they are decoded
    pictures = reader.read(range(40)).numpy()
    wrong = [n for n in range(40) if np.abs(pictures[n].astype(int) - whole[n]).mean() > 2]
    assert min(wrong) in (15, 16)
    assert "pictures are damaged" in reader.missing or "picture is damaged" in reader.missing
    listed = process_video(str(path), Work("full"))
    assert "damaged" in listed.missing
    # A clip from before the damage is whole, and says nothing.
    damage = Damage()
    info = probe_video(path)
    assert read_numbers(
        np.stack([p.numpy().copy() for _, p in decode_frames(path, [0, 5], info, damage)])
    ) == [0, 5]
    assert list(clauses_of_damage(damage)) == []


def test_a_seek_that_leads_elsewhere_is_not_trusted(tmp_path, monkeypatch):
    """The index of the file names other places than those at which reading in order met the packets."""
    path = make_video(tmp_path / "video.mkv", 48, options={"g": "12", "bf": "0"})
    info = probe_video(path)
    honest = decoding.position_of
    moved = int(info.positions[30])
    sought = []

    def lie(packet):
        if packet.pts == info.pts[30] and not sought:
            sought.append(packet.pts)
            return moved + 1
        return honest(packet)

    monkeypatch.setattr(decoding, "position_of", lie)
    pictures = dict(decode_frames(path, [30], info))
    assert sought
    assert read_number(pictures[30].numpy()) == 30


def test_two_files_behind_each_other_are_told(tmp_path):
    one = make_video(tmp_path / "one.ts", 40, options={"bf": "0"})
    path = tmp_path / "both.ts"
    path.write_bytes(one.read_bytes() * 2)
    assert "its times go back in" in probe_video(path).missing


def test_a_quarter_of_a_transport_stream_can_be_gone(tmp_path):
    path = make_video(tmp_path / "video.ts", 100, options={"bf": "0"})
    data = bytearray(path.read_bytes())
    begin = len(data) * 3 // 8
    data[begin : begin + len(data) // 4] = bytes(len(data) // 4)
    path.write_bytes(data)
    reader = VideoReader(path)
    assert reader.missing
    there = reader.info.decodable
    assert len(there) > 40
    painted = read_numbers(reader.read([0, there[len(there) // 4], 99]).numpy())
    assert painted[0] == 0
    assert painted[2] == 99


def test_numbers_of_an_unbelievable_rate(tmp_path):
    path = make_video(tmp_path / "video.avi", 20, codec="mpeg4", fps=25)
    data = bytearray(path.read_bytes())
    place = data.index(b"strh") + 8 + 20  # dwScale, then dwRate
    scale, rate = struct.unpack("<II", data[place : place + 8])
    assert rate == 25 * scale
    data[place : place + 8] = struct.pack("<II", 1, 8_000_000)
    path.write_bytes(data)
    info = probe_video(path)
    assert info.fps == 25.0
    assert "8,000,000 frames per second, which is not believed" in info.missing


def test_shown_numbers_stay_inside(tmp_path):
    info = probe_video(ODD / "gap814.mkv")
    shown = info.on_screen(torch.arange(48))
    assert set(shown.tolist()) == set(info.decodable)
