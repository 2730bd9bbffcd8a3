"""Items of `vtnsegments`: whole videos in every split, segments in frames, videos that are too short."""

import json
from fractions import Fraction

import pytest
import torch
from torch.utils.data import DataLoader
from videos import make_video, read_numbers

from slowfast_ext.data.dataset import Vtnkinetics
from slowfast_ext.data.ledger import decode_outcomes
from slowfast_ext.data.segment_videos import Vtnsegments
from vtn.errors import InputError

CLASSES = ("jump", "run", "fall")


@pytest.fixture
def cfg(data_cfg, tmp_path):
    """a: 40 frames at 30 fps, two segments; b: 25 frames at 25 fps, one that ends a little late."""
    make_video(tmp_path / "a.mp4", 40)
    make_video(tmp_path / "b.mp4", 25, fps=25, size=(64, 96))
    for mode in ("train", "val", "test"):
        (tmp_path / f"{mode}.csv").write_text("a.mp4 2\nb.mp4 1\n")
    (tmp_path / "classes.txt").write_text("jump\nrun\nfall\n")
    write(tmp_path, a=[(0.9, 1.25, 0), (0.1, 0.8, 2)], b=[(0.5, 1.3, 1)])
    data_cfg.MODEL.NUM_CLASSES = 3
    data_cfg.TRAIN.EVAL_FULL_VIDEO = True
    data_cfg.TEST.NUM_SPATIAL_CROPS = 1
    return data_cfg


def write(folder, **videos):
    """segments.json, without the durations of the videos."""
    database = {
        f"{name}.mp4": {
            "annotations": [{"segment": [begin, end], "label": CLASSES[label]} for begin, end, label in rows]
        }
        for name, rows in videos.items()
    }
    (folder / "segments.json").write_text(json.dumps({"database": database}))


def outcome(item):
    return decode_outcomes({key: item[4][key][None] for key in ("outcome", "reason")})[0]


@pytest.mark.parametrize(
    ("mode", "num_frames", "size"), [("train", 4, 56), ("val", 10, 56), ("test", 10, 60)]
)
def test_every_split_sees_the_whole_video(cfg, mode, num_frames, size):
    dataset = Vtnsegments(cfg, mode)
    assert (len(dataset), dataset.labels) == (2, [2, 1])
    (frames, frame_indices), label, index, time, meta = dataset[0]
    # 39 * i // (T - 1), by hand.
    wanted = {4: [0, 13, 26, 39], 10: [0, 4, 8, 13, 17, 21, 26, 30, 34, 39]}[num_frames]
    assert frame_indices.tolist() == wanted
    assert frames.shape == (1, 3, num_frames, size, size)
    assert (label, index, time.tolist()) == (2, 0, [[0, 39, 0]])
    assert outcome(dataset[0]) == ("used", "")
    # Seconds times 30, by their beginning; 1.25 s are 37.5 frames.
    assert meta["segments"].dtype == meta["video"].dtype == torch.float64
    torch.testing.assert_close(
        meta["segments"], torch.tensor([[3, 24, 2], [27, 37.5, 0]], dtype=torch.float64)
    )
    assert meta["video"].tolist() == [40, 30]
    # Seconds times 25; what ends after the last frame ends with it, and there is no second segment.
    assert dataset[1][4]["segments"].tolist() == [[12.5, 25, 1], [0, 0, -1]]
    assert dataset[1][4]["video"].tolist() == [25, 25]


def test_the_painted_frames_are_those_of_the_numbers(cfg):
    (frames, frame_indices), *_ = Vtnsegments(cfg, "val")[0]
    assert read_numbers(frames.pixels[frames.index[0]].numpy(), 64) == frame_indices.tolist()


def test_training_draws_crops_as_ever_and_no_places_in_time(cfg):
    dataset = Vtnsegments(cfg, "train")
    first = dataset[0]
    dataset.set_epoch(1)
    second = dataset[0]
    assert torch.equal(first[0][1], second[0][1])
    assert not torch.equal(first[0][0].pixels, second[0][0].pixels)
    dataset.set_epoch(0)
    assert torch.equal(first[0][0].pixels, dataset[0][0][0].pixels)
    assert not Vtnkinetics(cfg, "train")._full_video


def test_batches_have_one_shape_per_list(cfg):
    batch = next(iter(DataLoader(Vtnsegments(cfg, "val"), batch_size=2)))
    assert batch[4]["segments"].shape == (2, 2, 3)
    assert batch[4]["video"].tolist() == [[40, 30], [25, 25]]
    cfg.AUG.NUM_SAMPLE = 3
    *_, meta = Vtnsegments(cfg, "train")[1]
    assert meta["segments"].shape == (3, 2, 3)
    assert meta["video"].tolist() == [[25, 25]] * 3
    cfg.TEST.NUM_SPATIAL_CROPS = 3
    dataset = Vtnsegments(cfg, "test")
    views = [dataset[index][4] for index in range(6)]
    assert [int(view["segments"][0, 2]) for view in views] == [2, 2, 2, 1, 1, 1]


@pytest.mark.parametrize("mode", ["train", "val", "test"])
@pytest.mark.parametrize(
    ("rows", "span"),
    [([(0.1, 0.2, 1), (1.0, 1.2, 1)], "1 to 1.2"), ([(0.5, 1.51, 1)], "0.5 to 1.51")],
    ids=["begins after the end", "ends far beyond it"],
)
def test_a_video_that_is_too_short_fails_and_says_so(cfg, tmp_path, mode, rows, span):
    write(tmp_path, a=[(0.1, 0.8, 2)], b=rows)
    dataset = Vtnsegments(cfg, mode)
    item = dataset[1]
    assert outcome(item) == (
        "failed",
        f"{tmp_path}/b.mp4: its segment from {span} s does not fit into the 1.00 s that can be read.",
    )
    assert not item[0][0].pixels.any()
    assert item[4]["segments"].tolist() == [[0, 0, -1]] * len(rows)
    assert item[4]["video"].tolist() == [0, 0]
    # What was found of one video is not told of the next.
    assert outcome(dataset[0])[0] == "used"
    assert dataset[0][4]["video"].tolist() == [40, 30]


def test_a_video_that_cannot_be_read_has_no_segments(cfg, tmp_path):
    dataset = Vtnsegments(cfg, "val")
    assert dataset[0][4]["video"].tolist() == [40, 30]
    (tmp_path / "b.mp4").write_bytes(b"")
    *_, meta = item = dataset[1]
    assert outcome(item)[0] == "failed"
    assert (meta["segments"].tolist(), meta["video"].tolist()) == ([[0, 0, -1]] * 2, [0, 0])


def test_numbers_of_frames_are_times_where_frames_do_not_come_evenly(cfg, tmp_path):
    """20 frames in the first second and 6 in the last: halfway in time are the frames of 1 s."""
    times = [*range(0, 1000, 50), *range(1000, 2001, 200)]
    make_video(tmp_path / "a.mp4", len(times), times=times)
    write(tmp_path, a=[(1.0, 1.9, 0)], b=[(0.5, 0.9, 1)])
    (frames, numbers), *_, meta = Vtnsegments(cfg, "val")[0]
    num_frames, fps = meta["video"].tolist()
    assert num_frames == 26
    assert fps == pytest.approx(25 / 2.0, rel=0.01)
    assert numbers.tolist() == [0, 2, 5, 8, 11, 13, 16, 19, 22, 25]
    shown = read_numbers(frames.pixels[frames.index[0]].numpy(), 64)
    # Each shows the last picture that has come by then; number k stands for k / fps seconds.
    wanted = [
        max(n for n, time in enumerate(times) if time / 1000 <= k / 12.5 + 1e-3) for k in numbers.tolist()
    ]
    assert shown == wanted
    inside = (numbers >= meta["segments"][0, 0]) & (numbers < meta["segments"][0, 1])
    assert [times[n] >= 1000 for n in shown[:-1]] == inside[:-1].tolist()


def test_odd_rates(cfg, tmp_path):
    make_video(tmp_path / "a.mp4", 60, fps=Fraction(30000, 1001))
    write(tmp_path, a=[(1.001, 2.002, 0)], b=[(0.5, 0.9, 1)])
    *_, meta = Vtnsegments(cfg, "val")[0]
    torch.testing.assert_close(meta["segments"], torch.tensor([[30.0, 60.0, 0]], dtype=torch.float64))


def test_files_given_by_hand_have_no_segments(cfg, tmp_path):
    dataset = Vtnsegments(cfg, "val", [str(tmp_path / "b.mp4")])
    *_, meta = dataset[0]
    assert meta["segments"].shape == (0, 3)
    assert meta["video"].tolist() == [25, 25]


def test_the_file_is_checked_before_work_starts(cfg, tmp_path):
    write(tmp_path, a=[(0.1, 0.8, 2)])
    with pytest.raises(
        InputError, match=r"segments\.json has no entry for 1 of the 2 listed videos: .*b\.mp4"
    ):
        Vtnsegments(cfg, "train")
