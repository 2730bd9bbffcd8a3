"""Frames: bytes that stand for clips, through collating, selecting and normalising."""

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from slowfast_ext.data.frames import Frames, concatenate

LARGE = torch.randint(0, 256, (3, 9, 12, 3), dtype=torch.uint8)
MEAN, STD = [0.45, 0.40, 0.5], [0.225, 0.25, 0.2]


def frames(index: list[int], seed: int = 0, size: int = 6) -> Frames:
    """One clip that shows as many distinct frames as `index` has."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (max(index) + 1, size, size, 3), dtype=torch.uint8, generator=generator)
    return Frames((pixels,), torch.tensor([index]))


def dense(clip: Frames) -> torch.Tensor:
    """The slow way: repeat, turn to floats, normalise, put channels first; (3, T, C, C) of the one clip."""
    shown = torch.stack([clip.pixels[number] for number in clip.index[0].tolist()]).double() / 255
    return ((shown - torch.tensor(MEAN)) / torch.tensor(STD)).permute(3, 0, 1, 2)


def test_a_batch_holds_each_frame_once_and_shows_them_all():
    short, long = frames([0, 0, 1, 1, 2]), frames([0, 1, 2, 3, 4], seed=1)
    batch = default_collate([short, long])
    assert batch.pixels.shape == (8, 6, 6, 3)
    assert batch.index.tolist() == [[0, 0, 1, 1, 2], [3, 4, 5, 6, 7]]
    assert (batch.shape, batch.size(0), len(batch), batch.device.type) == ((2, 3, 5, 6, 6), 2, 2, "cpu")
    clips = batch.clips(MEAN, STD)
    assert clips.dtype == torch.float32
    torch.testing.assert_close(clips, torch.stack([dense(short), dense(long)]).float(), rtol=0, atol=1e-6)
    images = batch.images(MEAN, STD)
    assert images.shape == (8, 3, 6, 6)
    assert torch.equal(images[batch.index[0]].transpose(0, 1), clips[0])


@pytest.mark.parametrize("chosen", [slice(1, 3), torch.tensor([False, True, True])])
def test_choosing_clips_drops_the_frames_of_the_others(chosen):
    clips = [frames([0, 0, 1]), frames([0, 1, 2], seed=1), frames([0, 1, 1], seed=2)]
    batch = concatenate(clips)[chosen]
    assert batch.pixels.shape[0] == 5
    expected = torch.stack([dense(clip) for clip in clips[1:]]).float()
    torch.testing.assert_close(batch.clips(MEAN, STD), expected, rtol=0, atol=1e-6)


def test_a_crop_of_larger_frames_travels_without_the_rest():
    class Crops(Dataset):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, item: int):
            return Frames((LARGE[:, 1:7, 2:8],), torch.tensor([[0, 1, 2]]))

    (batch,) = DataLoader(Crops(), batch_size=2, num_workers=1)
    assert torch.equal(batch.pixels, torch.cat([LARGE[:, 1:7, 2:8]] * 2))
    assert sum(part.untyped_storage().nbytes() for part in batch.parts) == 2 * 3 * 6 * 6 * 3


class Clips(Dataset):
    def __len__(self) -> int:
        return 5

    def __getitem__(self, item: int):
        return [frames([0, 0, 1, 2], seed=item), torch.tensor([4, 4, 5, 6])], item


@pytest.mark.parametrize("num_workers", [0, 2])
def test_through_pytorchs_own_loader(num_workers):
    batches = list(DataLoader(Clips(), batch_size=2, num_workers=num_workers))
    assert [len(batch[1]) for batch in batches] == [2, 2, 1]
    for (clips, numbers), items in batches:
        assert isinstance(clips, Frames)
        assert clips.pixels.is_shared() == (num_workers > 0)
        assert numbers.shape == clips.index.shape
        for row, item in zip(clips.clips(MEAN, STD), items.tolist(), strict=True):
            torch.testing.assert_close(row, dense(frames([0, 0, 1, 2], seed=item)).float(), rtol=0, atol=1e-6)


def test_moves_like_a_tensor():
    moved = frames([0, 1]).to("meta", non_blocking=True)
    assert moved.device.type == moved.index.device.type == "meta"
    assert moved.shape == (1, 3, 2, 6, 6)
