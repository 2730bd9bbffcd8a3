"""What the host's models get when the loops hand them frames."""

import pytest
import torch
from fvcore.common.config import CfgNode
from torch import nn

from slowfast_ext.data.frames import Frames
from slowfast_ext.data.packing import take_frames

# Different for each channel, and mean unlike std: a mix-up of any two shows.
MEAN, STD = [0.1, 0.4, 0.7], [0.2, 0.5, 0.8]


class Recorder(nn.Module):
    """Keeps what it was called with."""

    def forward(self, *args):
        self.args = args


def make_cfg(arch: str) -> CfgNode:
    model = {
        "MODEL_NAME": "",
        "ARCH": arch,
        "SINGLE_PATHWAY_ARCH": ["i3d"],
        "MULTI_PATHWAY_ARCH": ["slowfast"],
    }
    return CfgNode({"DATA": {"MEAN": MEAN, "STD": STD}, "MODEL": model, "SLOWFAST": {"ALPHA": 4}})


@pytest.fixture
def frames() -> Frames:
    """Two clips of eight frames; the second shows its first frame twice."""
    pixels = torch.randint(0, 256, (15, 6, 6, 3), dtype=torch.uint8)
    return Frames((pixels,), torch.tensor([list(range(8)), [8, 8, *range(9, 15)]]))


@pytest.fixture
def dense(frames) -> torch.Tensor:
    """What they stand for, pixel by pixel: (2, 3, 8, 6, 6)."""
    clips = torch.empty(2, 3, 8, 6, 6, dtype=torch.float64)
    for clip, shown in enumerate(frames.index.tolist()):
        for time, number in enumerate(shown):
            for channel in range(3):
                picture = frames.pixels[number, :, :, channel].double() / 255
                clips[clip, channel, time] = (picture - MEAN[channel]) / STD[channel]
    return clips.float()


def test_a_single_pathway_gets_the_normalised_clips(frames, dense):
    model = take_frames(Recorder(), make_cfg("i3d"))
    model([frames], "more")
    inputs, more = model.args
    assert more == "more"
    assert len(inputs) == 1
    torch.testing.assert_close(inputs[0], dense, rtol=0, atol=1e-6)


def test_two_pathways_get_the_normalised_clips_and_some_of_their_frames(frames, dense):
    model = take_frames(Recorder(), make_cfg("slowfast"))
    model([frames])
    ((slow, fast),) = model.args
    torch.testing.assert_close(fast, dense, rtol=0, atol=1e-6)
    torch.testing.assert_close(slow, dense[:, :, [0, 7]], rtol=0, atol=1e-6)  # evenly, the ends included


def test_tensors_pass_as_they_are():
    model = take_frames(Recorder(), make_cfg("i3d"))
    clip = torch.randn(1, 3, 8, 6, 6)
    model([clip])
    ((same,),) = model.args
    assert same is clip


def test_a_model_that_takes_frames_gets_them(frames):
    model = Recorder()
    model.takes_frames = True
    take_frames(model, make_cfg("i3d"))([frames])
    assert model.args == ([frames],)
