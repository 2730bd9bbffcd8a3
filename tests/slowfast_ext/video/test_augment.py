"""Changes of clips: the same for all frames, by a seed, and nothing else draws from its numbers."""

import random

import numpy as np
import pytest
import torch
from videos import paint

from slowfast_ext.video.augment import ClipAugmentation, ClipErasing, Draw, as_images, seed_of, seeded
from vtn.errors import InputError

SIZE = 32
POLICIES = ["rand-m9-mstd0.5-inc1", "rand-m7-n4-mstd0.5-inc1", "augmix-m3", "v0", "original-mstd0.5", ""]


def picture(number: int) -> torch.Tensor:
    """A painted picture with a ramp of colours, so that every operation shows."""
    ramp = np.linspace(0, 120, SIZE)[None, :, None] * np.array([1.0, 0.6, 0.2])
    return torch.from_numpy((paint(number, (SIZE, SIZE)) * 0.5 + ramp).astype(np.uint8))


def augmented(frames: list[torch.Tensor], policy: str, seed: int) -> torch.Tensor:
    clip = torch.stack(frames)
    ClipAugmentation(policy, "random", 0.4, SIZE)(clip, seed)
    return clip


@pytest.mark.parametrize("policy", POLICIES)
def test_equal_frames_stay_equal_and_are_changed(policy):
    """Signs, magnitudes, interpolation and colours are drawn again for each frame, and come out the same."""
    original, changed = picture(5), 0
    for seed in range(8):
        clip = augmented([original] * 4, policy, seed)
        assert all(torch.equal(frame, clip[0]) for frame in clip)
        changed += not torch.equal(clip[0], original)
    assert changed >= 4


@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_done_to_a_frame_depends_on_the_seed_alone(policy):
    """Not on its place in the clip, nor on what the other frames look like."""
    one, other = picture(5), picture(900)
    first, second = augmented([one, other], policy, 3)
    assert torch.equal(second, augmented([other], policy, 3)[0])
    assert torch.equal(first, augmented([other, other, one], policy, 3)[2])


@pytest.mark.parametrize("policy", ["rand-m10-n4-p1-inc1", "rand-m0-n4-p1", "v0", "v0r", "augmix-m10"])
def test_every_operation_can_be_done_at_its_ends(policy):
    """At magnitude 10, or 0, timm asks for pictures of 0 bits, which Pillow refuses."""
    augment = ClipAugmentation(policy, "bicubic", 0.4, SIZE)
    for seed in range(60):
        clip = picture(5)[None]
        augment(clip, seed)


def test_seeds_differ():
    clips = [augmented([picture(5)], "rand-m9-mstd0.5-inc1", seed) for seed in range(12)]
    assert len({clip.numpy().tobytes() for clip in clips}) > 8
    assert seed_of(Draw.OPERATIONS, 1, 2) == seed_of(Draw.OPERATIONS, 1, 2)
    numbers = {seed_of(draw, 0, epoch, video) for draw in Draw for epoch in range(9) for video in range(9)}
    assert len(numbers) == len(Draw) * 81


def draws() -> tuple:
    return random.random(), np.random.random(), torch.rand(1).item()


def test_the_global_generators_go_on_as_if_nothing_had_been_drawn():
    with seeded(7):
        before = draws()  # from a known state
    expected = [before]
    with seeded(7):
        assert draws() == before
        with seeded(8):
            assert draws() != before
        expected.append(draws())
    with seeded(7):
        draws()
        assert draws() == expected[1]
    random_state = random.getstate()
    with pytest.raises(ZeroDivisionError), seeded(1):
        1 / 0  # noqa: B018
    assert random.getstate() == random_state


def erased(clips: torch.Tensor, mode: str, seeds: list, *, count: int = 1) -> torch.Tensor:
    """Where something was erased: (B, T, C, C); `clips` are changed."""
    before = clips.clone()
    ClipErasing(1.0, mode, count)(clips, seeds)
    return (clips != before).any(dim=1)


@pytest.mark.parametrize("mode", ["pixel", "rand", "const"])
def test_one_box_is_erased_in_all_frames(mode):
    clips = torch.full((2, 3, 5, 64, 64), 9.0)
    where = erased(clips, mode, [11, 12])
    assert not torch.equal(where[0], where[1])
    for clip, box in zip(clips, where, strict=True):
        assert all(torch.equal(frame, box[0]) for frame in box)
        rows, columns = box[0].any(dim=1), box[0].any(dim=0)
        assert box[0].sum() == rows.sum() * columns.sum()  # a whole rectangle
        assert 0.015 < box[0].float().mean() < 0.35
        inside = clip[:, :, box[0]]  # (3, T, pixels of the box)
        if mode == "const":
            assert not inside.any()
        elif mode == "rand":
            assert torch.equal(inside, inside[..., :1].expand_as(inside))
        else:
            assert (inside[:, 0] != inside[:, 1]).all()  # other noise in each frame
            assert inside.mean().item() == pytest.approx(0, abs=0.2)
            assert inside.std().item() == pytest.approx(1, abs=0.2)


def test_clips_without_a_seed_stay_whole_and_the_others_do_not_notice():
    clips = torch.full((3, 3, 2, 64, 64), 9.0)
    where = erased(clips, "const", [4, None, 5])
    assert [bool(box.any()) for box in where] == [True, False, True]
    alone = torch.full((1, 3, 2, 64, 64), 9.0)
    assert torch.equal(erased(alone, "const", [5])[0], where[2])


def test_several_boxes_and_probabilities():
    counts = set()
    for seed in range(30):
        where = erased(torch.full((1, 3, 1, 64, 64), 9.0), "const", [seed], count=3)
        counts.add(round(float(where.float().mean()), 3))
    assert len(counts) > 20
    clips = torch.full((400, 3, 1, 8, 8), 9.0)
    ClipErasing(0.25, "const", 1)(clips, list(range(400)))
    share = (clips == 0).flatten(1).any(dim=1).float().mean().item()
    assert share == pytest.approx(0.25, abs=0.07)


def test_as_images_is_the_same_memory():
    clips = torch.arange(2 * 3 * 4 * 5 * 5.0).view(2, 3, 4, 5, 5)
    as_images(clips)[:, :, 1, 2] = -1
    assert (clips[:, :, :, 1, 2] == -1).all()
    assert (clips == -1).sum() == 2 * 3 * 4


@pytest.mark.parametrize("policy", ["rand-m9-foo3", "augmix-z3", "none", "rand-n50-tweights", "v0-m3"])
def test_what_timm_refuses_is_refused(policy):
    with pytest.raises(InputError, match=rf"timm does not take the policy '{policy}' \(.+\)"):
        ClipAugmentation(policy, "bicubic", 0.4, SIZE)
