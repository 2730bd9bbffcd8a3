"""The counter against arithmetic by hand, the paper's table 4 and published counts."""

from pathlib import Path

import pytest
import torch
from torch import nn

from slowfast_ext.config import load_config
from slowfast_ext.flops import count_flops, count_parameters, example_inputs, view_shape
from slowfast_ext.host import get_host

ROOT = Path(__file__).resolve().parents[2]


class ByHand(nn.Module):
    """One layer of each kind, with sizes that are easy to multiply."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 5, (1, 3, 3), padding=(0, 1, 1), bias=False)
        self.linear = nn.Linear(5, 7)

    def forward(self, inputs):
        x = self.conv(inputs[0])  # (1, 5, 2, 4, 6)
        tokens = x.flatten(2).transpose(1, 2)  # 48 tokens of width 5
        q = tokens.unsqueeze(1)
        attended = nn.functional.scaled_dot_product_attention(q, q, q)
        return self.linear(attended.squeeze(1))


def test_counts_equal_arithmetic():
    model = ByHand()
    count = count_flops(model, [torch.zeros(1, 3, 2, 4, 6)])
    positions = 2 * 4 * 6
    assert count.conv_linear * 1e9 == positions * (3 * 9) * 5 + positions * 5 * 7
    assert count.products * 1e9 == 2 * positions * positions * 5  # q k^T and weights v
    assert count.total == count.conv_linear + count.products
    assert count_parameters(model) == 3 * 5 * 9 + 5 * 7 + 7


def count(name: str, tmp_path, *overrides: str, train: bool = False):
    path = ROOT / "configs" / "Kinetics" / f"{name}.yaml"
    fixed = ["NUM_GPUS", "0", "OUTPUT_DIR", str(tmp_path), "VTN.PRETRAINED", "False"]
    cfg = load_config(path, [*fixed, *overrides])
    with torch.device("meta"):
        model = get_host().MODEL_REGISTRY.get(cfg.MODEL.MODEL_NAME)(cfg)
    return count_flops(model, example_inputs(cfg, *view_shape(cfg, train=train), device="meta"))


# Paper table 4, GFLOPs of all views; the tolerance is half of the last digit that the paper prints.
@pytest.mark.parametrize(
    ("name", "views", "paper"),
    [
        ("SLOWFAST_8x8_R50", 30, 1971),
        ("SLOWFAST_8x8_R50_full_video", 1, 517),
        ("SLOWFAST_16x8_R101", 30, 6390),
    ],
)
def test_slowfast_equals_the_paper(name, views, paper, tmp_path):
    assert count(name, tmp_path).conv_linear * views == pytest.approx(paper, abs=1.0)


def test_vit_b_vtn_is_within_one_percent_of_the_paper(tmp_path):
    assert count("VTN_ViT_B", tmp_path).conv_linear == pytest.approx(4218, rel=0.01)


def test_i3d_equals_pyslowfast(tmp_path):
    """28.41 G at 8 x 224 x 224 in training; non-local blocks add products of activations."""
    assert count("I3D_8x8_R50", tmp_path, train=True).conv_linear == pytest.approx(28.41, abs=0.01)
    assert count("I3D_NLN_32x2_R50", tmp_path).total == pytest.approx(182.02, abs=0.05)
