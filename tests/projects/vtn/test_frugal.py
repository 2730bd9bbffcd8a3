"""Linear layers that compute their input again: gradients stay, and the input is gone in between."""

import copy

import pytest
import timm
import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

from vtn.frugal import FrugalLinear, forget_activations


def gradients(model: nn.Module, x: torch.Tensor, **autocast) -> list[torch.Tensor]:
    model.zero_grad()
    with torch.autocast("cpu", **autocast):
        out = model(x)
    out.float().square().sum().backward()
    return [out, *(parameter.grad for parameter in model.parameters())]


@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "convnext_atto", "swin_tiny_patch4_window7_224"])
def test_gradients_are_those_of_linear_layers(name: str, low: bool):
    """Layer norms are computed again with another rounding here and there; the nets' dropout is off."""
    torch.manual_seed(0)
    plain = timm.create_model(name, num_classes=3)
    frugal = copy.deepcopy(plain)
    forget_activations(frugal)
    assert any(type(module) is FrugalLinear for module in frugal.modules())
    x, autocast = torch.randn(2, 3, 224, 224), {"dtype": torch.bfloat16, "enabled": low}
    for ours, theirs in zip(
        gradients(frugal.eval(), x, **autocast), gradients(plain.eval(), x, **autocast), strict=True
    ):
        assert (ours - theirs).abs().max() <= (2e-3 if low else 1e-6) * theirs.abs().max()


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_behind_a_gelu_they_are_the_same_to_the_bit(approximate: str):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(64, 256), nn.GELU(approximate), nn.Linear(256, 64))
    frugal = copy.deepcopy(plain)
    forget_activations(frugal)
    for low in (False, True):
        autocast = {"dtype": torch.bfloat16, "enabled": low}
        x = torch.randn(7, 5, 64)
        pairs = zip(gradients(frugal, x, **autocast), gradients(plain, x, **autocast), strict=True)
        assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


@pytest.mark.parametrize("before", [nn.GELU(), nn.GELU(approximate="tanh"), nn.LayerNorm(6), nn.Tanh()])
@pytest.mark.parametrize("layer", [nn.Linear, FrugalLinear])
def test_only_what_is_cheap_to_compute_is_forgotten(before: nn.Module, layer: type):
    x = torch.randn(4, 6, requires_grad=True)
    hidden = before(x)
    out = layer(6, 5)(hidden)
    storage = StorageWeakRef(hidden.untyped_storage())
    del hidden
    assert storage.expired() == (layer is FrugalLinear and not isinstance(before, nn.Tanh))
    out.sum().backward()
    assert x.grad is not None


def test_a_norm_without_weights_and_one_without_a_bias():
    for options in ({"elementwise_affine": False}, {"bias": False}):
        norm, x = nn.LayerNorm(6, **options), torch.randn(4, 6, requires_grad=True)
        plain = nn.Linear(6, 5)
        frugal = copy.deepcopy(plain)
        forget_activations(frugal)
        for layer in (plain, frugal):
            layer(norm(x)).square().sum().backward()
        assert torch.equal(plain.weight.grad, frugal.weight.grad)


def test_a_copy_has_its_own_weights_and_derived_layers_are_left_alone():
    class Other(nn.Linear):
        pass

    model = nn.Sequential(nn.Linear(2, 2), Other(2, 2))
    forget_activations(model)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin[0].weight.zero_()
    assert type(model[1]) is Other
    assert model[0].weight.abs().sum() > 0
    assert torch.equal(twin[0](torch.ones(1, 2)), twin[0].bias[None])


def test_a_changed_input_is_noticed_as_in_pytorch():
    x = torch.randn(4, 6, requires_grad=True)
    before = x * 1
    out = FrugalLinear(6, 5)(nn.functional.gelu(before))
    before.add_(1)
    with pytest.raises(RuntimeError, match="inplace operation"):
        out.sum().backward()
