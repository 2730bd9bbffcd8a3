"""Items of the data sets: painted frame numbers, views, packing, randomness, unreadable videos."""

import os
import pickle

import numpy as np
import pytest
import torch
from slowfast.datasets.utils import pack_pathway_output
from torch.utils.data import DataLoader
from videos import make_video, paint, read_numbers

from slowfast_ext.data.dataset import Vtnkinetics, Vtnmit
from slowfast_ext.data.frames import Frames
from slowfast_ext.data.ledger import decode_outcomes
from slowfast_ext.data.packing import pack_pathways
from slowfast_ext.video import reader as reader_module
from slowfast_ext.video.decoding import decode_frames, read_frames
from slowfast_ext.video.sampling import clip_frame_indices, full_video_frame_indices
from slowfast_ext.video.transforms import crop_frames, scale_frames, uniform_view
from vtn.errors import InputError


@pytest.fixture
def cfg(data_cfg, tmp_path):
    """Three videos in all lists: 40 frames, 25 frames (upright), and 6 frames, shorter than a clip."""
    make_video(tmp_path / "a.mp4", 40)
    make_video(tmp_path / "b.mp4", 25, size=(64, 96))
    make_video(tmp_path / "short.mp4", 6)
    for mode in ("train", "val", "test"):
        (tmp_path / f"{mode}.csv").write_text("a.mp4 0\nb.mp4 3\nshort.mp4 4\n")
    return data_cfg


def painted(frames, short_side=64):
    """Numbers painted in the one clip of an item."""
    return read_numbers(frames.pixels[frames.index[0]].numpy(), short_side)


def equal(one, other):
    """Whether two inputs, Frames or tensors, are the same."""
    if isinstance(one, Frames):
        return torch.equal(one.pixels, other.pixels) and torch.equal(one.index, other.index)
    return torch.equal(one, other)


def equal_items(one, other):
    return (
        all(equal(x, y) for x, y in zip(one[0], other[0], strict=True))
        and torch.equal(torch.as_tensor(one[1]), torch.as_tensor(other[1]))
        and torch.equal(torch.as_tensor(one[2]), torch.as_tensor(other[2]))
        and all(torch.equal(one[4][key], other[4][key]) for key in ("outcome", "reason"))
    )


def outcome(item):
    """(outcome, reason) of one item."""
    return decode_outcomes({key: value[None] for key, value in item[4].items()})[0]


def test_val_is_the_centre_clip(cfg):
    dataset = Vtnkinetics(cfg, "val")
    assert (len(dataset), dataset.num_videos, dataset.num_views) == (3, 3, 1)
    assert [os.path.basename(path) for path in dataset.paths] == ["a.mp4", "b.mp4", "short.mp4"]
    assert dataset.labels == [0, 3, 4]
    # Span 4 * 3 = 12 frames: in 40 the middle clip begins at 14, in 25 at 6.5, in 6 at 0.
    expected = [[14, 17, 21, 25], [6, 10, 13, 17], [0, 3, 5, 5]]
    for index, item in enumerate(dataset):
        (clip, frame_indices), label, returned, time, _ = item
        assert clip.shape == (1, 3, 4, 56, 56)
        assert clip.pixels.dtype == torch.uint8
        assert len(clip.pixels) == len(set(expected[index]))  # a repeated frame is there once
        assert frame_indices.dtype == torch.int64
        assert frame_indices.tolist() == painted(clip) == expected[index]
        assert time.tolist() == [[expected[index][0], expected[index][-1], 0]]
        assert (label, returned) == (dataset.labels[index], index)
        assert outcome(item) == ("used", "")


@pytest.mark.parametrize("mode", ["val", "test"])
def test_full_video(cfg, mode):
    cfg.TRAIN.EVAL_FULL_VIDEO = True
    dataset = Vtnkinetics(cfg, mode)
    assert dataset.num_views == (3 if mode == "test" else 1)
    centre = 1 if mode == "test" else 0
    for video, num_video_frames in enumerate((40, 25, 6)):
        clip, frame_indices = dataset[video * dataset.num_views + centre][0]
        expected = full_video_frame_indices(num_video_frames, num_frames=10).tolist()
        assert frame_indices.tolist() == painted(clip) == expected
        assert (expected[0], expected[-1]) == (0, num_video_frames - 1)


def test_full_video_does_not_change_training(cfg):
    items = [Vtnkinetics(cfg, "train")[0]]
    cfg.TRAIN.EVAL_FULL_VIDEO = True
    items.append(Vtnkinetics(cfg, "train")[0])
    assert equal_items(*items)


@pytest.mark.parametrize(("num_clips", "num_crops"), [(2, 3), (3, 1), (1, 3), (1, 1)])
def test_multi_view(cfg, num_clips, num_crops):
    """Each item is the view that reading and transforming the file by hand gives."""
    cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS = num_clips, num_crops
    dataset = Vtnkinetics(cfg, "test")
    assert dataset.num_views == num_clips * num_crops
    assert len(dataset) == 3 * dataset.num_views
    for index, (inputs, label, *_) in enumerate(dataset):
        video, view = divmod(index, num_clips * num_crops)
        clip_index, crop = divmod(view, num_crops)
        num_video_frames = (40, 25, 6)[video]
        numbers = clip_frame_indices(
            num_video_frames,
            30.0,
            num_frames=4,
            sampling_rate=3,
            target_fps=30,
            start=clip_index / num_clips,
        )
        frames = read_frames(dataset.paths[video], numbers.tolist())
        position = 1 if num_crops == 1 else crop
        place = uniform_view(*frames.shape[1:3], short_side=64, crop_size=60, position=position)
        expected = crop_frames(scale_frames(frames, place.height, place.width), place)
        assert torch.equal(inputs[0].pixels[inputs[0].index[0]], expected)
        assert inputs[1].tolist() == numbers.tolist()
        assert label == dataset.labels[video]
        if position == 1:
            assert painted(inputs[0]) == numbers.tolist()


@pytest.mark.parametrize("mode", ["val", "test"])
def test_pixels_that_are_not_square_are_shown_as_wide_as_they_are(cfg, mode, tmp_path):
    """Stored as 64 x 64, shown as 128 x 64: the expected picture has each column of the painted one twice."""
    cfg.TEST.NUM_ENSEMBLE_VIEWS = cfg.TEST.NUM_SPATIAL_CROPS = 1
    make_video(tmp_path / "a.mp4", 40, size=(64, 64), pixel_aspect=2)
    size = {"val": 56, "test": 60}[mode]
    top, left = (64 - size) // 2, (128 - size) // 2
    (frames, frame_indices), *_ = Vtnkinetics(cfg, mode)[0]
    for picture, number in zip(frames.pixels[frames.index[0]], frame_indices.tolist(), strict=True):
        shown = np.repeat(paint(number, (64, 64)), 2, axis=1).astype(int)
        expected = shown[top : top + size, left : left + size]
        # Only at the edges of the squares is the scaled picture softer than the painted one.
        assert (abs(picture.numpy() - expected) > 60).mean() < 0.1, number


def test_one_decoding_serves_all_views_of_a_video(cfg, monkeypatch):
    decoded = []

    def spy(video, indices, info, *more, **options):
        decoded.append(video.path.name)
        return decode_frames(video, indices, info, *more, **options)

    monkeypatch.setattr(reader_module, "decode_frames", spy)
    dataset = Vtnkinetics(cfg, "test")
    list(dataset)
    assert decoded == ["a.mp4", "b.mp4", "short.mp4"]
    dataset[0]
    assert decoded[3:] == ["a.mp4"]


def test_train_frames_are_the_ones_it_names(cfg):
    cfg.DATA.RANDOM_FLIP, cfg.DATA.TRAIN_CROP_SIZE, cfg.DATA.TRAIN_JITTER_SCALES = False, 64, [64, 64]
    square = make_video(os.path.join(cfg.DATA.PATH_TO_DATA_DIR, "a.mp4"), 40, size=(64, 64))
    dataset = Vtnkinetics(cfg, "train")
    starts = set()
    for epoch in range(20):
        dataset.set_epoch(epoch)
        clip, frame_indices = dataset[0][0]
        assert frame_indices.tolist() == painted(clip)
        assert frame_indices[-1] - frame_indices[0] == 11
        starts.add(int(frame_indices[0]))
    assert str(square) == dataset.paths[0]
    assert len(starts) > 8
    assert min(starts) >= 0
    assert max(starts) <= 28


def test_train_augmentation(cfg):
    dataset = Vtnkinetics(cfg, "train")
    items = []
    for epoch in range(4):
        dataset.set_epoch(epoch)
        items.append(dataset[0])
        assert items[-1][0][0].shape == (1, 3, 4, 56, 56)
        assert equal_items(items[-1], dataset[0])
    assert not any(equal_items(items[0], item) for item in items[1:])
    cfg.RNG_SEED = 4
    other = Vtnkinetics(cfg, "train")
    other.set_epoch(0)
    assert not equal_items(other[0], items[0])


@pytest.mark.parametrize("mode", ["train", "val", "test"])
def test_any_number_of_workers_gives_the_same_batches(cfg, mode):
    dataset = Vtnkinetics(cfg, mode)
    dataset.set_epoch(5)
    here, there = (list(DataLoader(dataset, batch_size=2, num_workers=number)) for number in (0, 2))
    assert len(here) == len(there)
    for one, other in zip(here, there, strict=True):
        assert equal_items(one, other)
        assert one[4]["reason"].shape == (len(one[1]), 256)


def test_survives_pickling(cfg):
    dataset = Vtnkinetics(cfg, "train")
    dataset.set_epoch(2)
    assert equal_items(pickle.loads(pickle.dumps(dataset))[1], dataset[1])


def test_three_packings_show_the_same_frames(cfg):
    frames, _ = Vtnkinetics(cfg, "val")[0][0]
    cfg.MODEL.MODEL_NAME, cfg.MODEL.ARCH = "ResNet", "i3d"
    (single,) = Vtnkinetics(cfg, "val")[0][0]
    assert equal(single, frames)
    clip = frames.clips(cfg.DATA.MEAN, cfg.DATA.STD)
    assert torch.equal(pack_pathways(cfg, clip)[0], clip)
    cfg.MODEL.MODEL_NAME, cfg.MODEL.ARCH, cfg.SLOWFAST.ALPHA = "SlowFast", "slowfast", 2
    slow, fast = pack_pathways(cfg, clip)
    assert torch.equal(fast, clip)
    theirs = pack_pathway_output(cfg, clip[0])
    assert torch.equal(theirs[0], slow[0])


def test_full_video_slow_pathway_rounds_up(cfg):
    cfg.MODEL.MODEL_NAME, cfg.MODEL.ARCH = "SlowFast", "slowfast"
    cfg.TRAIN.EVAL_FULL_VIDEO = True
    (frames,) = Vtnkinetics(cfg, "val")[0][0]
    slow, fast = pack_pathways(cfg, frames.clips([0, 0, 0], [1, 1, 1]))
    assert (slow.shape[2], fast.shape[2]) == (3, 10)
    assert torch.equal(slow, fast[:, :, [0, 4, 9]])


def test_authors_protocol(cfg, tmp_path):
    cfg.VTN.AUTHORS_PROTOCOL = True
    clip, frame_indices = Vtnkinetics(cfg, "val")[0][0]
    assert painted(clip) == [14, 17, 21, 25]
    assert frame_indices.tolist() == [0, 3, 7, 11]
    # Ten frames at 30 fps are a third of a second, of which a 60 fps video has 20 frames.
    make_video(tmp_path / "a.mp4", 40, fps=60)
    cfg.TRAIN.EVAL_FULL_VIDEO = True
    clip, frame_indices = Vtnkinetics(cfg, "val")[0][0]
    assert frame_indices.tolist() == painted(clip) == [0, 2, 4, 6, 8, 10, 12, 14, 16, 19]


@pytest.mark.parametrize("mode", ["train", "val", "test"])
def test_an_unreadable_video_says_so_and_is_not_replaced(cfg, tmp_path, mode):
    dataset = Vtnkinetics(cfg, mode)
    (tmp_path / "b.mp4").write_text("not a video " * 500)
    index = 1 * dataset.num_views
    item = dataset[index]
    (clip, frame_indices), label, returned, _, _ = item
    size = 60 if mode == "test" else 56
    assert clip.shape == (1, 3, 4, size, size)
    assert frame_indices.shape == (4,)
    assert not clip.pixels.any()
    assert not frame_indices.any()
    assert (label, returned) == (3, index)
    assert outcome(item)[0] == "failed"
    assert "b.mp4 cannot be decoded as a video" in outcome(item)[1]
    batch = next(iter(DataLoader(dataset, batch_size=len(dataset))))
    bad = [index for index, found in enumerate(decode_outcomes(batch[4])) if found[0] == "failed"]
    assert bad == list(range(dataset.num_views, 2 * dataset.num_views))


def test_an_unreadable_video_keeps_the_shape_of_a_batch(cfg, tmp_path):
    cfg.TRAIN.EVAL_FULL_VIDEO = True
    (tmp_path / "a.mp4").write_bytes(b"")
    dataset = Vtnkinetics(cfg, "val")
    (frames, frame_indices), *_ = next(iter(DataLoader(dataset, batch_size=3)))
    assert frames.shape == (3, 3, 10, 56, 56)
    assert frame_indices.shape == (3, 10)
    assert outcome(dataset[0])[1].endswith("a.mp4 is empty (0 bytes).")


def test_other_errors_are_not_taken_for_a_bad_video(cfg, monkeypatch):
    def broken(*_, **options):
        raise RuntimeError("a bug")

    monkeypatch.setattr(reader_module, "decode_frames", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        Vtnkinetics(cfg, "val")[0]
    cfg.DATA.TRAIN_CROP_SIZE = 65
    monkeypatch.undo()
    with pytest.raises(InputError, match="crop_size is 65"):
        Vtnkinetics(cfg, "val")[0]


def test_the_list_is_checked_before_work_starts(cfg, tmp_path):
    (tmp_path / "val.csv").write_text("a.mp4 0\nb.mp4 7\n")
    with pytest.raises(InputError, match=r"val\.csv line 2 has label 7, but MODEL\.NUM_CLASSES is 5"):
        Vtnkinetics(cfg, "val")
    (tmp_path / "val.csv").write_text("gone.mp4 0\n")
    with pytest.raises(
        InputError, match=r"1 of the 1 videos in .*val\.csv do not exist: .*gone\.mp4 \(line 1\)"
    ):
        Vtnmit(cfg, "val")
    (tmp_path / "val.csv").write_text("a.mp4,2\n")
    cfg.DATA.PATH_LABEL_SEPARATOR = ","
    assert Vtnmit(cfg, "val").labels == [2]


def test_constructor_errors(cfg):
    with pytest.raises(InputError, match=r"^mode is 'eval'; it must be one of train, val, test"):
        Vtnkinetics(cfg, "eval")
    cfg.MODEL.MODEL_NAME, cfg.MODEL.ARCH = "MViT", "mvit"
    with pytest.raises(InputError, match=r"^MODEL\.ARCH is 'mvit'; .* one of c2d, i3d, slowfast"):
        Vtnkinetics(cfg, "val")


def test_item_out_of_range(cfg):
    with pytest.raises(IndexError, match="item 3 of a data set of 3"):
        Vtnkinetics(cfg, "val")[3]
