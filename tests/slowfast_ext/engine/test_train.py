"""The training loop of this project, step by step: what it does to the weights, the log and the order."""

import math

import pytest
import torch
from toys import ToyLinear, errors, initial_weights, items_of, logged, table, train_steps

from slowfast_ext.engine.nonfinite import NonFiniteError
from slowfast_ext.host import checkpoint
from slowfast_ext.plugin.loops import train


def trained(cfg, epoch: int) -> dict[str, torch.Tensor]:
    path = checkpoint.checkpoint_path(cfg.OUTPUT_DIR, epoch)
    return torch.load(path, weights_only=True)["model_state"]


def by_hand(cfg, rates: list[float], *, clip_value: float, clip_norm: float) -> dict[str, torch.Tensor]:
    """SGD with Nesterov's momentum written out, on the items that the run has seen, from the same start."""
    weights = {name: tensor.requires_grad_() for name, tensor in initial_weights().items()}
    momenta = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    labels, solver = table("train")[1], cfg.SOLVER
    for rate, inputs, items in zip(rates, train_steps(), items_of(train_steps()), strict=True):
        logits = inputs @ weights["linear.weight"].T + weights["linear.bias"]
        loss = -logits.log_softmax(1)[range(len(items)), labels[items]].mean()
        gradients = dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))
        gradients = {name: g.clamp(-clip_value, clip_value) for name, g in gradients.items()}
        norm = math.sqrt(sum((g**2).sum().item() for g in gradients.values()))
        for name, weight in weights.items():
            gradient = gradients[name] * min(1.0, clip_norm / norm) + solver.WEIGHT_DECAY * weight.detach()
            momenta[name] = solver.MOMENTUM * momenta[name] + gradient
            weight.data -= rate * (gradient + solver.MOMENTUM * momenta[name])
    return {name: tensor.detach() for name, tensor in weights.items()}


def assert_equal_weights(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-5, rtol=1e-4, msg=name)


def test_the_learning_rate_follows_the_cosine_in_every_step(toy_cfg):
    """Four steps an epoch, two epochs: eight places on half a cosine from 0.8 to 0."""
    cfg = toy_cfg(*"TRAIN.BATCH_SIZE 2 SOLVER.LR_POLICY cosine SOLVER.BASE_LR 0.8".split())
    train(cfg)
    rates = [0.8, 0.76955, 0.68284, 0.55307, 0.4, 0.24693, 0.11716, 0.03045]  # 0.4 + 0.4 cos(pi i / 8)
    assert [line["lr"] for line in logged(cfg, "train_iter")] == pytest.approx(rates, abs=1e-5)
    exact = [0.4 + 0.4 * math.cos(math.pi * step / 8) for step in range(8)]
    assert_equal_weights(trained(cfg, 2), by_hand(cfg, exact, clip_value=math.inf, clip_norm=math.inf))


@pytest.mark.parametrize(
    ("key", "value", "norm"),
    [("CLIP_GRAD_VAL", 0.05, math.inf), ("CLIP_GRAD_L2NORM", math.inf, 0.05)],
)
def test_gradients_are_clipped(key, value, norm, toy_cfg):
    cfg = toy_cfg(f"SOLVER.{key}", "0.05")
    train(cfg)
    rates = [cfg.SOLVER.BASE_LR] * 4
    expected = by_hand(cfg, rates, clip_value=value, clip_norm=norm)
    assert_equal_weights(trained(cfg, 2), expected)
    free = by_hand(cfg, rates, clip_value=math.inf, clip_norm=math.inf)
    assert (free["linear.weight"] - expected["linear.weight"]).abs().max() > 0.01  # it made a difference


def test_every_step_starts_from_fresh_gradients(toy_cfg):
    """With a constant rate and no clipping: gradients that add up would go elsewhere from step 2 on."""
    cfg = toy_cfg()
    train(cfg)
    expected = by_hand(cfg, [cfg.SOLVER.BASE_LR] * 4, clip_value=math.inf, clip_norm=math.inf)
    assert_equal_weights(trained(cfg, 2), expected)


def test_errors_and_loss_in_the_log_are_those_of_the_logits(toy_cfg):
    """With a learning rate of 0 the weights stay, so each step's errors follow from its items."""
    cfg = toy_cfg(*"SOLVER.BASE_LR 0 SOLVER.MAX_EPOCH 1".split())
    train(cfg)
    rows, labels = table("train")
    steps = logged(cfg, "train_iter")
    expected = [errors(rows[items], labels[items]) for items in items_of(train_steps())]
    assert len(steps) == len(expected) == 2
    for line, (top1, top5, loss) in zip(steps, expected, strict=True):
        assert (line["top1_err"], line["top5_err"]) == pytest.approx((top1, top5), abs=1e-3)
        assert line["loss"] == pytest.approx(loss, abs=1e-4)
    (line,) = logged(cfg, "val_epoch")
    top1, top5, _ = errors(*table("val"))
    assert (line["top1_err"], line["top5_err"]) == pytest.approx((top1, top5), abs=1e-3)
    assert 0 < top5 < top1  # so that one cannot pass for the other


def test_a_loss_that_is_no_number_ends_the_run(toy_cfg):
    """The second epoch's first step gives it: the first epoch's checkpoint stays the last."""
    cfg = toy_cfg("MODEL.MODEL_NAME", "ToyNan", "SOLVER.MAX_EPOCH", "3")
    with pytest.raises(NonFiniteError, match="the loss is nan in epoch 2, iteration 1,"):
        train(cfg)
    assert checkpoint.list_checkpoints(cfg.OUTPUT_DIR) == [checkpoint.checkpoint_path(cfg.OUTPUT_DIR, 1)]
    assert len(train_steps()) == 3
    assert trained(cfg, 1)["linear.weight"].isfinite().all()


def test_each_epoch_trains_in_training_mode_and_validates_in_evaluation_mode(toy_cfg):
    train(toy_cfg())
    assert [training for training, _ in ToyLinear.seen] == [True, True, False, False] * 2


def test_every_epoch_has_all_items_in_an_order_of_its_own(toy_cfg):
    train(toy_cfg("SOLVER.MAX_EPOCH", "3"))
    steps = items_of(train_steps())
    epochs = [steps[begin] + steps[begin + 1] for begin in (0, 2, 4)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(8))] * 3
    assert len({tuple(epoch) for epoch in [*epochs, range(8)]}) == 4


def test_a_resumed_run_goes_on_with_the_next_epoch_in_its_order(toy_cfg, tmp_path):
    train(toy_cfg("SOLVER.MAX_EPOCH", "3"))
    whole = items_of(train_steps())
    cut = "OUTPUT_DIR", str(tmp_path / "cut")
    train(toy_cfg("SOLVER.MAX_EPOCH", "1", *cut))
    ToyLinear.seen.clear()
    train(toy_cfg("SOLVER.MAX_EPOCH", "3", *cut))
    assert items_of(train_steps()) == whole[2:]


def test_dropout_of_an_epoch_is_the_same_after_a_resumption(toy_cfg, tmp_path):
    dropout = "MODEL.MODEL_NAME", "ToyDropout"
    train(toy_cfg(*dropout))
    whole = train_steps()
    assert any((step == 0).any() for step in whole)
    cut = "OUTPUT_DIR", str(tmp_path / "cut")
    train(toy_cfg("SOLVER.MAX_EPOCH", "1", *dropout, *cut))
    ToyLinear.seen.clear()
    torch.manual_seed(12345)  # whatever has drawn numbers since
    train(toy_cfg(*dropout, *cut))
    resumed = train_steps()
    assert len(resumed) == 2
    for step, expected in zip(resumed, whole[2:], strict=True):
        assert torch.equal(step, expected)


def test_precise_statistics_are_those_of_all_training_items(toy_cfg):
    """Without them a batch norm keeps a tenth of each batch's mean and nine tenths of what it had."""
    norm = "MODEL.MODEL_NAME ToyNorm SOLVER.MAX_EPOCH 1 SOLVER.BASE_LR 0".split()
    cfg = toy_cfg(*norm, "BN.USE_PRECISE_STATS", "True")
    train(cfg)
    rows, _ = table("train")
    found = trained(cfg, 1)
    torch.testing.assert_close(found["norm.running_mean"], rows.mean(0))
    torch.testing.assert_close(found["norm.running_var"], rows.var(0, correction=0))


def test_without_precise_statistics_a_batch_norm_keeps_its_running_ones(toy_cfg):
    cfg = toy_cfg(*"MODEL.MODEL_NAME ToyNorm SOLVER.MAX_EPOCH 1".split())
    train(cfg)
    first, second = (step.mean(0) for step in train_steps())
    torch.testing.assert_close(trained(cfg, 1)["norm.running_mean"], 0.9 * 0.1 * first + 0.1 * second)
