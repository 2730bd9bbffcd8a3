"""Token merging against loops over plain numbers, and on equal tokens, where it changes nothing.

Legend as in token_merging.py: N images, L tokens, P of them no patches, M patches, d width of a head.
"""

import copy
import math

import pytest
import timm
import torch
from timm.models.vision_transformer import ParallelScalingBlock, VisionTransformer
from torch import nn

import vtn
from vtn import InputError
from vtn.token_merging import MergedTokens, MergingBlock, match_tokens, merge, merge_tokens_in

PATCHES, DEPTH = 16, 3


def tiny_vit(**options):
    """16 patches of 8 x 8 pixels and a class token, 24 wide, in 3 layers; float64, in evaluation."""
    settings = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": DEPTH, "num_heads": 3}
    return VisionTransformer(**settings | {"num_classes": 0} | options).double().eval()


def merging(backbone, merge_tokens):
    """A copy of the network that merges."""
    twin = copy.deepcopy(backbone)
    merge_tokens_in(twin, merge_tokens)
    return twin


def passed_on(backbone):
    """List that grows by what each layer gives the next one, in order."""
    seen = []
    for block in backbone.blocks:
        block.register_forward_hook(lambda module, args, output: seen.append(output))
    return seen


def matched_by_loops(keys, num_merged):
    """What match_tokens does to the keys of one image, (M, d): steps 1 to 5 of the paper's section 3."""
    unit = [[x / math.sqrt(sum(y * y for y in key)) for x in key] for key in keys.tolist()]
    first, second = list(range(0, len(unit), 2)), list(range(1, len(unit), 2))
    edges = []
    for one in first:
        cosines = [
            (sum(x * y for x, y in zip(unit[one], unit[other], strict=True)), other) for other in second
        ]
        cosine, other = max(cosines)
        edges.append((cosine, one, other))
    joined = {one: other for _, one, other in sorted(edges, reverse=True)[:num_merged]}
    left = [one for one in first if one not in joined] + second
    return [left.index(joined.get(number, number)) for number in range(len(unit))]


@pytest.mark.parametrize(
    ("num_tokens", "num_merged"), [(2, 1), (3, 1), (4, 1), (7, 3), (8, 4), (9, 2), (9, 4), (30, 11), (30, 15)]
)
def test_matching_equals_loops(num_tokens, num_merged):
    keys = torch.randn(4, num_tokens, 5)
    places = match_tokens(keys, num_merged)
    assert places.tolist() == [matched_by_loops(image, num_merged) for image in keys]
    assert all(set(image) == set(range(num_tokens - num_merged)) for image in places.tolist())


def test_matching_by_hand():
    """Directions in degrees; 0, 2 and 4 may join: 10 is nearest to 12, 50 to 45, 100 to 45."""
    directions = torch.tensor([10.0, 12.0, 50.0, 45.0, 100.0, 300.0]).deg2rad()
    keys = (
        torch.stack([directions.cos(), directions.sin()], dim=1)[None]
        * torch.tensor([1.0, 9, 1, 1, 5, 1])[:, None]
    )
    assert match_tokens(keys, 1).tolist() == [[2, 2, 0, 3, 1, 4]]
    assert match_tokens(keys, 2).tolist() == [[1, 1, 2, 2, 0, 3]]
    assert match_tokens(keys, 3).tolist() == [[0, 0, 1, 1, 1, 2]]


def test_matching_knows_small_differences_under_autocast():
    keys = torch.ones(1, 40, 8) + 0.02 * torch.randn(1, 40, 8)  # cosines above 0.999
    expected = match_tokens(keys, 10)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(match_tokens(keys, 10), expected)


def test_merging_is_a_mean_weighted_by_size():
    x = torch.randn(2, 5, 3)
    first = torch.tensor([[0, 1, 1, 2, 1], [2, 0, 1, 2, 0]])
    once = merge(MergedTokens(x, None, None), first, 2)
    assert once.sizes.tolist() == [[1, 3, 1], [2, 1, 2]]
    second = torch.tensor([[0, 0, 1], [1, 0, 0]])
    twice = merge(once, second, 1)
    assert twice.sizes.tolist() == [[4, 1], [3, 2]]
    assert twice.places.tolist() == [[0, 0, 0, 1, 0], [0, 1, 0, 0, 1]]
    for image in range(2):
        for token in range(2):
            members = [x[image, n] for n in range(5) if twice.places[image, n] == token]
            torch.testing.assert_close(twice.values[image, token], sum(members) / len(members))
            shown = twice.unmerged()[image][twice.places[image] == token]
            assert torch.equal(shown, twice.values[image, token].expand(len(members), -1))


@pytest.mark.parametrize(
    ("options", "num_prefix"),
    [({}, 1), ({"reg_tokens": 3}, 4), ({"class_token": False, "global_pool": "avg"}, 0)],
)
def test_sizes_add_up_and_tokens_that_are_no_patches_stay_alone(options, num_prefix):
    backbone = merging(tiny_vit(**options), 5)
    seen = passed_on(backbone)
    backbone(torch.randn(2, 3, 32, 32).double())
    tokens = PATCHES + num_prefix
    assert [layer.values.shape[1] for layer in seen[:-1]] == [tokens - 5, tokens - 10]
    assert seen[-1].shape == (2, tokens, 24)
    for layer in seen[:-1]:
        assert layer.sizes.sum(1).tolist() == [tokens, tokens]
        assert torch.equal(layer.sizes[:, :num_prefix], torch.ones(2, num_prefix))
        assert torch.equal(layer.places[:, :num_prefix], torch.arange(num_prefix).expand(2, -1))
        counted = [
            [row.count(place) for place in range(layer.sizes.shape[1])] for row in layer.places.tolist()
        ]
        assert layer.sizes.tolist() == counted


def test_both_tokens_of_a_distilled_network_stay_alone():
    backbone = timm.create_model("deit_tiny_distilled_patch16_224", num_classes=0, img_size=64).eval()
    merge_tokens_in(backbone, 1)
    seen = passed_on(backbone)
    backbone(torch.randn(1, 3, 64, 64))
    assert [layer.values.shape[1] for layer in seen[:-1]] == list(range(17, 6, -1))
    assert all(layer.places[0, :2].tolist() == [0, 1] for layer in seen[:-1])


def test_a_layer_merges_no_more_than_half_of_its_patches():
    """The paper's r = 16 leaves 20 patches to the last of ViT-B's 12 layers, and this case 6 to its last."""
    backbone = merging(tiny_vit(), 5)
    seen = passed_on(backbone)
    backbone(torch.randn(1, 3, 32, 32).double())
    assert seen[-2].values.shape[1] == 1 + 6
    _, shown = seen[-1][0].unique(dim=0, return_inverse=True)
    assert len(shown.unique()) == 1 + 3


def equal_patches(kinds):
    """Images (1, 3, 32, 32) of 16 patches, of as many kinds as are named, in the order that is given."""
    colours = torch.randn(max(kinds) + 1, 3, 8, 8).double()
    rows = [torch.cat([colours[kind] for kind in kinds[i : i + 4]], dim=2) for i in range(0, PATCHES, 4)]
    return torch.cat(rows, dim=1)[None]


@pytest.mark.parametrize("pool", ["token", "avg", "map", "max", "avgmax"])
@pytest.mark.parametrize("options", [{}, {"qk_norm": True, "init_values": 0.3}])
def test_equal_tokens_are_merged_without_a_trace(pool, options):
    """Without positions equal patches stay equal, so the result is exact: attention and pooling by size."""
    backbone = tiny_vit(global_pool=pool, pos_embed="none", **options)
    images = equal_patches([0, 1, 2, 1, 0, 0, 1, 2, 2, 1, 0, 1, 2, 2, 0, 0])
    twin = merging(backbone, 3)
    seen = passed_on(twin)
    torch.testing.assert_close(twin(images), backbone(images), rtol=0, atol=1e-12)
    assert [layer.values.shape[1] for layer in seen[:-1]] == [14, 11]
    assert seen[1].sizes.max() >= 2


def test_attention_over_sizes_is_attention_over_duplicates():
    """One token of size 3 and one of size 2 against the five tokens themselves, in one layer."""
    backbone = tiny_vit(depth=2)
    block = merging(backbone, 1).blocks[1]
    x = torch.randn(1, 4, 24).double()
    sizes = torch.tensor([[1.0, 3.0, 1.0, 2.0]]).double()
    merged, _ = block._attend(x, sizes)
    plain, _ = block._attend(x.repeat_interleave(torch.tensor([1, 3, 1, 2]), dim=1), None)
    torch.testing.assert_close(merged, plain[:, [0, 1, 4, 5]], rtol=0, atol=1e-12)
    unweighted, _ = block._attend(x, None)
    assert (unweighted - merged).abs().max() > 1e-3


def test_zero_touches_nothing_and_names_stay():
    backbone = tiny_vit()
    names, blocks = list(backbone.state_dict()), list(backbone.blocks)
    merge_tokens_in(backbone, 0)
    assert all(one is other for one, other in zip(backbone.blocks, blocks, strict=True))
    twin = merging(backbone, 2)
    assert list(twin.state_dict()) == names
    assert all(isinstance(block, MergingBlock) and not block.training for block in twin.blocks)
    twin.load_state_dict(backbone.state_dict())


def model_of(backbone="test_vit", **options):
    settings = {"num_heads": 4, "attention_window": 4, "img_size": 64, "hidden_dropout": 0.0}
    return vtn.VTN(backbone, 5, attention_dropout=0.0, head_dropout=0.0, **settings | options)


def test_gradients_reach_every_parameter_of_the_backbone_and_a_batch_is_its_clips():
    model = model_of(merge_tokens=2).double()
    clips = torch.randn(2, 3, 4, 64, 64).double()
    both = model.train()(clips)
    torch.testing.assert_close(both, torch.cat([model(clip[None]) for clip in clips]), rtol=0, atol=1e-10)
    torch.testing.assert_close(model.eval()(clips), both, rtol=0, atol=1e-10)
    both.square().sum().backward()
    parameters = model.backbone.named_parameters()
    assert [name for name, p in parameters if p.grad is None or not p.grad.any()] == []


def test_gradients_are_those_of_the_formula():
    """Against finite differences, away from where a match changes."""
    backbone = merging(tiny_vit(embed_dim=12, depth=2), 4)
    images = torch.randn(1, 3, 32, 32).double().requires_grad_()
    direction = torch.randn_like(images)
    (gradient,) = torch.autograd.grad(backbone(images).square().sum(), images)
    with torch.no_grad():
        ends = [backbone(images + step * direction).square().sum() for step in (1e-6, -1e-6)]
    assert float((gradient * direction).sum()) == pytest.approx(float((ends[0] - ends[1]) / 2e-6), rel=1e-5)


def test_checkpointing_computes_the_same():
    backbone = merging(tiny_vit(), 3)
    images, found = torch.randn(2, 3, 32, 32).double(), []
    for checkpointing in (False, True):
        backbone.set_grad_checkpointing(checkpointing)
        backbone.zero_grad()
        backbone.train()(images).square().sum().backward()
        found.append([p.grad.clone() for p in backbone.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_autocast_stays_close():
    model = model_of(merge_tokens=2).eval()
    clip = torch.randn(1, 3, 3, 64, 64)
    with torch.no_grad():
        exact = model(clip)
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(clip)
    assert 0 < (rough.float() - exact).abs().max() < 0.1


def test_repeated_frames_are_encoded_once_in_training_too():
    model, seen = model_of(merge_tokens=2).train(), []
    model.backbone.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
    model(torch.randn(1, 3, 1, 64, 64).expand(-1, -1, 4, -1, -1), torch.zeros(1, 4, dtype=torch.int64))
    assert seen == [1]


def test_by_name_and_from_a_checkpoint(tmp_path):
    with torch.device("meta"):
        model = vtn.create_model("vtn_deit_ti", merge_tokens=8)
    assert [block.merge_tokens for block in model.backbone.blocks] == [8] * 12
    plain = model_of()
    torch.save({"model_state": plain.state_dict()}, tmp_path / "plain.pyth")
    merged = model_of(merge_tokens=2)
    vtn.load_checkpoint(merged, tmp_path / "plain.pyth")
    assert torch.equal(merged.backbone.blocks[3].mlp.fc1.weight, plain.backbone.blocks[3].mlp.fc1.weight)


@pytest.mark.parametrize(
    ("backbone", "merge_tokens", "message"),
    [
        ("resnet10t", 8, r"merge_tokens 8: backbone resnet10t is no ViT with global attention"),
        ("test_vit", 3, r"merge_tokens 3: backbone test_vit has 16 patches and 6 layers, so at most 2 can"),
        ("test_vit", -1, r"merge_tokens must be an integer of 0 or more, not -1"),
        ("test_vit", True, r"merge_tokens must be an integer of 0 or more, not True"),
        ("test_vit", 1.0, r"merge_tokens must be an integer of 0 or more, not 1\.0"),
        (nn.Flatten(), 1, r"merge_tokens 1: backbone Flatten is no ViT"),
        (tiny_vit(block_fn=ParallelScalingBlock), 1, r"backbone VisionTransformer is no ViT .* usual blocks"),
        (tiny_vit(attn_layer="diff"), 1, r"backbone VisionTransformer is no ViT .* usual blocks"),
        (merging(tiny_vit(), 1), 1, r"backbone VisionTransformer is no ViT .* usual blocks"),
    ],
)
def test_refusals(backbone, merge_tokens, message):
    with pytest.raises(InputError, match=message):
        model_of(backbone, merge_tokens=merge_tokens)


def test_the_most_that_can_be_merged():
    backbone = merging(tiny_vit(), 5)  # 16 patches, 3 layers
    assert backbone(torch.randn(1, 3, 32, 32).double()).isfinite().all()
    with pytest.raises(InputError, match="at most 5"):
        merging(tiny_vit(), 6)
