"""Backbones from timm and from the user."""

import huggingface_hub.constants
import pytest
import torch
from torch import nn

from vtn import InputError
from vtn.backbone import create_backbone, feature_dim


@pytest.mark.parametrize(
    ("name", "img_size", "width"),
    [
        ("test_vit", 64, 64),
        ("test_vit", (32, 64), 64),
        ("test_resnet", 64, 96),
        ("mobilenetv3_small_050", None, 1024),  # its num_features is 288: the last projection is not counted
    ],
)
def test_any_timm_network(name, img_size, width):
    backbone = create_backbone(name, img_size=img_size).eval()
    assert feature_dim(backbone, img_size) == width
    height, image_width = img_size if isinstance(img_size, tuple) else (img_size or 64, img_size or 64)
    assert backbone(torch.zeros(2, 3, height, image_width)).shape == (2, width)


def test_networks_for_any_size_do_not_mind_how_timm_says_so():
    with torch.device("meta"):
        for name, width in (("convnext_atto", 320), ("poolformer_s12", 512)):
            assert feature_dim(create_backbone(name, img_size=64), 64) == width


def test_drop_path_rate_arrives():
    rates = [
        block.drop_path1.drop_prob for block in create_backbone("test_vit", drop_path_rate=0.3).blocks[1:]
    ]
    assert rates[-1] == pytest.approx(0.3)


def test_finding_the_width_leaves_no_trace():
    backbone = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Dropout(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    backbone[2].eval()
    state = {name: x.clone() for name, x in backbone.state_dict().items()}
    random_state = torch.get_rng_state()
    assert feature_dim(backbone, 16) == 6
    assert [module.training for module in backbone] == [True, True, False, True, True]
    assert torch.equal(torch.get_rng_state(), random_state)
    for name, x in backbone.state_dict().items():
        assert torch.equal(x, state[name])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "vit_bse_patch16_224",
            r"backbone is 'vit_bse_patch16_224', which timm does not have; close names are vit_base_patch16",
        ),
        ("resnet50.tv_in1", r"backbone is 'resnet50.tv_in1', .*; close names are .*resnet50\.tv_in1k"),
        ("zzz", r"backbone is 'zzz', .*; timm\.list_models\(\) lists its names"),
        (50, r"backbone is 50, which"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(InputError, match=message):
        create_backbone(name)


def test_no_network_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    message = r"published weights of backbone test_vit cannot be loaded .*set pretrained to False"
    with pytest.raises(InputError, match=message) as caught:
        create_backbone("test_vit", pretrained=True)
    assert "\n" not in str(caught.value)


def test_options_that_a_network_lacks():
    with pytest.raises(InputError, match=r"backbone vgg11 has no option drop_path_rate \(0\.1\)"):
        create_backbone("vgg11", drop_path_rate=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pretrained": True}, r"pretrained True needs the name of a timm backbone, not a Flatten module"),
        ({"drop_path_rate": 0.1}, r"drop_path_rate 0\.1 needs the name of a timm backbone"),
        ({"drop_rate": 1.5}, r"drop_rate must be a probability from 0 to 1, not 1\.5"),
    ],
)
def test_options_of_a_module(options, message):
    with pytest.raises(InputError, match=message):
        create_backbone(nn.Flatten(), **options)


def test_networks_that_are_no_backbone():
    with pytest.raises(InputError, match=r"images \(1, 3, 8, 8\) to \(1, D\), not to shape \(1, 3, 8, 8\)"):
        feature_dim(nn.Identity(), 8)
    with pytest.raises(
        InputError, match=r"backbone test_vit fails on an image of 30 x 64 pixels .*img_size must"
    ):
        feature_dim(create_backbone("test_vit", img_size=(30, 64)), (30, 64))
