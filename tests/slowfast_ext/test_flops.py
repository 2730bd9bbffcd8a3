"""The counter against arithmetic by hand, fvcore, the paper's table 4 and published counts."""

import itertools
from pathlib import Path

import pytest
import timm
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

import vtn
from slowfast_ext.flops import (
    count_flops,
    count_parameters,
    example_inputs,
    load_on_meta,
    view_shape,
)

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


def test_counting_leaves_the_model_as_it_was():
    model = ByHand().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    count_flops(model, [torch.zeros(1, 3, 2, 4, 6)])
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class WithoutFormula(nn.Module):
    """Operators that nobody counts, around two that are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.pool = nn.MaxPool2d(2)
        self.norm = nn.LayerNorm(4)
        self.linear = nn.Linear(4, 10)

    def forward(self, inputs):
        x = self.pool(self.conv(inputs[0]).relu())  # (2, 4, 3, 5)
        tokens = self.norm(x.flatten(2).transpose(1, 2))  # (2, 15, 4)
        hidden = nn.functional.gelu(self.linear(tokens))  # (2, 15, 10)
        hidden = hidden + hidden[:, :1] + 1.0
        weights = (hidden @ hidden.transpose(1, 2)).softmax(-1)  # (2, 15, 15)
        return weights.mean()


def test_operators_without_a_formula_are_listed():
    count = count_flops(WithoutFormula(), [torch.zeros(2, 3, 6, 10)])
    assert {name: round(n * 1e9) for name, n in count.operators.items()} == {
        "convolution": 2 * 60 * 3 * 4,
        "addmm": 30 * 4 * 10,
        "bmm": 2 * 15 * 15 * 10,
    }
    assert {part: round(n * 1e9) for part, n in count.parts.items()} == {
        "conv": 1440,
        "pool": 0,
        "norm": 0,
        "linear": 1200,
    }
    uses = {use.operator: (use.calls, use.elements) for use in count.uncounted}
    assert uses == {
        "relu": (1, 2 * 4 * 60),
        "add": (2, 2 * 300),
        "_softmax": (1, 450),
        "gelu": (1, 300),
        "max_pool2d_with_indices": (1, 120),  # not its 120 indices
        "native_layer_norm": (1, 120),  # not its statistics
        "mean": (1, 1),
    }
    elements = [use.elements for use in count.uncounted]
    assert elements == sorted(elements, reverse=True)


class FirstInput(nn.Module):
    """A module under PySlowFast's calling convention."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs):
        return self.module(inputs[0])


def small_vtn() -> vtn.VTN:
    return vtn.VTN(
        "vit_tiny_patch16_224", 5, num_layers=2, num_heads=3, attention_window=4, img_size=32
    ).eval()


def test_every_operator_is_counted_or_listed():
    """make_fx writes down what runs, by machinery that shares nothing with the counter's."""
    model, clip = FirstInput(small_vtn()).to("meta"), torch.zeros(1, 3, 40, 32, 32, device="meta")
    count = count_flops(model, [clip])
    with torch.no_grad():
        graph = make_fx(model)([clip]).graph
    ran = {
        str(node.target.overloadpacket).removeprefix("aten.")
        for node in graph.nodes
        if node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload)
    }
    known = set(count.operators) | {use.operator for use in count.uncounted}
    computes_nothing = {"view", "_unsafe_view", "transpose", "permute", "unsqueeze", "squeeze", "expand", "t"}
    computes_nothing |= {
        "select",
        "slice",
        "split",
        "split_with_sizes",
        "unbind",
        "detach",
        "alias",
        "unfold",
    }
    computes_nothing |= {"empty", "new_empty", "lift_fresh_copy", "as_strided"}
    assert {"addmm", "convolution", "native_layer_norm", "gelu"} <= ran
    assert ran - known <= computes_nothing


def analyse_with_fvcore(model, *inputs):
    from fvcore.nn import FlopCountAnalysis  # not above: there its import, before PySlowFast's, would warn

    quiet = FlopCountAnalysis(model, inputs).unsupported_ops_warnings(False)
    return quiet.uncalled_modules_warnings(False).tracer_warnings("none")


def test_convolutions_and_linear_layers_equal_fvcore():
    model, clip = small_vtn(), torch.zeros(1, 3, 9, 32, 32)
    by_operator = analyse_with_fvcore(model, clip).by_operator()
    ours = count_flops(FirstInput(model), [clip])
    assert round(ours.conv_linear * 1e9) == by_operator["conv"] + by_operator["linear"]
    assert by_operator["linear"] > 1e7


def test_fused_attention_is_counted_here_and_not_by_fvcore():
    """fvcore's total is silent about it: the reason for a counter of our own."""
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=32).eval()
    image = torch.zeros(7, 3, 32, 32)
    theirs = analyse_with_fvcore(model, image)
    assert set(theirs.by_operator()) == {"conv", "linear", "layer_norm"}
    assert theirs.unsupported_ops()["aten::scaled_dot_product_attention"] == 12
    tokens, width, layers = 1 + 2 * 2, 192, 12
    assert round(count_flops(FirstInput(model), [image]).products * 1e9) == 7 * layers * 2 * tokens**2 * width


@pytest.mark.parametrize("sequence_encoder", [None, "bert"])
def test_attention_is_counted_where_values_are_needed_too(sequence_encoder):
    """BERT runs on the CPU even when the rest is on meta; there its attention is one fused operator."""
    model = vtn.VTN("test_vit", 3, num_layers=2, num_heads=4, sequence_encoder=sequence_encoder)

    class Temporal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = model.temporal_encoder

        def forward(self, inputs):
            return self.encoder(inputs[0], torch.zeros(1, 9, dtype=torch.long, device=inputs[0].device))[0]

    width = model.embed_dim
    found = count_flops(Temporal(), [torch.zeros(1, 10, width)])
    if sequence_encoder == "bert":  # query keys and weights values, 10 tokens each, in two layers
        assert found.products * 1e9 == pytest.approx(2 * 2 * 10 * 10 * width)
    assert found.products > 0


def merging_vit_by_hand(patches: int, layers: int, width: int, heads: int, merged: int) -> tuple[int, int]:
    """(linear layers, products) of the layers of a ViT with a class token: ToMe, section 3."""
    linear = products = 0
    for _ in range(layers):
        tokens = 1 + patches
        linear += tokens * width * 3 * width + tokens * width * width  # queries, keys, values; projection
        products += 2 * tokens * tokens * width  # query keys, weights values
        if merged:  # every second patch with every other, keys averaged over the heads
            products += (patches - patches // 2) * (patches // 2) * (width // heads)
        patches -= min(merged, patches // 2)
        linear += (1 + patches) * 2 * width * 4 * width  # after the merging
    return linear, products


@pytest.mark.parametrize(
    ("merged", "tokens"),
    [
        (0, [197] * 13),
        (8, [197, 189, 181, 173, 165, 157, 149, 141, 133, 125, 117, 109, 101]),
        (16, [197, 181, 165, 149, 133, 117, 101, 85, 69, 53, 37, 21, 11]),  # at the end half of 20 patches
    ],
)
def test_merged_tokens_are_not_counted(merged, tokens):
    with torch.device("meta"):
        model = vtn.VTN("vit_base_patch16_224", 5, merge_tokens=merged).backbone
    seen = []
    for block in model.blocks:
        block.norm1.register_forward_hook(lambda module, args, output: seen.append(output.shape[1]))
        block.norm2.register_forward_hook(lambda module, args, output: seen.append(output.shape[1]))
    count = count_flops(FirstInput(model), [torch.zeros(1, 3, 224, 224)])
    linear, products = merging_vit_by_hand(196, 12, 768, 12, merged)
    assert round(count.conv_linear * 1e9) == linear + 196 * (3 * 16 * 16) * 768
    assert round(count.products * 1e9) == products
    assert seen == [number for pair in itertools.pairwise(tokens) for number in pair]


def count(name: str, *overrides: str, train: bool = False):
    cfg, model = load_on_meta(ROOT / "configs" / "Kinetics" / f"{name}.yaml", overrides)
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
def test_slowfast_equals_the_paper(name, views, paper):
    assert count(name).conv_linear * views == pytest.approx(paper, abs=1.0)


def test_vit_b_vtn_is_within_one_percent_of_the_paper():
    assert count("VTN_ViT_B").conv_linear == pytest.approx(4218, rel=0.01)


def test_i3d_equals_pyslowfast():
    """28.41 G at 8 x 224 x 224 in training; non-local blocks add products of activations."""
    assert count("I3D_8x8_R50", train=True).conv_linear == pytest.approx(28.41, abs=0.01)
    assert count("I3D_NLN_32x2_R50").total == pytest.approx(182.02, abs=0.05)


def test_a_backbone_that_pools_by_attention_is_counted():
    """Its query is a parameter that is expanded to the batch."""
    model = FirstInput(timm.create_model("test_vit3", num_classes=0))
    assert count_flops(model, [torch.zeros(2, 3, 160, 160)]).total > 0
