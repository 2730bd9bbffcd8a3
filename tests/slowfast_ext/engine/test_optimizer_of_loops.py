"""Rates by layer of a VTN, and fused optimizers, which go where the others go."""

import pytest
import torch

from slowfast_ext.engine.optimizer import make_optimizer
from slowfast_ext.host import get_host
from slowfast_ext.models import make_model

host = get_host()
VIT = ("ENGINE", "own", "SOLVER.OPTIMIZING_METHOD", "adamw")


def rates(model, optimizer) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of each trained weight by name."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = {
        names[parameter]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert found.keys() == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    return found


def test_layers_of_the_backbone_have_rates_of_their_own(tiny_cfg):
    """test_vit has six blocks; below the final norm, which is at the full rate, each has half of the next."""
    cfg = tiny_cfg(
        *VIT, *"SOLVER.LAYER_DECAY 0.5 SOLVER.WEIGHT_DECAY 0.1 SOLVER.ZERO_WD_1D_PARAM True".split()
    )
    model = make_model(cfg)
    optimizer = make_optimizer(model, cfg)
    host.set_lr(optimizer, 0.64)
    found = rates(model, optimizer)
    depth = len(model.backbone.blocks)
    for name, (rate, decay) in found.items():
        layer = depth + 1
        if name.startswith("backbone.norm."):
            layer = depth
        elif name.startswith("backbone.blocks."):
            layer = int(name.split(".")[2]) + 1
        elif name.startswith("backbone."):
            layer = 0
        assert rate == pytest.approx(0.64 * 0.5 ** (depth + 1 - layer)), name
        one_dimensional = model.get_parameter(name).ndim == 1 or name.endswith(".bias")
        assert decay == (0.0 if one_dimensional else 0.1), name
    assert len({rate for rate, _ in found.values()}) == depth + 2


def test_without_rates_by_layer_all_are_equal(tiny_cfg):
    cfg = tiny_cfg(*VIT)
    model = make_model(cfg)
    optimizer = make_optimizer(model, cfg)
    host.set_lr(optimizer, 0.3)
    assert {rate for rate, _ in rates(model, optimizer).values()} == {0.3}


@pytest.mark.parametrize("method", ["sgd", "adam", "adamw"])
def test_fused_optimizers_go_where_the_others_go(method, tiny_cfg):
    keys = f"ENGINE own SOLVER.OPTIMIZING_METHOD {method} SOLVER.BASE_LR 0.01 SOLVER.WEIGHT_DECAY 0.1".split()
    weights = {}
    for fused in ("False", "True"):
        cfg = tiny_cfg(*keys, "SOLVER.FUSED", fused, "SOLVER.LAYER_DECAY", "0.7")
        torch.manual_seed(0)
        model = make_model(cfg)
        optimizer = make_optimizer(model, cfg)
        assert {bool(group["fused"]) for group in optimizer.param_groups} == {fused == "True"}
        for _ in range(3):
            for parameter in model.parameters():
                parameter.grad = torch.randn_like(parameter) if parameter.requires_grad else None
            optimizer.step()
        weights[fused] = model.state_dict()
    for name, tensor in weights["False"].items():
        torch.testing.assert_close(weights["True"][name], tensor, atol=1e-6, rtol=1e-5, msg=name)


@pytest.mark.parametrize(("dampening", "made"), [("0.0", True), ("0.5", False)])
def test_momenta_that_are_there_before_the_first_step_change_nothing(dampening, made, tiny_cfg):
    """With dampening PyTorch leaves the first gradient whole, which a momentum of 0 would not."""
    sgd = "SOLVER.OPTIMIZING_METHOD sgd SOLVER.MOMENTUM 0.9 SOLVER.NESTEROV False".split()
    cfg = tiny_cfg("ENGINE", "own", *sgd, "SOLVER.DAMPENING", dampening)
    model = make_model(cfg)
    optimizer = make_optimizer(model, cfg)
    assert bool(optimizer.state) == made
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    twins = [torch.nn.Parameter(parameter.detach().clone()) for parameter in trained]
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    plain = torch.optim.SGD(
        [{"params": [q], "weight_decay": decay[id(p)]} for p, q in zip(trained, twins, strict=True)],
        lr=cfg.SOLVER.BASE_LR,
        momentum=0.9,
        dampening=float(dampening),
    )
    host.set_lr(optimizer, cfg.SOLVER.BASE_LR)
    for _ in range(2):
        for parameter, twin in zip(trained, twins, strict=True):
            parameter.grad = torch.randn_like(parameter)
            twin.grad = parameter.grad.clone()
        optimizer.step(), plain.step()
    assert all(torch.equal(p, q) for p, q in zip(trained, twins, strict=True))
