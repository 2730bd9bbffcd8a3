"""VTN.FRAMES_PER_CHUNK: the same scores, and memory that does not grow with the video."""

import json
import os
import subprocess
import sys

import pytest
import torch
from tiny_runs import ROOT

from slowfast_ext.data.frames import Frames
from slowfast_ext.host import get_host

# Bytes are in memory already when the peak is first read; what is told is the rise after that, in MiB.
MEASURE = """
import json, resource, sys
import torch
from slowfast_ext.config import load_config
from slowfast_ext.data.frames import Frames
from slowfast_ext.models import VTN

torch.set_num_threads(1)
model = VTN(load_config(sys.argv[1], sys.argv[2:])).eval()

class MeanColour(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, model.embed_dim)

    def forward(self, images):
        return self.linear(images.mean((2, 3)))

model.backbone = MeanColour().eval()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
rises = []
for length in (250, 2000):
    frames = Frames((torch.ones(length, 224, 224, 3, dtype=torch.uint8),), torch.arange(length)[None])
    before = peak()
    with torch.no_grad():
        model([frames, frames.index])
    rises.append(peak() - before)
    frames = None
print(json.dumps(rises))
"""


@pytest.fixture
def measure(tiny_config, data_dir, tmp_path):
    """Rise of the peak memory for 250 and for 2,000 frames of 224 x 224 pixels, MiB."""

    def run(frames_per_chunk: int) -> list[float]:
        overrides = [
            *("DATA.PATH_TO_DATA_DIR", str(data_dir), "OUTPUT_DIR", str(tmp_path)),
            *("VTN.FRAMES_PER_CHUNK", str(frames_per_chunk)),
        ]
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(tiny_config), *overrides],
            capture_output=True,
            text=True,
            cwd=ROOT,
            # Blocks of a MiB go back to the system when they are freed. By default glibc keeps some
            # of them in its heap: up to 120 MiB after the first long video, no more after others.
            env=dict(os.environ, MALLOC_ARENA_MAX="1", MALLOC_MMAP_THRESHOLD_=str(2**20)),
            timeout=280,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.mark.slow
def test_memory_is_flat_from_250_to_2000_frames(measure):
    short, long = measure(8)
    # As floats the longer one is 1,148 MiB, the shorter one 144; eight frames are 5.
    assert short < 40, (short, long)
    assert long < 40, (short, long)


@pytest.mark.parametrize("lengths", [(7,), (2, 5, 4), (8, 8), (1,)])
def test_chunks_hold_every_frame_once_and_in_order(lengths):
    parts = tuple(torch.randint(0, 256, (n, 6, 6, 3), dtype=torch.uint8) for n in lengths)
    frames = Frames(parts, torch.arange(sum(lengths))[None])
    chunks = list(frames.chunks(4))
    assert [len(chunk) for chunk in chunks[:-1]] == [4] * (len(chunks) - 1)
    assert 1 <= len(chunks[-1]) <= 4
    assert torch.equal(torch.cat(chunks), torch.cat(parts))


@pytest.mark.parametrize("backbone", ["test_vit", "resnet10t"])
def test_same_scores_in_chunks(tiny_cfg, backbone):
    cfg = tiny_cfg("VTN.BACKBONE", backbone, "VTN.FRAMES_PER_CHUNK", "3")
    model = get_host().bare_model(cfg).eval()
    parts = tuple(torch.randint(0, 256, (n, 32, 32, 3), dtype=torch.uint8) for n in (4, 7))
    index = torch.tensor([[0, 0, 1, 2, 3, 3, 3], [4, 5, 6, 7, 8, 9, 10]])
    frames = Frames(parts, index)
    with torch.no_grad():
        in_chunks = model([frames, index])
        at_once = model([frames.clips(*model.normalization), index])  # floats of all, repeated, as a tensor
    torch.testing.assert_close(in_chunks, at_once, rtol=0, atol=1e-6)


def test_no_chunks_in_training(tiny_cfg):
    """A batch norm sees all frames of a batch at once, chunks or not."""
    seen = []
    model = get_host().bare_model(tiny_cfg("VTN.FRAMES_PER_CHUNK", "3"))
    model.backbone.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    frames = Frames((torch.zeros(8, 32, 32, 3, dtype=torch.uint8),), torch.arange(8)[None])
    model.train()([frames, frames.index])
    assert seen == [8]
    model.eval()([frames, frames.index])
    assert seen == [8, 3, 3, 2]


@pytest.mark.parametrize("frames_per_chunk", [0, 1, 3, 32])
def test_frames_that_hardly_differ_are_encoded_once(tiny_cfg, frames_per_chunk):
    """Grey frames of two videos: 0.02 is 5.1 grey levels, counted from the last encoded frame."""
    keys = ["VTN.REUSE_FRAMES", "0.02", "VTN.FRAMES_PER_CHUNK", str(frames_per_chunk)]
    model = get_host().bare_model(tiny_cfg(*keys)).eval()
    greys = torch.tensor([100, 103, 105, 106, 109, 120, 122, 122, 130, 200], dtype=torch.uint8)
    stands_for = [0, 0, 0, 3, 3, 5, 5, 7, 8, 9]  # the second video begins with frame 7
    pixels = greys[:, None, None, None].expand(-1, 32, 32, 3)
    index = torch.tensor([[0, 1, 2, 3, 4, 5, 6], [7, 7, 8, 8, 9, 9, 9]])
    frames = Frames((pixels[:4].clone(), pixels[4:].clone()), index)
    encoded = Frames((pixels[stands_for].clone(),), index)
    with torch.no_grad():
        scores = model([frames, index])
        assert model.frame_counts == {"compared": 10, "encoded": 6}
        model.reuse_frames = 0.0
        torch.testing.assert_close(scores, model([encoded, index]), rtol=0, atol=1e-6)
        assert (scores - model([frames, index])).abs().max() > 1e-6
