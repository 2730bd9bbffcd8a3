"""Frames that hardly differ from the last encoded one: of one grey each, which the backbone reads."""

import pytest
import torch
from torch import nn

import vtn
from vtn import InputError


class Colour(nn.Module):
    """(N, 3, H, W) -> (N, 3), the mean colour; notes how many images it gets."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.seen = []

    def forward(self, images):
        self.seen.append(len(images))
        return self.gain * images.mean((2, 3))


def model_of(threshold, *, std=(1.0, 1.0, 1.0), **options):
    model = vtn.VTN(Colour(), 2, num_heads=1, attention_window=4, reuse_frames=threshold, **options).eval()
    model.normalization = (0.0, 0.0, 0.0), std
    model.backbone.seen.clear()
    return model


def grey(*videos):
    """Clips (B, 3, T, 2, 2) of frames that are all one value."""
    return torch.tensor(videos)[:, None, :, None, None].expand(-1, 3, -1, 2, 2)


def shown_by(model, clip):
    """The value that stands for each frame, (B, T)."""
    return [[round(value, 4) for value in video] for video in model.frame_features(clip)[..., 0].tolist()]


def test_slow_change_adds_up():
    """Neighbours differ by 0.01 throughout; what counts is the distance to the last encoded frame."""
    model = model_of(0.025)
    assert shown_by(model, grey([0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06])) == [
        [0.0, 0.0, 0.0, 0.03, 0.03, 0.03, 0.06]
    ]
    assert model.backbone.seen == [3]
    assert model.frame_counts == {"compared": 7, "encoded": 3}


def test_a_frame_that_returns_is_new():
    model = model_of(0.1)
    assert shown_by(model, grey([0.0, 0.5, 0.05, 0.0])) == [[0.0, 0.5, 0.05, 0.05]]


@pytest.mark.parametrize("std", [(1.0, 1.0, 1.0), (0.5, 0.25, 0.2)])
def test_the_unit_is_that_of_pixels(std):
    """Pixels differ by 0.3, 0 and 0.06 in the channels: 0.12 on average, whatever they are divided by."""
    pixels = torch.zeros(1, 3, 2, 4, 4)
    pixels[0, 0, 1], pixels[0, 2, 1] = 0.3, -0.06
    clip = pixels / torch.tensor(std)[:, None, None, None]
    for threshold, encoded in ((0.119, 2), (0.121, 1)):
        model = model_of(threshold, std=std)
        model.frame_features(clip)
        assert model.backbone.seen == [encoded]


def test_every_pixel_counts():
    """One of 16 pixels changes from 0 to 1: 1/16 on average."""
    clip = torch.zeros(1, 3, 2, 4, 4)
    clip[0, :, 1, 3, 3] = 1
    for threshold, encoded in ((0.0624, 2), (0.0626, 1)):
        model = model_of(threshold)
        model.frame_features(clip)
        assert model.backbone.seen == [encoded]


def test_each_video_begins_anew():
    """The second video begins as the first one ends; a batch is its videos."""
    clip = grey([0.0, 0.5, 0.5, 0.5], [0.5, 0.52, 0.4, 0.4])
    model = model_of(0.05)
    assert shown_by(model, clip) == [[0.0, 0.5, 0.5, 0.5], [0.5, 0.5, 0.4, 0.4]]
    assert model.backbone.seen == [4]
    assert [shown_by(model, video[None])[0] for video in clip] == shown_by(model, clip)
    alike = model_of(1.0)
    shown_by(alike, clip)
    assert alike.backbone.seen == [2]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_parts_and_chunks_change_nothing(size):
    """Distinct frames of two videos, some shown twice, that arrive in parts."""
    frames = grey([0.0, 0.01, 0.02, 0.03, 0.5, 0.5, 0.52])[0].transpose(0, 1)
    index = torch.tensor([[0, 0, 1, 2, 3], [4, 5, 5, 6, 6]])
    model = model_of(0.025, frames_per_chunk=size)
    for given in (frames, (part for part in frames.split(size))):
        model.backbone.seen.clear()
        features = model.distinct_frame_features(given, index)[..., 0]
        expected = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.03], [0.5] * 5])
        torch.testing.assert_close(features, expected)
        assert sum(model.backbone.seen) == 3
        assert max(model.backbone.seen) <= size
    assert model.frame_counts == {"compared": 14, "encoded": 6}


def test_zero_is_off():
    clip = grey([0.0, 0.0, 1e-6, 1e-6])
    model = model_of(0.0)
    model.frame_features(clip)
    model.frame_features(clip, torch.tensor([[0, 0, 1, 1]]))
    assert model.backbone.seen == [4, 2]  # what repeats a frame, to the bit, is encoded once as ever
    assert not model.frame_counts


def test_what_repeats_a_frame_is_unchanged():
    model = model_of(1e-6)
    model.frame_features(grey([0.1, 0.1, 0.2, 0.2]), torch.tensor([[0, 0, 1, 1]]))
    assert model.backbone.seen == [2]


def test_logits_follow_from_the_features():
    model, clip = model_of(0.05), grey([0.0, 0.02, 0.3])
    indices = torch.tensor([[3, 5, 9]])
    features = torch.tensor([0.0, 0.0, 0.3])[None, :, None].expand(-1, -1, 3)
    torch.testing.assert_close(model(clip, indices), model.classify(features, indices))


def test_training_encodes_every_frame():
    clip = grey([0.0, 0.0, 0.01])
    for options in ({}, {"freeze_backbone": True}):
        model = model_of(0.5, **options).train()
        model.frame_features(clip)
        assert model.backbone.seen == [3]


def test_where_values_or_gradients_are_missing_every_frame_is_encoded():
    clip = grey([0.0, 0.0, 0.01])
    model = model_of(0.5)
    model.frame_features(clip.clone().requires_grad_())
    batch_norm = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), Colour())
    normed = vtn.VTN(batch_norm, 2, num_heads=1, attention_window=4, reuse_frames=0.5).eval()
    normed.frame_features(clip)
    with torch.device("meta"):
        without_values = model_of(0.5)
        assert without_values(torch.empty(1, 3, 3, 2, 2)).shape == (1, 2)
    assert model.backbone.seen[-1] == batch_norm[1].seen[-1] == without_values.backbone.seen[-1] == 3


def test_a_module_without_a_normalisation_is_compared_as_it_is():
    model = model_of(0.1)
    model.normalization = None
    assert shown_by(model, grey([0.0, 0.09, 0.11])) == [[0.0, 0.0, 0.11]]


@pytest.mark.parametrize("threshold", [-0.1, 1.5, True, "0.1", float("nan")])
def test_refusals(threshold):
    with pytest.raises(
        InputError, match=r"reuse_frames must be a number from 0 to 1, the range of pixels, not"
    ):
        model_of(threshold)
