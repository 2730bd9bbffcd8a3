"""The answer from stored features, layer by layer through a file, against the answer in memory."""

import functools
import subprocess
import sys
import tempfile

import numpy as np
import pytest
import torch

import vtn
from vtn import InputError, temporal_encoder


@pytest.fixture
def lively(small_model):
    """options -> a small model in evaluation, with attention that depends much on what it sees."""

    def build(**options) -> vtn.VTN:
        model = small_model(**{"num_layers": 3, "attention_window": [4, 2, 6]} | options).eval()
        for name, parameter in model.named_parameters():
            if "norm" not in name and not name.startswith("backbone"):
                torch.nn.init.normal_(parameter, std=0.4)
        return model

    return build


@pytest.mark.parametrize("attention", ["learned", "uniform"])
@pytest.mark.parametrize("position", ["learned", "fixed", "none"])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("part", [1, 3, 1024])
def test_as_in_memory(lively, monkeypatch, attention, position, layers, part):
    windows = [4, 2, 6][:layers]
    options = {"attention": attention, "position_embedding": position}
    model = lively(num_layers=layers, attention_window=windows, max_position_embeddings=14, **options)
    features, indices = torch.randn(25, 12), torch.arange(25) * 2
    with torch.no_grad():
        expected = model.classify(features[None], indices[None])[0]
    monkeypatch.setattr(temporal_encoder, "FRAMES_PER_PART", part)
    found = vtn.classify_stored(model, features, indices)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_any_way_to_store_them(lively, tmp_path):
    model, features = lively(), torch.randn(25, 12)
    with torch.no_grad():
        expected = model.classify(features[None])[0]
    np.save(tmp_path / "all.npy", features.numpy())
    parts = features.split([1, 17, 7])
    for number, part in enumerate(parts):
        np.save(tmp_path / f"{number}.npy", part.numpy())
    for stored in (
        np.load(tmp_path / "all.npy", mmap_mode="r"),
        (np.load(tmp_path / f"{number}.npy", mmap_mode="r") for number in range(3)),
        list(parts),
    ):
        torch.testing.assert_close(vtn.classify_stored(model, stored), expected, rtol=0, atol=1e-5)


def test_scaled_positions(lively):
    model = lively(position_overflow="scale", max_position_embeddings=12)
    features = torch.randn(25, 12)
    with torch.no_grad():
        expected = model.classify(features[None])[0]
    for stored, length in ((features, None), (iter([features]), 25)):
        found = vtn.classify_stored(model, stored, num_frames=length)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    found = vtn.classify_stored(model, iter([features]), torch.arange(25))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    with pytest.raises(InputError, match="classify_stored needs num_frames, the length of the video"):
        vtn.classify_stored(model, iter([features]))
    with pytest.raises(InputError, match="frame_indices must be below num_frames, 24, not 24"):
        vtn.classify_stored(model, features, num_frames=24)


def test_at_most_two_files_which_nobody_can_find(lively, monkeypatch, tmp_path):
    opened, create = [], tempfile.TemporaryFile

    def watch(**options):
        assert sum(not file.closed for file in opened) <= 1
        opened.append(create(**options))
        assert not list(tmp_path.iterdir())
        return opened[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", watch)
    model = lively(num_layers=5, attention_window=4)
    vtn.classify_stored(model, torch.randn(25, 12), scratch_folder=tmp_path)
    assert len(opened) == 4
    with pytest.raises(ZeroDivisionError):
        vtn.classify_stored(model, (torch.randn(9, 12) / (1 // (2 - n)) for n in range(3)))
    assert len(opened) == 5
    assert all(file.closed for file in opened)


MEASURE = """
import re, sys, torch, vtn

def mib(field):
    return int(re.search(field + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024

torch.manual_seed(0)
backbone = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 64))
model = vtn.VTN(backbone, 5, num_layers=3, num_heads=4, attention_window=32).eval()
parts = (torch.randn(1000, 64) for _ in range(int(sys.argv[1]) // 1000))
open("/proc/self/clear_refs", "w").write("5")  # forget the peak of the imports
before = mib("VmRSS")
assert vtn.classify_stored(model, parts, scratch_folder=sys.argv[2]).isfinite().all()
print(mib("VmHWM") - before)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_video(tmp_path):
    def peak(frames: int) -> float:
        command = [sys.executable, "-c", MEASURE, str(frames), str(tmp_path)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    short, long = peak(5_000), peak(100_000)
    assert short > 1
    assert long - short < 10  # MiB; the states of a layer are 24


@pytest.mark.parametrize(
    ("features", "indices", "message"),
    [
        (torch.randn(4, 11), None, r"features must be floats of shape \(N, 12\) with N >= 1, not float32"),
        (torch.randn(0, 12), None, r"features must be floats of shape \(N, 12\) with N >= 1"),
        (np.zeros((4, 12), dtype=np.int64), None, "features must be floats of shape"),
        ([], None, "features has no frames"),
        (torch.randn(4, 12), torch.arange(5), "frame_indices has 5 numbers, but there are 4 frames"),
        (torch.randn(4, 12), torch.arange(3), "frame_indices has 3 numbers, but there are 4 frames"),
        (torch.randn(4, 12), torch.arange(4) - 1, "frame_indices must be 0 or more, but -1"),
    ],
)
def test_errors(lively, features, indices, message):
    with pytest.raises(InputError, match=message):
        vtn.classify_stored(lively(), features, indices)


def test_refusals(lively, tmp_path, monkeypatch):
    features = torch.randn(4, 12)
    with pytest.raises(InputError, match="^classify_stored needs a model in evaluation"):
        vtn.classify_stored(lively().train(), features)
    with pytest.raises(InputError, match="^classify_stored cannot be had with shuffle_frames"):
        vtn.classify_stored(lively(shuffle_frames=True), features)
    with pytest.raises(InputError, match=f"^cannot write to scratch_folder {tmp_path}/none: No such file"):
        vtn.classify_stored(lively(), features, scratch_folder=tmp_path / "none")
    full = functools.partial(open, "/dev/full", "r+b")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **options: full())
    with pytest.raises(InputError, match="^cannot write to scratch_folder .*: No space left on device"):
        vtn.classify_stored(lively(), torch.randn(5000, 12))
