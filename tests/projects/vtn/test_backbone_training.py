"""Activations that are computed again, rates by layer of a backbone, and how the head starts."""

import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from timm.optim import param_groups_layer_decay
from torch import nn

import vtn
from vtn import InputError
from vtn.backbone_training import layer_scales, recompute_activations

CLIP_SHAPE = (2, 3, 4, 32, 32)


def model_of(depth: int, *, frozen: bool = False) -> vtn.VTN:
    torch.manual_seed(0)
    size = {"img_size": 32, "patch_size": 8, "embed_dim": 12, "num_heads": 3, "num_classes": 0}
    options = {"num_heads": 3, "attention_window": 4, "attention_dropout": 0.0, "hidden_dropout": 0.0}
    backbone = VisionTransformer(depth=depth, **size)
    return vtn.VTN(backbone, 5, head_dropout=0.0, freeze_backbone=frozen, **options).train()


def bytes_kept(model: vtn.VTN) -> int:
    """Size of all that autograd keeps of one forward pass."""
    sizes = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(torch.randn(CLIP_SHAPE))
    return sum(sizes)


def test_activations_that_are_computed_again_are_not_kept():
    """Of three more blocks only the inputs are kept: (8 images, 17 tokens, 12 numbers of 4 bytes) each."""
    plain = bytes_kept(model_of(4)) - bytes_kept(model_of(1))
    models = model_of(4), model_of(1)
    for model in models:
        recompute_activations(model.backbone)
    four, one = map(bytes_kept, models)
    assert plain > 10 * (four - one)
    assert four - one == 3 * 8 * 17 * 12 * 4


def test_gradients_are_the_same_if_activations_are_computed_again():
    clip = torch.randn(CLIP_SHAPE)
    plain, again = model_of(2), model_of(2)
    recompute_activations(again.backbone)
    for model in (plain, again):
        model(clip).square().sum().backward()
    for (name, one), other in zip(plain.named_parameters(), again.parameters(), strict=True):
        if one.grad is not None:
            torch.testing.assert_close(other.grad, one.grad, msg=name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("test_resnet", "batch norms would count every batch twice"), (None, "does not offer")],
)
def test_a_backbone_that_cannot_compute_again_says_so(name, reason):
    backbone = nn.Flatten() if name is None else timm.create_model(name)
    with pytest.raises(InputError, match=f"activations of backbone .* {reason}"):
        recompute_activations(backbone)


def test_features_of_a_frozen_backbone_have_no_past():
    clip = torch.randn(CLIP_SHAPE)
    assert model_of(1, frozen=True).frame_features(clip).grad_fn is None
    assert model_of(1).frame_features(clip).grad_fn is not None


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_convnext"])
def test_rates_are_those_of_timms_classifier(name):
    """Whose last layer, the classifier, has the full rate."""
    backbone, classifier = (timm.create_model(name, num_classes=classes) for classes in (0, 5))
    names = {parameter: name for name, parameter in classifier.named_parameters()}
    expected = {
        names[parameter]: group["lr_scale"]
        for group in param_groups_layer_decay(classifier, layer_decay=0.5)
        for parameter in group["params"]
    }
    scales = layer_scales(backbone, 0.5)
    found = {name: scales[parameter] for name, parameter in backbone.named_parameters()}
    assert found == {name: expected[name] for name in found}
    assert len(set(found.values())) > 3


def test_layers_that_timm_does_not_know_have_no_rates():
    with pytest.raises(InputError, match="layers of backbone Linear cannot have rates"):
        layer_scales(nn.Linear(2, 2), 0.5)


def test_the_head_starts_as_the_paper_says():
    for kind, std in (("paper", 0.02), ("release", 1 / (3 * 400) ** 0.5)):  # PyTorch: U(-b, b), b = 400^-0.5
        head = vtn.VTN("test_vit", 300, num_heads=4, mlp_dim=400, head_init=kind, img_size=32).mlp_head
        assert head[4].weight.std().item() == pytest.approx(std, rel=0.05)
        assert bool((head[4].bias == 0).all()) == bool((head[1].bias == 0).all()) == (kind == "paper")
    with pytest.raises(InputError, match="head_init must be release or paper, not 'zero'"):
        vtn.VTN("test_vit", 3, num_heads=4, head_init="zero", img_size=32)
