"""The whole model: stacking of frames, batches, chunks, frozen backbones, the paper's variants, bad input."""

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

import vtn
from vtn import InputError


class CountingBackbone(nn.Module):
    """Notes how many images it gets at once."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 12)
        self.norm = nn.BatchNorm1d(12)
        self.seen = []

    def forward(self, images):
        self.seen.append(len(images))
        return self.norm(self.linear(images.mean((2, 3))))


def random_clip(batch=2, num_frames=9):
    """(B, 3, T, 8, 8), and increasing frame indices (B, T)."""
    indices = torch.randint(1, 40, (batch, num_frames)).cumsum(1)
    return torch.randn(batch, 3, num_frames, 8, 8), indices


def test_frames_are_stacked_in_order(small_model):
    model, (clip, _) = small_model(), random_clip()
    features = model.frame_features(clip)
    for item in range(2):
        for frame in range(9):
            expected = model.backbone(clip[item : item + 1, :, frame])[0]
            torch.testing.assert_close(features[item, frame], expected)


def test_forward_is_features_then_classification(small_model):
    model, (clip, indices) = small_model().eval(), random_clip()
    logits = model(clip, indices)
    assert logits.shape == (2, 5)
    assert torch.equal(logits, model.classify(model.frame_features(clip), indices))


def test_a_batch_of_two_is_two_batches_of_one(small_model):
    model, (clip, indices) = small_model().eval(), random_clip()
    singles = torch.cat([model(clip[i : i + 1], indices[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(model(clip, indices), singles, rtol=0, atol=1e-6)


def test_indices_default_to_counting_from_zero(small_model):
    model, (clip, indices) = small_model().eval(), random_clip()
    counted = model(clip, torch.arange(9, dtype=torch.int32).expand(2, -1))
    assert torch.equal(model(clip), counted)
    assert not torch.allclose(model(clip, indices), counted)


@pytest.mark.parametrize(
    ("position_embedding", "matters"), [("learned", True), ("fixed", True), ("none", False)]
)
def test_what_frame_indices_change(small_model, position_embedding, matters):
    model, (clip, indices) = small_model(position_embedding=position_embedding).eval(), random_clip()
    same = torch.allclose(model(clip, indices), model(clip, indices + 1))
    assert same != matters


def test_order_matters_with_several_layers_and_not_with_one(small_model):
    clip, indices = random_clip()
    order = torch.randperm(9)
    for num_layers, same in ((1, True), (3, False)):
        model = small_model(num_layers=num_layers, attention_window=2).eval()
        for parameter in model.temporal_encoder.layers.parameters():
            nn.init.normal_(parameter, std=0.5)  # far from the start, where attention is nearly uniform
        shuffled = model(clip[:, :, order], indices[:, order])
        assert torch.allclose(model(clip, indices), shuffled, atol=1e-5) == same


def test_attention_over_frames(small_model):
    model, (clip, indices) = small_model(num_layers=2).eval(), random_clip()
    features = model.frame_features(clip)
    logits, attention = model.classify(features, indices, return_attention=True)
    assert torch.equal(logits, model.classify(features, indices))
    assert attention.shape == (2, 2, 3, 9)
    tokens = torch.cat([model.cls_token.expand(2, -1, -1), features], dim=1)
    on_itself = model.temporal_encoder(tokens, indices, need_weights=True)[1][..., 0]
    torch.testing.assert_close(attention.sum(-1), 1 - on_itself)


@pytest.mark.parametrize("position_embedding", ["learned", "fixed", "none"])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("attention", ["learned", "uniform"])
def test_every_parameter_that_asks_for_a_gradient_gets_one(
    small_model, position_embedding, num_layers, attention
):
    model = small_model(position_embedding=position_embedding, num_layers=num_layers, attention=attention)
    model(*random_clip()).square().sum().backward()
    without = [name for name, p in model.named_parameters() if (p.grad is None) == p.requires_grad]
    assert without == []


@pytest.mark.parametrize("backbone", ["test_vit", "test_resnet", "deit_tiny_distilled_patch16_224"])
def test_timm_backbones_train_whole(backbone):
    model = vtn.VTN(backbone, 3, num_heads=4, num_layers=1, img_size=32, drop_path_rate=0.1, drop_rate=0.1)
    model(torch.randn(2, 3, 2, 32, 32)).sum().backward()
    assert [name for name, p in model.named_parameters() if (p.grad is None) == p.requires_grad] == []


def test_distributed_training_needs_no_search_for_unused_parameters(small_model, tmp_path):
    store = f"file://{tmp_path}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        model = nn.parallel.DistributedDataParallel(small_model())
        for _ in range(2):  # a parameter without gradient is reported by the second step
            model(*random_clip()).sum().backward()
    finally:
        torch.distributed.destroy_process_group()


def test_chunks_give_the_same_in_evaluation_and_are_not_used_in_training(small_model):
    backbone, (clip, indices) = CountingBackbone(), random_clip()
    model = small_model(backbone=backbone, frames_per_chunk=5).eval()
    backbone.seen.clear()
    chunked = model(clip, indices)
    assert backbone.seen == [5, 5, 5, 3]
    model.frames_per_chunk = None
    torch.testing.assert_close(chunked, model(clip, indices), rtol=0, atol=1e-6)
    model.frames_per_chunk = 5
    backbone.seen.clear()
    model.train()(clip, indices)
    assert backbone.seen == [18]


def test_frozen_backbone_stays_as_it_is(small_model):
    backbone, (clip, indices) = CountingBackbone(), random_clip()
    model = small_model(backbone=backbone, freeze_backbone=True, frames_per_chunk=9)
    assert model.training
    assert not backbone.training
    model.eval().train()
    assert not any(module.training for module in backbone.modules())
    before = {name: x.clone() for name, x in backbone.state_dict().items()}
    backbone.seen.clear()
    assert not model.frame_features(clip.requires_grad_()).requires_grad  # no graph through the backbone
    assert backbone.seen == [9, 9]  # nothing is kept for a backward pass, so chunks save memory here too
    model(clip, indices).sum().backward()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    optimizer.step()
    for name, x in backbone.state_dict().items():
        assert torch.equal(x, before[name])
    assert not any(p.requires_grad for p in backbone.parameters())
    assert model.cls_token.grad.any()


def test_dropout_is_off_in_evaluation_and_on_in_training(small_model):
    model, (clip, indices) = small_model(), random_clip()
    assert not torch.equal(model(clip, indices), model(clip, indices))
    model.eval()
    assert torch.equal(model(clip, indices), model(clip, indices))


@pytest.mark.parametrize("alone", ["attention_dropout", "hidden_dropout", "head_dropout", None])
def test_each_dropout_works_alone(small_model, alone):
    rates = dict.fromkeys(["attention_dropout", "hidden_dropout", "head_dropout"], 0.0)
    model, (clip, indices) = small_model(**rates | ({alone: 0.5} if alone else {})), random_clip()
    assert torch.equal(model(clip, indices), model(clip, indices)) == (alone is None)


def test_the_head_drops_the_part_of_its_hidden_units_that_it_is_told(small_model):
    head, seen = small_model(mlp_dim=4000, head_dropout=0.3).mlp_head, []
    head[-1].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    state = torch.randn(1, 12)
    head.train()(state)
    head.eval()(state)
    dropped, whole = seen
    kept = dropped != 0
    assert 1 - kept.float().mean().item() == pytest.approx(0.3, abs=0.05)
    torch.testing.assert_close(dropped[kept], whole[kept] / 0.7)


def test_start_of_cls_token_and_head(small_model):
    model = small_model(mlp_dim=400)
    assert (
        vtn.VTN(model.backbone, 2, num_heads=3, img_size=8).cls_token.std() > 0.3
    )  # N(0, 1), not N(0, 0.02)
    first = model.mlp_head[1].weight
    assert 0.95 / 12**0.5 < first.abs().max() <= 1 / 12**0.5  # PyTorch's uniform start
    assert [module.eps for module in model.modules() if isinstance(module, nn.LayerNorm)] == [1e-12] * 7 + [
        1e-5
    ]


def test_bfloat16_is_close(small_model):
    model, (clip, indices) = small_model().eval(), random_clip()
    with torch.autocast("cpu", torch.bfloat16):
        half = model(clip, indices)
    torch.testing.assert_close(half.float(), model(clip, indices), rtol=0, atol=0.05)


@pytest.mark.parametrize(
    ("name", "parameters", "millions_in_paper"),
    [
        ("vtn_vit_b", 113_502_352, 114),
        ("vtn_vit_b_1layer", 95_783_056, 96),
        ("vtn_deit_b", 113_502_352, None),
        ("vtn_deit_bd", 113_502_352 + 2 * 768, None),  # a second token and its position
        ("vtn_deit_ti", 10_024_528, 10),
        ("vtn_r50", 167_626_192, 168),
        ("vtn_r101", 186_618_320, 187),
    ],
)
def test_variants_have_the_papers_number_of_parameters(name, parameters, millions_in_paper):
    with torch.device("meta"):
        model = vtn.create_model(name, num_classes=400)
    total = sum(p.numel() for p in model.parameters())
    assert total == parameters
    assert millions_in_paper in (None, round(total / 1e6))
    clip = torch.empty(1, 3, 4, 224, 224, device="meta")
    assert model(clip, torch.zeros(1, 4, dtype=torch.int64, device="meta")).shape == (1, 400)


def test_overrides_of_a_variant():
    with torch.device("meta"):
        model = vtn.create_model("vtn_deit_ti", 7, num_layers=1, attention_window=[18])
    assert model.num_classes == 7
    assert [layer.attention.attention_window for layer in model.temporal_encoder.layers] == [18]


def test_unknown_variant():
    with pytest.raises(
        InputError, match=r"no model named 'vtn_vit' among vtn_vit_b, .*; did you mean vtn_vit_b\?"
    ):
        vtn.create_model("vtn_vit")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames_per_chunk": 0}, r"frames_per_chunk must be a positive integer, not 0"),
        ({"num_classes": 0}, r"num_classes must be a positive integer, not 0"),
        ({"mlp_dim": 0}, r"mlp_dim must be a positive integer, not 0"),
        ({"head_dropout": 1.1}, r"head_dropout must be a probability from 0 to 1, not 1\.1"),
        ({"num_heads": 5}, r"num_heads is 5: it must be a divisor of .*, 12, such as 4"),
        ({"attention_window": [4, 4]}, r"attention_window \[4, 4\] has 2 entries, but num_layers is 3"),
        ({"position_embedding": "sine"}, r"position_embedding must be one of .*, not 'sine'"),
    ],
)
def test_bad_arguments(small_model, options, message):
    with pytest.raises(InputError, match=message):
        small_model(**options)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (
            torch.zeros(2, 3, 8, 8),
            r"clip must be floats of shape \(B, 3, T, H, W\).*not float32 of shape \(2, 3, 8, 8\)",
        ),
        (torch.zeros(2, 9, 3, 8, 8), r"clip must be .*not float32 of shape \(2, 9, 3, 8, 8\)"),
        (torch.zeros(2, 3, 0, 8, 8), r"clip must be .*with T >= 1, not float32 of shape \(2, 3, 0, 8, 8\)"),
        (torch.zeros(2, 3, 9, 8, 8, dtype=torch.uint8), r"clip must be floats .*not uint8"),
    ],
)
def test_bad_clips(small_model, clip, message):
    for call in (small_model(), small_model().frame_features):
        with pytest.raises(InputError, match=message):
            call(clip)


@torch.no_grad()
@pytest.mark.parametrize(
    "index", [[[0, 1, 2, 3, 4]], [[0, 0, 1, 2, 3, 4]], [[4, 0, 1, 2, 3], [0, 1, 2, 3, 4]]]
)
def test_frames_in_parts_have_the_features_that_they_have_together(small_model, index):
    model, frames, index = small_model().eval(), torch.randn(5, 3, 8, 8), torch.tensor(index)
    found = model.distinct_frame_features(iter(frames.split(2)), index)
    torch.testing.assert_close(found, model.distinct_frame_features(frames, index))
    with pytest.raises(InputError, match="index shows 5 frames, but there are more"):
        model.distinct_frame_features([frames, frames], index)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (
            torch.zeros(3, 8, 8),
            r"frames must be floats of shape \(N, 3, H, W\), not float32 of shape \(3, 8, 8\)",
        ),
        (torch.zeros(2, 1, 8, 8), r"frames must be .*not float32 of shape \(2, 1, 8, 8\)"),
        (torch.zeros(0, 3, 8, 8), r"frames must be .*not float32 of shape \(0, 3, 8, 8\)"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), r"frames must be floats .*not uint8"),
    ],
)
def test_bad_frames(small_model, frames, message):
    model, index = small_model().eval(), torch.tensor([[0, 1]])
    for given in (frames, [torch.zeros(1, 3, 8, 8), frames]):
        with pytest.raises(InputError, match=message):
            model.distinct_frame_features(given, index)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (torch.zeros(2, 9), r"frame_indices must be integers, not float32"),
        (torch.zeros(2, 9, dtype=torch.bool), r"frame_indices must be integers, not bool"),
        (torch.zeros(9, dtype=torch.int64), r"frame_indices must have shape \(2, 9\).*not \(9,\)"),
        (torch.zeros(1, 9, dtype=torch.int64), r"frame_indices must have shape \(2, 9\).*not \(1, 9\)"),
        (torch.zeros(2, 8, dtype=torch.int64), r"frame_indices must have shape \(2, 9\).*not \(2, 8\)"),
        (torch.arange(-3, 15).view(2, 9), r"frame_indices must be 0 or more, but -3 is among them"),
    ],
)
def test_bad_frame_indices(small_model, indices, message):
    model, (clip, _) = small_model(), random_clip()
    with pytest.raises(InputError, match=message):
        model(clip, indices)
    with pytest.raises(InputError, match=message):
        model.classify(torch.zeros(2, 9, 12), indices)


def test_frame_indices_that_are_no_tensor(small_model):
    with pytest.raises(InputError, match=r"frame_indices must be a tensor, not a list"):
        small_model()(random_clip()[0], [[0] * 9] * 2)


@pytest.mark.parametrize("shape", [(2, 12), (2, 9, 13), (2, 0, 12)])
def test_bad_features(small_model, shape):
    with pytest.raises(InputError, match=r"frame_features must be floats of shape \(B, T, 12\)"):
        small_model().classify(torch.zeros(shape))


def test_frames_of_a_size_that_the_backbone_cannot_take():
    backbone = VisionTransformer(
        img_size=32, patch_size=16, embed_dim=12, depth=1, num_heads=3, num_classes=0
    )
    model = vtn.VTN(backbone, 3, num_heads=3)
    with pytest.raises(InputError, match=r"frames of \(48, 32\) pixels, .* img_size \(32, 32\)"):
        model(torch.zeros(1, 3, 2, 48, 32))
    with pytest.raises(InputError, match=r"frames are of \(48, 32\) pixels, .* img_size \(32, 32\)"):
        model.distinct_frame_features(torch.zeros(2, 3, 48, 32), torch.tensor([[0, 1]]))


@pytest.mark.parametrize(
    ("width", "heads"), [(768, 12), (2048, 8), (512, 8), (320, 10), (192, 12), (96, 12), (11, 11), (13, 1)]
)
def test_heads_that_are_left_to_the_model(width, heads):
    backbone = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, width))
    with torch.device("meta"):
        model = vtn.VTN(backbone, 2, num_heads=None, num_layers=1, img_size=8)
    assert model.temporal_encoder.layers[0].attention.num_heads == heads
    assert model.sizes == {"num_heads": heads, "ffn_dim": 4 * width, "mlp_dim": width}
    assert model.temporal_encoder.layers[0].ffn_in.out_features == 4 * width
    assert model.mlp_head[1].out_features == width
