"""A step that gave no numbers, once more: with the same bits, and where they come from."""

import re
from pathlib import Path

import pytest
import torch
from toys import ToyDropout, ToyLinear, table

from slowfast_ext.engine.repeat import config_of, repeat
from slowfast_ext.engine.step_file import read_failed_step
from slowfast_ext.plugin.loops import train
from slowfast_ext.repeat_step import repeat_step
from vtn import InputError

# Weights that no loss survives: the second step sees them.
WILD = "ENGINE own SOLVER.BASE_LR 1e30 SOLVER.MAX_EPOCH 1".split()
I3D = (
    "MODEL.MODEL_NAME ResNet MODEL.ARCH i3d RESNET.WIDTH_PER_GROUP 8 TRAIN.EVAL_FULL_VIDEO False "
    "BN.USE_PRECISE_STATS False"
).split()


@pytest.fixture
def poisoned(monkeypatch):
    """One item of the toys' list gives no number, in whichever step it is."""
    row = table("train")[0][5]

    def spoil(toy: type, value: float = float("nan")) -> None:
        features = toy.features

        def poisonous(self, x):
            wrong = (x == row).all(1, keepdim=True) & torch.tensor(self.training)
            return torch.where(wrong, value, features(self, x))

        monkeypatch.setattr(toy, "features", poisonous)

    return spoil


def failed(cfg) -> str:
    """The file of a run that stops."""
    with pytest.raises(InputError, match="repeat_step"):
        train(cfg)
    return f"{cfg.OUTPUT_DIR}/nonfinite_step.pyth"


def printed(capsys, *arguments: str) -> str:
    capsys.readouterr()
    assert repeat_step(arguments) == 0
    return capsys.readouterr().out


def test_what_is_not_finite_is_named(toy_cfg, poisoned, capsys):
    poisoned(ToyLinear)
    path = failed(toy_cfg())
    text = printed(capsys, path)
    assert "Weights before the step: all finite\nInputs: finite\n" in text
    assert re.search(r"Loss: nan \(in the run: nan\)\nNorm of the gradient: nan", text)
    assert "Forward: not finite from linear (FrugalLinear), whose input is not finite either" in text
    assert "Backward: not finite from the gradient of linear." in text
    assert "5.mp4" in re.search("Videos: (.*)", text)[1]
    assert "The step was repeated exactly" in text


def test_dropout_and_finite_losses_are_repeated_exactly(toy_cfg, poisoned):
    """In two parts: the part without the poisonous item has a loss, which dropout decides."""
    poisoned(ToyDropout)
    step, origin = read_failed_step(
        failed(toy_cfg("MODEL.MODEL_NAME", "ToyDropout", "TRAIN.ACCUMULATE_STEPS", "2"))
    )
    (share,) = step.shares
    assert sum(loss == loss for loss in share.losses) == 1
    found = repeat(step, origin, config_of(step, None))
    assert found.is_like(step)
    for other in ({"iteration": 1 - step.iteration}, {"epoch": 7}):
        moved = type(step)(**vars(step) | other)
        assert not repeat(moved, origin, config_of(step, None)).is_like(step)


def test_of_several_processes_each_has_its_numbers(toy_cfg, poisoned):
    """The other process's share is computed with its own dropout, and the gradient is the mean of both."""
    poisoned(ToyDropout)
    step, origin = read_failed_step(failed(toy_cfg("MODEL.MODEL_NAME", "ToyDropout")))
    calm = torch.tensor([0, 1, 2, 3])
    share = step.shares[0]
    rows, labels = table("train")
    other = type(share)([rows[calm]], labels[calm], calm, ["0.mp4"], [])
    cfg = config_of(step, None)
    both = repeat(type(step)(**vars(step) | {"shares": [other, other]}), origin, cfg)
    one = repeat(type(step)(**vars(step) | {"shares": [other]}), origin, cfg)
    assert both.losses[0] == one.losses[0] != both.losses[1]
    assert 0 < both.grad_norm < 10 * one.grad_norm
    assert both.module is both.parameter is None


@pytest.mark.parametrize("kind", [(), I3D], ids=["VTN", "I3D"])
def test_a_network_is_repeated_exactly(kind, tiny_cfg, capsys, monkeypatch):
    path = failed(tiny_cfg(*WILD, *kind))
    threads = torch.get_num_threads()
    try:
        text = printed(capsys, path)
    finally:
        torch.set_num_threads(threads)
    assert "Step: epoch 1, iteration 2, of 1 process; computed by PyTorch" in text
    assert "The step was repeated exactly" in text
    assert "Repeated: on the CPU, in float32" in text
    assert re.search(r"Forward: not finite from \S+ \(\w+\), whose input is finite", text)
    assert "in bfloat16" in printed(capsys, path, "--precision", "bfloat16")


def test_a_step_that_is_finite_in_another_precision_says_so(toy_cfg, monkeypatch, capsys):
    """The model overflows in bfloat16 alone."""

    def features(self, x):
        low = torch.is_autocast_enabled("cpu")
        return x * float("inf") if low and self.training else x

    monkeypatch.setattr(ToyLinear, "features", features)
    monkeypatch.setattr("slowfast_ext.config_steps.cpu_has_bfloat16", lambda: True)
    path = failed(toy_cfg("TRAIN.PRECISION", "bfloat16"))
    text = printed(capsys, path, "--precision", "float32")
    assert "Forward: every output is finite\nBackward: every gradient is finite" in text
    assert "This time the step is finite." in text
    assert "The step was repeated exactly" in printed(capsys, path)


def test_weights_that_are_not_finite_are_named(toy_cfg, poisoned, capsys):
    poisoned(ToyLinear)
    path = failed(toy_cfg())
    content = torch.load(path, weights_only=True)
    content["model_state"]["linear.bias"][3] = float("inf")
    torch.save(content, path)
    assert "Weights before the step: not finite: linear.bias\n" in printed(capsys, path)


def test_the_file_is_read_without_running_code(toy_cfg, poisoned):
    poisoned(ToyLinear)
    path = failed(toy_cfg())
    content = torch.load(path, weights_only=True)
    assert {"cfg", "epoch", "iteration", "model_state", "optimizer_state", "scaler_state", "shares"} <= set(
        content
    )
    del content["shares"]
    torch.save(content, path)
    with pytest.raises(InputError, match=r"is no file of a step that TRAIN\.NONFINITE wrote"):
        repeat_step([path])
    Path(path).write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read"):
        repeat_step([path])
