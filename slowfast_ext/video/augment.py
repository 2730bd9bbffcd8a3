"""What a clip is changed by at random in training: by one draw, the same for all of its frames.

The operations are timm's and torchvision's, which are made for images and draw from the global generators.
Here a clip is given a seed, and those generators follow from it while its frames are changed. The libraries
take longer to load than PyTorch, so they are loaded where clips are changed: every worker loads this file.

Legend: n distinct frames of a clip, B clips, T frames shown in each, C side of the crop.
"""

import enum
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

import numpy as np
import torch
from PIL import Image

from vtn.errors import InputError

# Those that Pillow moves pixels with; random is bilinear or bicubic, whichever is drawn.
INTERPOLATIONS = ("random", "nearest", "bilinear", "bicubic")
ERASING_MODES = ("pixel", "rand", "const")
# Largest shift of an operation that counts in pixels, as a part of the crop; as in timm and PySlowFast main.
_LARGEST_SHIFT = 0.45


class Draw(enum.IntEnum):
    """What random numbers are for, so that no two things are decided by the same ones."""

    OPERATIONS = 1
    ERASING = 2
    MIXING = 3
    STEP = 9  # dropout and stochastic depth of one step of the training


def seed_of(draw: Draw, *numbers: int) -> int:
    """A seed of 32 bits that follows from these numbers, none negative, and from nothing else."""
    return int(np.random.SeedSequence([draw, *numbers]).generate_state(1)[0])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within, the CPU's generators of Python, NumPy and PyTorch follow from a seed; after it, they go on.

    Those of GPUs are left alone: what is drawn here is the same on every device.

    Args:
        seed: 32 bits.
    """
    generator = torch.default_generator
    before = random.getstate(), np.random.get_state(), generator.get_state()
    try:
        random.seed(seed)
        np.random.seed(seed)
        generator.manual_seed(seed)
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        generator.set_state(before[2])


class ClipAugmentation:
    """RandAugment, AutoAugment, AugMix or colour jitter: the same operations on all frames of a clip.

    Args:
        policy: As timm takes it: "rand-m9-mstd0.5-inc1", "original-mstd0.5", "augmix-m3"; empty for colour
            jitter.
        interpolation: One of INTERPOLATIONS, for operations that move pixels.
        color_jitter: Largest change of brightness, contrast and saturation, as a part; only used without a
            policy.
        crop_size: C.

    Raises:
        InputError: If timm does not take the policy.
    """

    def __init__(self, policy: str, interpolation: str, color_jitter: float, crop_size: int) -> None:
        if not policy:
            from torchvision.transforms import ColorJitter

            self._change: Callable[[Image.Image], Image.Image] = ColorJitter(*[color_jitter] * 3)
            return
        try:
            self._change = _change_of(policy, interpolation, crop_size)
            _keep_a_bit(self._change)
            with seeded(0):
                self._change(Image.new("RGB", (crop_size, crop_size)))
        except Exception as error:
            # timm asserts, looks up, converts; a policy is what a person typed.
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"timm does not take the policy {policy!r} ({reason})") from None

    def __call__(self, frames: torch.Tensor, seed: int) -> None:
        """Change the frames of one clip, in place.

        Args:
            frames: (n, C, C, 3) uint8 RGB.
            seed: Of this clip; equal frames stay equal.
        """
        for frame in frames:
            with seeded(seed):
                changed = self._change(Image.fromarray(frame.numpy()))
            frame.copy_(torch.from_numpy(np.array(changed)))


def _change_of(policy: str, interpolation: str, crop_size: int) -> Callable[[Image.Image], Image.Image]:
    """timm's transform of images; its three makers take their kinds of policies."""
    from timm.data.auto_augment import (
        augment_and_mix_transform,
        auto_augment_transform,
        rand_augment_transform,
    )
    from timm.data.transforms import str_to_pil_interp

    options = {"translate_const": int(crop_size * _LARGEST_SHIFT)}
    if interpolation != "random":
        options["interpolation"] = str_to_pil_interp(interpolation)
    for beginning, make in (("rand", rand_augment_transform), ("augmix", augment_and_mix_transform)):
        if policy.startswith(beginning):
            return make(policy, options)
    return auto_augment_transform(policy, options)


def _keep_a_bit(change: Callable[[Image.Image], Image.Image]) -> None:
    """Let no operation of timm leave a picture without a bit: Pillow refuses that since version 13.

    Before it, such a picture became black.
    """
    from timm.data.auto_augment import posterize

    for operation in change.ops if hasattr(change, "ops") else chain(*change.policy):
        if operation.aug_fn is posterize:
            operation.aug_fn = _posterize


def _posterize(image: Image.Image, bits_to_keep: int, **options: object) -> Image.Image:
    from timm.data.auto_augment import posterize

    return posterize(image, max(1, bits_to_keep), **options)


class _Erased:
    """A clip as timm's erasing sees an image: what fills a box comes from the CPU, without waiting.

    Args:
        image: (3 T, C, C), on any device.
    """

    def __init__(self, image: torch.Tensor) -> None:
        self._image, self.size, self.dtype = image, image.size, image.dtype

    def __setitem__(self, box: tuple[slice, ...], filling: torch.Tensor) -> None:
        device = self._image.device
        if device.type == "cuda":
            filling = filling.pin_memory()  # else the copy would wait for all that the GPU still has to do
        self._image[box] = filling.to(device, non_blocking=True)


class ClipErasing:
    """Random erasing (arXiv 1708.04896), timm's: the same boxes in all frames of a clip.

    A seed erases the same on every device, and a GPU is not waited for.

    Args:
        probability: Of a clip.
        mode: What a box is filled with: "pixel", normal noise, other in each frame; "rand", one normal colour
            in each frame; "const", 0, which is the mean.
        max_count: A clip that is erased has one to so many boxes, smaller where there are more.
    """

    def __init__(self, probability: float, mode: str, max_count: int) -> None:
        self._options = {"probability": probability, "mode": mode, "max_count": max_count}

    def __call__(self, clips: torch.Tensor, seeds: Sequence[int | None]) -> None:
        """Erase in place.

        Args:
            clips: (B, 3, T, C, C), normalised, contiguous.
            seeds: Of each clip; None leaves it whole.
        """
        from timm.data.random_erasing import RandomErasing

        erase = RandomErasing(**self._options, device="cpu")
        for clip, seed in zip(as_images(clips), seeds, strict=True):
            if seed is not None:
                with seeded(seed):
                    erase(_Erased(clip))


def as_images(clips: torch.Tensor) -> torch.Tensor:
    """Clips as images of 3 T channels, in the same memory: (B, 3, T, C, C) to (B, 3 T, C, C).

    What changes an image changes all frames of the clip alike.
    """
    return clips.view(len(clips), -1, *clips.shape[-2:])
