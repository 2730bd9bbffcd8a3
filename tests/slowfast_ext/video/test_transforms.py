"""Scaling and cropping in bytes, and normalising after it, against the host's own functions on floats."""

import numpy as np
import pytest
import torch
from slowfast.datasets import transform as host_transform
from torch.nn import functional as F

from slowfast_ext.data.frames import Frames
from slowfast_ext.video.transforms import (
    SpatialView,
    crop_frames,
    random_view,
    scale_frames,
    take_view,
    uniform_view,
)
from vtn.errors import InputError

MEAN, STD = [0.45, 0.40, 0.5], [0.225, 0.25, 0.2]
SIZES = [(48, 64), (64, 48), (33, 57), (57, 33), (40, 40), (40, 71), (90, 40), (120, 200)]


def random_frames(height, width, num_frames=3):
    return torch.randint(0, 256, (num_frames, height, width, 3), dtype=torch.uint8)


def look(frames, view):
    """(3, T, C, C) normalised, as it reaches a model."""
    pixels = crop_frames(scale_frames(frames, view.height, view.width), view)
    return Frames((pixels,), torch.arange(len(pixels))[None]).clips(MEAN, STD)[0]


def assert_within_a_grey_level(found, expected):
    """At most one level apart anywhere, and less than half of one on average."""
    levels = (found - expected).abs() * torch.tensor(STD).view(3, 1, 1, 1) * 255
    assert levels.max() < 1.01
    assert levels.mean() < 0.5


def host_normalised(frames):
    """(3, T, H, W), as the host's Kinetics does it."""
    return ((frames.float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)).permute(3, 0, 1, 2)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("crop_size", [40, 35, 32])
def test_uniform_view_equals_the_host(height, width, position, crop_size):
    frames = random_frames(height, width)
    expected, _ = host_transform.random_short_side_scale_jitter(host_normalised(frames), 40, 40)
    expected, _ = host_transform.uniform_crop(expected, crop_size, position)
    view = uniform_view(height, width, short_side=40, crop_size=crop_size, position=position)
    found = look(frames, view)
    assert found.dtype == torch.float32
    assert_within_a_grey_level(found, expected)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("seed", range(4))
def test_random_view_equals_the_host(height, width, seed, monkeypatch):
    """With the numbers that were drawn put in the place of the host's."""
    frames = random_frames(height, width)
    rng = np.random.default_rng(seed)
    view = random_view(height, width, short_sides=[36, 50], crop_size=33, flip=True, rng=rng)
    short_side = min(view.height, view.width)
    offsets = iter([view.top] * (view.height > 33) + [view.left] * (view.width > 33))
    monkeypatch.setattr(np.random, "randint", lambda low, high: next(offsets))
    monkeypatch.setattr(np.random, "uniform", lambda *_: short_side)
    expected, _ = host_transform.random_short_side_scale_jitter(host_normalised(frames), 36, 50)
    expected, _ = host_transform.random_crop(expected, 33)
    monkeypatch.setattr(np.random, "uniform", lambda *_: 0.0 if view.flip else 1.0)
    expected, _ = host_transform.horizontal_flip(0.5, expected)
    assert_within_a_grey_level(look(frames, view), expected)


@pytest.mark.parametrize(("height", "width"), [*SIZES, (272, 640), (272, 637), (256, 340)])
def test_a_view_scaled_by_itself_is_the_one_cut_out_of_all(height, width):
    """On waves of some forty pixels; on noise a shift of 1/64 of a pixel alone is a grey level."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    waves = [torch.sin(rows / a + columns / b) for a, b in ((7, 6), (5, 9), (8, -6))]
    frames = ((torch.stack(waves, dim=2) + 1) * 127.5).to(torch.uint8)[None]
    rng = np.random.default_rng(height * width)
    short = min(height, width)
    for _ in range(30):
        view = random_view(
            height, width, short_sides=[short - 8, short + 40], crop_size=short // 2, flip=True, rng=rng
        )
        expected = crop_frames(
            F.interpolate(
                frames.float().permute(0, 3, 1, 2), (view.height, view.width), mode="bilinear"
            ).permute(0, 2, 3, 1),
            view,
        )
        found = take_view(frames, view)
        assert found.shape == expected.shape
        assert found.dtype == torch.uint8
        assert (found - expected).abs().mean() < 0.5
        assert (found - expected).abs().max() < 3


def test_as_many_outputs_as_inputs_in_the_piece():
    """272 x 640 to 275 x 647 takes 249 rows for 249 rows; PyTorch would then not scale them at all."""
    frames = torch.arange(272).mul(255).div(271).to(torch.uint8)[None, :, None, None].repeat(1, 1, 640, 3)
    view = SpatialView(275, 647, 25, 179, 224)
    expected = crop_frames(scale_frames(frames, 275, 647), view)
    assert (take_view(frames, view).int() - expected.int()).abs().max() <= 1


def test_offsets_by_hand():
    # 30 x 41 to a short side of 20: the long side is floor(41 / 30 * 20) = 27; (27 - 16) / 2 rounds up to 6.
    assert uniform_view(30, 41, short_side=20, crop_size=16, position=1) == SpatialView(20, 27, 2, 6, 16)
    assert uniform_view(30, 41, short_side=20, crop_size=16, position=0) == SpatialView(20, 27, 2, 0, 16)
    assert uniform_view(30, 41, short_side=20, crop_size=16, position=2) == SpatialView(20, 27, 2, 11, 16)
    assert uniform_view(41, 30, short_side=20, crop_size=16, position=2) == SpatialView(27, 20, 11, 2, 16)


def test_random_view_reaches_every_value():
    rng = np.random.default_rng(0)
    views = [random_view(8, 8, short_sides=[4, 6], crop_size=4, flip=True, rng=rng) for _ in range(400)]
    assert {view.height for view in views} == {4, 5, 6}
    assert {(view.top, view.left) for view in views if view.height == 6} == {
        (top, left) for top in range(3) for left in range(3)
    }
    assert 150 < sum(view.flip for view in views) < 250
    unflipped = [random_view(8, 8, short_sides=[4, 6], crop_size=4, flip=False, rng=rng) for _ in range(50)]
    assert not any(view.flip for view in unflipped)


def test_random_view_follows_from_its_generator_alone():
    def draw(seed):
        rng = np.random.default_rng(seed)
        return [random_view(50, 70, short_sides=[40, 60], crop_size=32, flip=True, rng=rng) for _ in range(5)]

    first = draw(1)
    assert draw(1) == first
    assert draw(2) != first
    before = np.random.get_state()
    draw(3)
    after = np.random.get_state()
    assert (after[1] == before[1]).all()
    assert after[2] == before[2]


def test_frames_of_the_right_size_are_not_touched():
    frames = random_frames(40, 50)
    assert scale_frames(frames, 40, 50) is frames
    view = uniform_view(40, 50, short_side=40, crop_size=32, position=2)
    expected = (
        frames[:, 4:36, 18:50].permute(3, 0, 1, 2) / 255 - torch.tensor(MEAN).view(3, 1, 1, 1)
    ) / torch.tensor(STD).view(3, 1, 1, 1)
    torch.testing.assert_close(look(frames, view), expected, rtol=0, atol=1e-6)


def test_pixels_that_are_not_square():
    # 40 x 50 pixels, each twice as wide as high, are a picture of 40 x 100.
    view = uniform_view(40, 50 * 2.0, short_side=20, crop_size=20, position=2)
    assert view == SpatialView(20, 50, 0, 30, 20)
    assert uniform_view(40, 45 * 64 / 45, short_side=40, crop_size=40, position=2) == SpatialView(
        40, 64, 0, 24, 40
    )


def test_errors_name_the_value():
    with pytest.raises(InputError, match=r"^position is 3; it must be 0, 1 or 2"):
        uniform_view(48, 64, short_side=40, crop_size=32, position=3)
    with pytest.raises(
        InputError, match=r"^crop_size is 41, but the frames are scaled to a short side of 40"
    ):
        uniform_view(48, 64, short_side=40, crop_size=41, position=1)
    rng = np.random.default_rng(0)
    with pytest.raises(
        InputError, match=r"^crop_size is 41, but the frames are scaled to a short side of 40"
    ):
        random_view(48, 64, short_sides=[40, 40], crop_size=41, flip=True, rng=rng)
