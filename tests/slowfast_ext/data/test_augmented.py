"""Augmented items and batches: what is drawn when, samples of one decoding, dense batches."""

import numpy as np
import pytest
import torch
from videos import make_video, paint

from slowfast_ext.data.dataset import Vtnkinetics
from slowfast_ext.data.dense import DenseClips, dense_batches
from slowfast_ext.data.frames import Frames
from slowfast_ext.data.loader import VideoLoader, VideoSampler
from slowfast_ext.video import reader as reader_module
from slowfast_ext.video.decoding import decode_frames


def still(number: int, size: tuple[int, int]) -> np.ndarray:
    """Every frame is frame 5, so equal frames come out of the decoder, or nearly."""
    return paint(5, size)


@pytest.fixture
def cfg(data_cfg, tmp_path):
    """Five videos of 20 frames, the first of which stands still."""
    rows = []
    for number in range(5):
        # Without loss, so that what stands still is the same in every frame.
        options = {} if number else {"crf": "0"}
        make_video(tmp_path / f"{number}.mp4", 20, picture=paint if number else still, options=options)
        rows.append(f"{number}.mp4 {number}\n")
    for mode in ("train", "val", "test"):
        (tmp_path / f"{mode}.csv").write_text("".join(rows))
    return data_cfg


def item(cfg, video: int, *, epoch: int = 0, mode: str = "train") -> tuple:
    dataset = Vtnkinetics(cfg, mode)
    dataset.set_epoch(epoch)
    return dataset[video]


def shown(frames: Frames, clip: int = 0) -> torch.Tensor:
    return frames.pixels[frames.index[clip]]


def batches(cfg, *, batch_size: int = 2, num_workers: int = 0, epoch: int = 0, **options) -> list:
    dataset = Vtnkinetics(cfg, "train")
    sampler = VideoSampler(dataset, shuffle=True, seed=3)
    sampler.set_epoch(epoch)
    loader = VideoLoader(
        dataset, sampler, batch_size=batch_size, train=True, num_workers=num_workers, **options
    )
    return list(loader)


def test_a_clip_that_stands_still_stands_still_after_it(cfg):
    plain = shown(item(cfg, 0)[0][0])
    assert torch.equal(plain, plain[:1].expand_as(plain))
    cfg.AUG.ENABLE, changed = True, 0
    for epoch in range(6):
        cfg.AUG.ENABLE = False
        plain = shown(item(cfg, 0, epoch=epoch)[0][0])
        cfg.AUG.ENABLE = True
        clip = shown(item(cfg, 0, epoch=epoch)[0][0])
        assert torch.equal(clip, clip[:1].expand_as(clip))
        changed += not torch.equal(clip, plain)
    assert changed >= 3


def test_an_epoch_draws_anew_and_the_same_epoch_the_same(cfg):
    cfg.AUG.ENABLE, cfg.DATA.RANDOM_FLIP = True, False
    cfg.DATA.TRAIN_CROP_SIZE, cfg.DATA.TRAIN_JITTER_SCALES = 64, [64, 64]
    clips = [shown(item(cfg, 0, epoch=epoch)[0][0]) for epoch in (0, 0, *range(1, 8))]
    assert torch.equal(clips[0], clips[1])
    assert len({clip.numpy().tobytes() for clip in clips}) >= 6
    cfg.RNG_SEED += 1
    others = [shown(item(cfg, 0, epoch=epoch)[0][0]) for epoch in range(8)]
    assert any(not torch.equal(one, other) for one, other in zip(clips[1:], others, strict=True))


@pytest.mark.parametrize(("key", "value"), [("ENABLE", False), ("AA_TYPE", "")])
def test_switched_off_not_a_byte_changes(cfg, key, value):
    """Neither with AUG.ENABLE False nor with nothing to do; evaluation is never augmented."""
    plain = {mode: item(cfg, 2, mode=mode) for mode in ("train", "val", "test")}
    cfg.AUG.ENABLE, cfg.AUG.COLOR_JITTER = True, 0.0
    cfg.AUG[key] = value
    for mode, (inputs, *_) in plain.items():
        (clip, frame_indices), *_ = item(cfg, 2, mode=mode)
        assert torch.equal(clip.pixels, inputs[0].pixels)
        assert torch.equal(frame_indices, inputs[1])
    cfg.AUG.ENABLE, cfg.AUG.AA_TYPE = True, "rand-m9-mstd0.5-inc1"
    for mode in ("val", "test"):
        assert torch.equal(item(cfg, 2, mode=mode)[0][0].pixels, plain[mode][0][0].pixels)


def test_colour_jitter_where_there_is_no_policy(cfg):
    cfg.AUG.ENABLE, cfg.AUG.AA_TYPE = True, ""
    jittered = shown(item(cfg, 0)[0][0])
    cfg.AUG.ENABLE = False
    plain = shown(item(cfg, 0)[0][0])
    assert not torch.equal(jittered, plain)
    assert torch.equal(jittered, jittered[:1].expand_as(jittered))
    # It moves no pixel: what was equal in a picture still is.
    dark, bright = plain[0] == plain[0].amin(), plain[0] == plain[0].amax()
    assert jittered[0][dark].float().mean() < jittered[0][bright].float().mean() - 30


@pytest.mark.parametrize("num_samples", [1, 2])
def test_any_number_of_workers_gives_the_same_batches(cfg, num_samples):
    cfg.AUG.ENABLE, cfg.AUG.NUM_SAMPLE = True, num_samples
    here, there = (batches(cfg, num_workers=number, epoch=4) for number in (0, 2))
    assert len(here) == len(there) == 2
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one[0][0].pixels, other[0][0].pixels)
        assert torch.equal(one[0][1], other[0][1])
        assert all(torch.equal(x, y) for x, y in zip(one[1:4], other[1:4], strict=True))


def test_samples_are_clips_of_one_decoding(cfg, monkeypatch):
    """Each video comes three times in a row: the same frames by number, looked at and changed differently."""
    first = batches(cfg)[0]
    decoded = []

    def spy(video, indices, info, *more, **options):
        decoded.append(video.path.name)
        return decode_frames(video, indices, info, *more, **options)

    monkeypatch.setattr(reader_module, "decode_frames", spy)
    cfg.AUG.NUM_SAMPLE = 3
    (frames, frame_indices), labels, items, time, meta = batches(cfg)[0]
    assert len(decoded) == len(set(decoded)) == 5
    assert frames.shape == (6, 3, 4, 56, 56)
    assert labels.tolist() == first[1].repeat_interleave(3).tolist()
    assert items.tolist() == first[2].repeat_interleave(3).tolist()
    assert torch.equal(frame_indices, first[0][1].repeat_interleave(3, dim=0))
    assert (time.shape, meta["outcome"].shape, meta["reason"].shape) == ((6, 1, 3), (6,), (6, 256))
    clips = [shown(frames, clip) for clip in range(6)]
    for video in range(2):
        assert torch.equal(
            clips[3 * video], shown(first[0][0], video)
        )  # the first is the one of NUM_SAMPLE 1
        assert len({clip.numpy().tobytes() for clip in clips[3 * video : 3 * video + 3]}) == 3


def test_samples_of_a_video_are_augmented_differently(cfg):
    cfg.AUG.ENABLE, cfg.AUG.NUM_SAMPLE, cfg.DATA.RANDOM_FLIP = True, 4, False
    cfg.DATA.TRAIN_CROP_SIZE, cfg.DATA.TRAIN_JITTER_SCALES = 64, [64, 64]
    seen = set()
    for epoch in range(3):
        (frames, _), *_ = item(cfg, 0, epoch=epoch)
        clips = [shown(frames, clip) for clip in range(4)]
        assert all(torch.equal(clip, clip[:1].expand_as(clip)) for clip in clips)
        seen |= {clip.numpy().tobytes() for clip in clips}
    assert len(seen) > 8


def test_a_failed_video_takes_all_its_samples_with_it(cfg, tmp_path):
    cfg.AUG.NUM_SAMPLE = 2
    (tmp_path / "3.mp4").write_text("not a video " * 500)
    inputs, labels, index, _, meta = item(cfg, 3)
    assert inputs[0].shape == (2, 3, 4, 56, 56)
    assert (labels.tolist(), index.tolist(), meta["outcome"].tolist()) == ([3, 3], [3, 3], [2, 2])
    found = batches(cfg)
    assert [len(batch[1]) for batch in found] == [4, 4]
    for batch in found:
        assert batch[2][::2].tolist() == batch[2][1::2].tolist()
        assert 3 not in batch[2].tolist()
        assert len(batch[0][0]) == 4


@pytest.fixture
def erasing(cfg):
    cfg.AUG.ENABLE, cfg.AUG.AA_TYPE, cfg.AUG.COLOR_JITTER = True, "", 0.0
    cfg.AUG.RE_PROB, cfg.AUG.RE_MODE = 1.0, "const"
    return cfg


def test_erasing_depends_on_the_item_and_the_epoch_not_on_its_batch(erasing):
    make_dense, (frames, _), items = DenseClips(erasing), *batches(erasing)[0][0::2][:2]
    whole = frames.clips(erasing.DATA.MEAN, erasing.DATA.STD)
    clips = make_dense(frames, items, epoch=0)
    where = clips != whole
    assert where.flatten(1).any(dim=1).all()
    assert torch.equal(where, where[:, :1, :1].expand_as(where))  # the same box in all frames
    turned = make_dense(frames[torch.tensor([1])], items[1:], epoch=0)
    assert torch.equal(turned[0], clips[1])
    assert not torch.equal(make_dense(frames, items, epoch=1), clips)
    erasing.AUG.RE_PROB = 0.0
    assert torch.equal(DenseClips(erasing)(frames, items, epoch=0), whole)


def test_the_first_sample_stays_whole_if_asked_for(erasing):
    erasing.AUG.NUM_SAMPLE, erasing.AUG.RE_SPLIT = 2, True
    (frames, _), _, items, *_ = batches(erasing)[0]
    clips = DenseClips(erasing)(frames, items, epoch=0)
    changed = (clips != frames.clips(erasing.DATA.MEAN, erasing.DATA.STD)).flatten(1).any(dim=1)
    assert changed.tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("name", "arch", "shapes"),
    [
        ("VTN", "VIT", [(2, 3, 4, 56, 56), (2, 4)]),
        ("ResNet", "i3d", [(2, 3, 4, 56, 56)]),
        ("SlowFast", "slowfast", [(2, 3, 1, 56, 56), (2, 3, 4, 56, 56)]),
    ],
)
def test_dense_batches_are_what_each_model_takes(erasing, name, arch, shapes):
    """For main's loops, which know nothing of Frames; epochs are those of the sampler."""
    erasing.MODEL.MODEL_NAME, erasing.MODEL.ARCH = name, arch
    first = batches(erasing)[0]
    found = {}
    for epoch in (0, 1):
        inputs, labels, items, *_ = dense_batches(erasing, lambda epoch=epoch: epoch)(first)
        assert [tuple(x.shape) for x in inputs] == shapes
        assert torch.equal(labels, first[1])
        assert torch.equal(items, first[2])
        found[epoch] = inputs[0 if name == "VTN" else -1]
        assert torch.equal(found[epoch], DenseClips(erasing)(first[0][0], items, epoch))
    assert not torch.equal(found[0], found[1])
