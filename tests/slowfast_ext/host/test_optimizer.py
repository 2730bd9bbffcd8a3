"""Optimizer and learning rate: what decays, which momenta, what several machines change."""

import pytest
import torch
from tiny_runs import ROOT
from torch import nn

from slowfast_ext.config import load_config
from slowfast_ext.host import get_host

host = get_host()


class Mixed(nn.Module):
    """Every kind of parameter that a video model has."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 4, 1)
        self.batch = nn.BatchNorm3d(4)
        self.layer = nn.LayerNorm(4)
        self.head = nn.Linear(4, 2)


def decays(cfg) -> dict[str, float]:
    """Weight decay of each parameter by name."""
    model = Mixed()
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = host.construct_optimizer(model, cfg).param_groups
    found = {names[parameter]: group["weight_decay"] for group in groups for parameter in group["params"]}
    assert found.keys() == set(names.values())
    return found


def test_what_is_decayed(demo_cfg):
    given = "BN.WEIGHT_DECAY", "0.3", "SOLVER.WEIGHT_DECAY", "0.1"
    batch = {"batch.weight": 0.3, "batch.bias": 0.3}
    others = "conv.weight head.weight conv.bias head.bias layer.weight layer.bias".split()
    cfg = demo_cfg("VTN", *given, "SOLVER.ZERO_WD_1D_PARAM", "False")
    assert decays(cfg) == batch | dict.fromkeys(others, 0.1)
    cfg = demo_cfg("VTN", *given, "SOLVER.ZERO_WD_1D_PARAM", "True")
    assert decays(cfg) == batch | dict.fromkeys(others[:2], 0.1) | dict.fromkeys(others[2:], 0.0)


@pytest.mark.parametrize(("method", "expected"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_adams_moments_are_those_of_the_configuration(method, expected, demo_cfg):
    """Three steps on changing gradients go where PyTorch's own go with these betas."""
    keys = f"SOLVER.OPTIMIZING_METHOD {method} SOLVER.BASE_LR 0.1 SOLVER.WEIGHT_DECAY 0.2".split()
    cfg = demo_cfg("VTN", *keys, "SOLVER.BETAS", "(0.5, 0.7)")
    ours, theirs = nn.Linear(3, 2, bias=False), nn.Linear(3, 2, bias=False)
    theirs.load_state_dict(ours.state_dict())
    optimizers = [
        host.construct_optimizer(ours, cfg),
        expected(theirs.parameters(), lr=0.1, betas=(0.5, 0.7), weight_decay=0.2),
    ]
    for step in range(3):
        gradient = torch.randn(2, 3) * (step + 1)
        for model, optimizer in zip((ours, theirs), optimizers, strict=True):
            model.weight.grad = gradient.clone()
            optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight)


@pytest.mark.parametrize(("scale", "factor"), [("True", 3), ("False", 1)])
def test_several_machines_scale_the_learning_rate_if_asked(scale, factor, tmp_path):
    rates = "SOLVER.BASE_LR 0.2 SOLVER.WARMUP_START_LR 0.01 SOLVER.COSINE_END_LR 0.001".split()
    rates += ["SOLVER.COSINE_AFTER_WARMUP", "True"]  # main requires it where COSINE_END_LR is given
    overrides = [*rates, "SOLVER.BASE_LR_SCALE_NUM_SHARDS", scale, "OUTPUT_DIR", str(tmp_path)]
    batches = ["TRAIN.BATCH_SIZE", "6", "TEST.BATCH_SIZE", "6"]  # a share for each machine
    cfg = load_config(ROOT / "configs/Demo/VTN.yaml", [*overrides, *batches], num_shards=3)
    found = [cfg.SOLVER.BASE_LR, cfg.SOLVER.WARMUP_START_LR, cfg.SOLVER.COSINE_END_LR]
    assert found == pytest.approx([0.2 * factor, 0.01 * factor, 0.001 * factor])
