"""The authors' tiny model, and small models of our own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

import vtn
from vtn.authors_names import from_authors_names

REFERENCE = Path(__file__).parents[2] / "data" / "vtn_tiny_reference.npz"


class MeanColour(nn.Module):
    """A backbone that can be checked by hand: (N, 3, H, W) -> (N, 12), linear in the mean colour."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 12)

    def forward(self, images):
        return self.linear(images.mean((2, 3)))


@pytest.fixture(scope="session")
def reference():
    """Name -> tensor, from the file of the authors' results."""
    with np.load(REFERENCE) as arrays:
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


@pytest.fixture(scope="session")
def authors_state(reference):
    """The authors' state dict, their names, their integer buffer included."""
    return {name.removeprefix("state/"): x for name, x in reference.items() if name.startswith("state/")}


@pytest.fixture(scope="session")
def authors_model(authors_state):
    """windows -> our VTN with the authors' weights, in evaluation mode."""

    def build(windows: list[int]) -> vtn.VTN:
        backbone = VisionTransformer(
            img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, num_classes=0
        )
        size = {"num_layers": len(windows), "num_heads": 3, "ffn_dim": 48, "mlp_dim": 20}
        model = vtn.VTN(backbone, 7, attention_window=windows, **size)
        state = from_authors_names(authors_state)
        absent = [name for name in state if name not in model.state_dict()]
        assert all(name.startswith("temporal_encoder.layers.") for name in absent)
        assert bool(absent) == (len(windows) < 3)
        model.load_state_dict({name: x for name, x in state.items() if name not in absent})
        return model.eval()

    return build


@pytest.fixture
def small_model():
    """options -> a VTN of width 12 on the mean colour of frames of 8 x 8 pixels."""

    def build(**options) -> vtn.VTN:
        settings = {"num_heads": 3, "attention_window": 4, "img_size": 8} | options
        return vtn.VTN(
            settings.pop("backbone", None) or MeanColour(), settings.pop("num_classes", 5), **settings
        )

    return build
