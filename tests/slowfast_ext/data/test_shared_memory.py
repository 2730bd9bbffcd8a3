"""Segments of shared memory: written again only when nobody reads them any more."""

import gc
import random
import sys
import time
from pathlib import Path

import pytest
import torch
from fake_jobs import in_process
from torch.utils.data import DataLoader, Dataset

from slowfast_ext.data import shared_memory
from slowfast_ext.data.frames import Frames
from slowfast_ext.data.shared_memory import allocate, allocate_shared

SHAPE = (5, 8, 8, 3)


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch):
    """Clips of a kilobyte are treated as those of many megabytes; the workers inherit it."""
    monkeypatch.setattr(shared_memory, "_LARGE", 100)


class Numbers(Dataset):
    """Clips full of their own number, with how many segments the worker has."""

    def __init__(self, count: int, failing: tuple[int, ...] = ()) -> None:
        self.count, self.failing = count, failing

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, item: int):
        pixels, kept = allocate(SHAPE)
        assert pixels.is_shared()
        if item in self.failing:
            return (
                Frames((torch.zeros((1, 8, 8, 3), dtype=torch.uint8),), torch.zeros((1, 5), dtype=int)),
                item,
                0,
            )
        frames = Frames((pixels.fill_(item % 251),), torch.arange(5)[None], kept)
        return frames, item, len(shared_memory._blocks)


def load(dataset: Dataset, **options) -> DataLoader:
    return DataLoader(dataset, num_workers=2, **options)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_memory_is_used_again_and_never_too_early(batch_size):
    """The last few batches are held on to, as a pipeline would; all must stay what they were."""
    held, most = [], 0
    for frames, items, counts in load(Numbers(90), batch_size=batch_size):
        held = [*held[-2:], (frames, items)]
        most = max(most, int(counts.max()))
        for kept, numbers in held:
            assert [int(part.unique()) for part in kept.parts] == [n % 251 for n in numbers.tolist()]
    # Without reuse each worker would have a segment for each of its 45 items, or the most that are kept.
    assert most <= (7 if batch_size == 1 else shared_memory._MOST)


def test_holding_everything_only_costs_memory():
    held = list(load(Numbers(40), batch_size=2))
    for frames, items, _ in held:
        assert [int(part.unique()) for part in frames.parts] == items.tolist()


def test_what_outlives_the_frames_is_a_copy():
    """Pixels, images, clips and a choice of clips stay right after the memory was written again."""
    copies = []
    for frames, items, _ in load(Numbers(60), batch_size=1):
        ones = frames.images([0, 0, 0], [1 / 255] * 3)
        copies.append((int(items), frames.pixels, ones, frames[torch.tensor([True])].pixels))
    del frames
    for item, *tensors in copies:
        assert [float(tensor.unique()) for tensor in tensors] == pytest.approx([item] * 3)


def test_moving_to_where_it_is_keeps_the_lease():
    held = [frames.to("cpu", non_blocking=True) for frames, *_ in load(Numbers(40), batch_size=1)]
    assert [int(frames.parts[0].unique()) for frames in held] == list(range(40))
    assert held[0].to("meta").kept == ()


def test_a_clip_that_failed_gives_its_memory_back():
    dataset = Numbers(60, failing=tuple(range(0, 60, 3)))
    most = 0
    for frames, items, counts in load(dataset, batch_size=2):
        most = max(most, int(counts.max()))
        shown = frames.pixels[frames.index][:, :, 0, 0, 0]
        assert shown.tolist() == [[0 if item % 3 == 0 else item] * 5 for item in items.tolist()]
    assert most <= shared_memory._MOST


def test_outside_a_worker_memory_is_ordinary():
    pixels, kept = allocate(SHAPE)
    assert not pixels.is_shared()
    assert kept == ()
    assert not shared_memory._blocks


def test_a_lease_ends_with_its_frames():
    loader = iter(load(Numbers(2), batch_size=1))
    frames, *_ = next(loader)
    in_use = frames.kept[0]._in_use
    assert int(in_use) == 1
    del frames
    gc.collect()
    assert int(in_use) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="memory without a name is Linux's")
def test_a_process_that_is_killed_while_it_asks_for_memory_leaves_none():
    """PyTorch's own memory, which has a name at first, was left by 29 of 100."""
    for seed in range(20):
        process = in_process(ask_for_ever)
        time.sleep(random.Random(seed).uniform(0.002, 0.01))
        assert process.is_alive()
        process.kill()
        process.join()
        assert list(Path("/dev/shm").glob(f"torch_{process.pid}_*")) == []


def ask_for_ever() -> None:
    while True:
        allocate_shared((2, 3), torch.float64)


def test_memory_of_several_processes_is_one():
    memory = allocate_shared((2, 3), torch.float64).zero_()
    assert (memory.shape, memory.dtype, memory.is_shared()) == ((2, 3), torch.float64, True)
    in_process(lambda: memory[1].fill_(7.5)).join()
    assert memory.tolist() == [[0, 0, 0], [7.5, 7.5, 7.5]]
