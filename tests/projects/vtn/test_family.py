"""Networks of other families as backbones: whole models that train, what their feature is, how they see.

All are built with random weights; means and standard deviations are the published ones of each data set.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import vtn
from vtn import InputError
from vtn.backbone import create_backbone, normalization

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
INCEPTION = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


@pytest.mark.parametrize(
    ("name", "img_size", "width", "expected"),
    [
        ("convnext_atto", 64, 320, IMAGENET),
        ("hiera_tiny_224", 64, 768, IMAGENET),
        ("vit_small_patch14_dinov2", 56, 384, IMAGENET),
        ("vit_xsmall_patch16_clip_224", 64, 256, CLIP),
        ("deit_tiny_distilled_patch16_224", 64, 192, IMAGENET),
        ("vit_tiny_patch16_224", 64, 192, INCEPTION),
    ],
)
def test_a_family_trains_whole(name, img_size, width, expected):
    size = {"num_layers": 1, "num_heads": 4, "ffn_dim": 32, "mlp_dim": 16}
    model = vtn.VTN(name, 5, img_size=img_size, **size)
    assert model.embed_dim == width
    assert model.normalization == expected
    clip = torch.randn(1, 3, 3, img_size, img_size)
    logits = model(clip)
    assert logits.shape == (1, 5)
    logits.square().sum().backward()
    assert [key for key, p in model.named_parameters() if (p.grad is None) == p.requires_grad] == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vit_base_patch16_224.orig_in21k_ft_in1k", INCEPTION),
        ("deit_base_patch16_224.fb_in1k", IMAGENET),
        ("deit_base_distilled_patch16_224.fb_in1k", IMAGENET),
        ("deit_tiny_patch16_224.fb_in1k", IMAGENET),
        ("resnet50.tv_in1k", IMAGENET),
        ("resnet101", IMAGENET),
        ("vit_base_patch16_clip_224.openai", CLIP),
        # The tag counts: one architecture, two ways to see.
        ("vit_base_patch32_clip_224.openai_ft_in1k", CLIP),
        ("vit_base_patch16_224.augreg_in21k", INCEPTION),
        ("vit_base_patch16_224.mae", IMAGENET),
    ],
)
def test_normalization_by_name(name, expected):
    assert normalization(name) == expected


def test_normalization_of_the_paper_variants_is_that_of_their_weights():
    with torch.device("meta"):
        found = {
            name: vtn.create_model(name).normalization for name in ("vtn_vit_b", "vtn_deit_b", "vtn_r50")
        }
    assert found == {"vtn_vit_b": INCEPTION, "vtn_deit_b": IMAGENET, "vtn_r50": IMAGENET}


def test_normalization_of_modules(small_model):
    assert small_model().normalization is None
    made_by_timm = create_backbone("convnext_atto", img_size=32)
    assert normalization(made_by_timm) == IMAGENET
    assert normalization(nn.Flatten()) is None


def test_normalization_of_an_unknown_name():
    with pytest.raises(
        InputError, match=r"backbone is 'resnet5', which timm does not have; close names are resnet50"
    ):
        normalization("resnet5")


def test_convnext_averages_over_all_positions():
    backbone = create_backbone("convnext_atto").eval()
    nn.init.normal_(backbone.head.norm.weight)
    nn.init.normal_(backbone.head.norm.bias)
    images = torch.randn(2, 3, 64, 96)
    positions = backbone.forward_features(images)
    assert positions.shape == (2, 320, 2, 3)
    mean = positions.sum((2, 3)) / 6
    norm = backbone.head.norm
    expected = F.layer_norm(mean, (320,), norm.weight, norm.bias, norm.eps)
    torch.testing.assert_close(backbone(images), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "num_tokens"), [("deit_tiny_patch16_224", 1), ("deit_tiny_distilled_patch16_224", 2)]
)
def test_tokens_of_deit(name, num_tokens):
    """CLS, or the mean of the class and the distillation token, out of the last norm."""
    backbone = create_backbone(name, img_size=32).eval()
    normed = []
    backbone.norm.register_forward_hook(lambda module, args, output: normed.append(output))
    feature = backbone(torch.randn(2, 3, 32, 32))
    (tokens,) = normed
    assert tokens.shape == (2, num_tokens + 4, 192)
    expected = sum(tokens[:, i] for i in range(num_tokens)) / num_tokens
    torch.testing.assert_close(feature, expected, rtol=0, atol=1e-6)
    assert not torch.allclose(
        tokens[:, 0], tokens[:, num_tokens], atol=1e-2
    )  # the neighbour is another token


def test_vit_gives_its_cls_token():
    backbone = create_backbone("test_vit", img_size=32).eval()
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(backbone(images), backbone.forward_features(images)[:, 0])
