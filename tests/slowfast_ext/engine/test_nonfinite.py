"""Steps without a finite loss: left out to the last bit, or the end of the run, on a CPU and in a GPU's way.

A GPU's way, copies that are put back, is taken on the CPU here: it is told that it cannot look.
"""

import re
from functools import partial
from itertools import count
from pathlib import Path

import pytest
import torch
from toys import ToyLinear, ToyNorm, assert_same, items_of, logged, table, train_steps

from slowfast_ext.engine import learner, nonfinite
from slowfast_ext.engine.nonfinite import NonFiniteError
from slowfast_ext.host import checkpoint
from slowfast_ext.plugin.loops import train
from vtn import InputError

SKIP = ("TRAIN.NONFINITE", "skip")
ALL_OF_A_STEP = "MODEL.MODEL_NAME ToyNorm TRAIN.EMA_DECAY 0.9 SOLVER.CLIP_GRAD_VAL 1".split()


@pytest.fixture(params=["as on a CPU", "as on a GPU"])
def looks(request, monkeypatch) -> bool:
    """Whether a step is looked at before it is taken."""
    monkeypatch.setattr(nonfinite, "can_look", lambda device: request.param == "as on a CPU")
    return request.param == "as on a CPU"


@pytest.fixture
def failing(monkeypatch):
    """Let the toys give no numbers in these training steps, from 0; returns the numbers of the steps."""

    def at(*steps: int, value: float = float("nan")) -> None:
        numbers = count()
        for toy in (ToyLinear, ToyNorm):
            features = toy.features

            def broken(self, x, features=features):
                wrong = self.training and next(numbers) in steps
                return features(self, x * value if wrong else x)

            monkeypatch.setattr(toy, "features", broken)

    return at


def state(cfg, epoch: int) -> dict:
    return torch.load(checkpoint.checkpoint_path(cfg.OUTPUT_DIR, epoch), weights_only=True)


def file_of(cfg) -> dict:
    return torch.load(Path(cfg.OUTPUT_DIR, "nonfinite_step.pyth"), weights_only=True)


@pytest.mark.parametrize("method", ["sgd", "adamw"])
def test_a_step_that_is_left_out_changes_nothing(method, toy_cfg, failing, looks):
    """Both steps of the second epoch give no numbers: what is saved after it is what was saved before it."""
    failing(2, 3, value=float("inf"))
    cfg = toy_cfg(*SKIP, *ALL_OF_A_STEP, "SOLVER.OPTIMIZING_METHOD", method)
    train(cfg)
    before, after = state(cfg, 1), state(cfg, 2)
    assert set(before) >= {"model_state", "ema_state", "optimizer_state"}
    for entry in ("model_state", "ema_state", "optimizer_state"):
        assert_same(before[entry], after[entry], entry)
    log = Path(cfg.OUTPUT_DIR, "stdout.log").read_text()
    assert len(re.findall(r"Step left out \(number [12] of this run", log)) == 2
    for iteration, items in enumerate(items_of(train_steps())[2:], start=1):
        names = ", ".join(f"{item}.mp4" for item in items)
        assert f"in epoch 2, iteration {iteration}, with the videos {names}" in log
    assert len(logged(cfg, "train_iter")) == 4 - 2 * (cfg.LOG_PERIOD == 1)
    assert not Path(cfg.OUTPUT_DIR, "nonfinite_step.pyth").exists()


def test_the_other_steps_are_those_of_sgd(toy_cfg, failing, looks):
    """Of four steps the second is left out; the others are those of PyTorch's SGD on their items."""
    failing(1)
    cfg = toy_cfg(*SKIP)
    train(cfg)
    toy = ToyLinear(cfg)
    solver = cfg.SOLVER
    options = {"momentum": solver.MOMENTUM, "nesterov": solver.NESTEROV, "dampening": solver.DAMPENING}
    bias = {"params": [toy.linear.bias, toy.linear.weight], "weight_decay": solver.WEIGHT_DECAY}
    sgd = torch.optim.SGD([bias], lr=solver.BASE_LR, **options)
    steps = [inputs for number, inputs in enumerate(train_steps()) if number != 1]
    labels = table("train")[1]
    for inputs, items in zip(steps, items_of(steps), strict=True):
        sgd.zero_grad()
        torch.nn.functional.cross_entropy(toy.linear(inputs), labels[items]).backward()
        sgd.step()
    for name, tensor in toy.state_dict().items():
        torch.testing.assert_close(state(cfg, 2)["model_state"][name], tensor, msg=name)


@pytest.mark.parametrize("method", ["sgd", "adamw"])
def test_a_first_step_that_is_left_out_leaves_no_momentum(method, toy_cfg, failing, looks, tmp_path):
    """With a rate of 0 in it, a first step that is taken would still leave momentum."""
    failing(0, 1)
    cfg = toy_cfg(*SKIP, "SOLVER.OPTIMIZING_METHOD", method, "SOLVER.MAX_EPOCH", "1")
    train(cfg)
    states = state(cfg, 1)["optimizer_state"]["state"]
    values = [
        torch.as_tensor(value) for entry in states.values() for value in entry.values() if value is not None
    ]
    assert all(not value.any() for value in values)
    # Looked at, Adam has no state at all; momenta of SGD are there from the beginning.
    assert bool(values) == (method == "sgd" or not looks)


def test_the_run_stops_and_all_stays_as_it_was(toy_cfg, failing, looks):
    """The third step gives no numbers: the file has what the checkpoint of the first epoch has."""
    failing(2)
    cfg = toy_cfg(*ALL_OF_A_STEP)
    with pytest.raises(NonFiniteError) as ended:
        train(cfg)
    (items,) = items_of(train_steps())[2:3]
    names = ", ".join(f"{item}.mp4" for item in items)
    path = Path(cfg.OUTPUT_DIR, "nonfinite_step.pyth")
    assert str(ended.value) == (
        f"the loss is nan in epoch 2, iteration 1, with the videos {names}; it has changed nothing; "
        f"`vtn repeat_step {path}` repeats it; TRAIN.NONFINITE is 'stop', so the run ends here"
    )
    saved, before = file_of(cfg), state(cfg, 1)
    for entry in ("model_state", "optimizer_state"):
        assert_same(saved[entry], before[entry], entry)
    assert (saved["epoch"], saved["iteration"]) == (1, 0)
    (share,) = saved["shares"]
    assert share["items"].tolist() == items
    assert torch.equal(share["inputs"][0], train_steps()[2])
    assert Path(cfg.OUTPUT_DIR, "config.yaml").is_file()  # what was trained is still told
    assert checkpoint.list_checkpoints(cfg.OUTPUT_DIR) == [checkpoint.checkpoint_path(cfg.OUTPUT_DIR, 1)]


def test_on_a_gpu_it_stays_as_it_was_while_the_next_step_is_computed(toy_cfg, failing, monkeypatch):
    monkeypatch.setattr(nonfinite, "can_look", lambda device: False)
    failing(0)
    cfg = toy_cfg(*ALL_OF_A_STEP)
    with pytest.raises(NonFiniteError, match="epoch 1, iteration 1,"):
        train(cfg)
    assert len(train_steps()) == 2
    weights = ToyNorm(cfg).state_dict()
    assert_same(file_of(cfg)["model_state"], weights)


def test_the_last_step_of_an_epoch_ends_the_run_before_its_checkpoint(toy_cfg, failing, looks):
    failing(3)
    cfg = toy_cfg("SOLVER.MAX_EPOCH", "3")
    with pytest.raises(NonFiniteError, match="epoch 2, iteration 2,"):
        train(cfg)
    assert len(train_steps()) == 4
    assert len(checkpoint.list_checkpoints(cfg.OUTPUT_DIR)) == 1


def test_a_run_ends_when_far_more_steps_are_left_out_than_taken(toy_cfg, failing, looks):
    """Two steps an epoch: in the first four epochs every other one fails, then all do."""
    failing(1, 3, 5, 7, *range(8, 100))
    cfg = toy_cfg(*SKIP, "SOLVER.MAX_EPOCH", "50")
    with pytest.raises(NonFiniteError, match=r"20 more steps were left out than taken"):
        train(cfg)
    # One of the first eight steps is one too many: the last of them.
    assert len(train_steps()) == 8 + 19 + (not looks)
    assert file_of(cfg)["epoch"] == 13


def test_an_epoch_whose_steps_are_all_left_out_is_validated(toy_cfg, failing, looks):
    failing(0, 1)
    cfg = toy_cfg(*SKIP)
    train(cfg)
    assert [line["_type"] for line in logged(cfg, "train_epoch")] == ["train_epoch"]
    assert len(logged(cfg, "val_epoch")) == 2


def test_a_loss_has_a_gradient_of_its_own_only_if_it_is_finite(toy_cfg):
    cfg = toy_cfg()
    toy = ToyLinear(cfg)
    guard = learner.make_learner(toy, cfg).guard
    for loss, expected in ((3 * toy.linear.bias.sum(), 3.0), (toy.linear.bias.sum() + float("inf"), None)):
        toy.zero_grad()
        guard.watch(loss).backward()
        found = toy.linear.bias.grad
        assert (found == expected).all() if expected else found.isnan().all()


def test_a_gradient_that_is_not_finite_ends_the_run_too(toy_cfg, monkeypatch, looks):
    """The root of 0 has no gradient; the loss is finite."""
    monkeypatch.setattr(ToyLinear, "features", lambda self, x: x + (0 * self.linear.bias.sum()).sqrt())
    with pytest.raises(NonFiniteError, match="^the norm of the gradient is nan in epoch 1, iteration 1,"):
        train(toy_cfg())


class TestWithAScaler:
    """float16's scaler, which works on a CPU too."""

    @pytest.fixture(autouse=True)
    def _scaled(self, monkeypatch):
        make = partial(torch.amp.GradScaler, "cpu", init_scale=2.0**10)
        monkeypatch.setattr(learner, "make_scaler", lambda word, device: make())

    def test_gradients_that_are_too_large_are_the_scalers(self, toy_cfg, monkeypatch, looks):
        broken = {2}
        numbers = count()

        def features(self, x):
            wrong = self.training and next(numbers) in broken
            return x + (0 * self.linear.bias.sum()).sqrt() if wrong else x

        monkeypatch.setattr(ToyLinear, "features", features)
        cfg = toy_cfg()
        train(cfg)
        assert len(train_steps()) == 4
        assert state(cfg, 2)["scaler_state"]["scale"] == 2.0**9
        assert "Step left out" not in Path(cfg.OUTPUT_DIR, "stdout.log").read_text()

    def test_but_not_for_ever(self, toy_cfg, monkeypatch, looks):
        monkeypatch.setattr(ToyLinear, "features", lambda self, x: x + (0 * self.linear.bias.sum()).sqrt())
        with pytest.raises(
            NonFiniteError, match="^the norm of the gradient is nan in epoch 10, iteration 2,"
        ):
            train(toy_cfg("SOLVER.MAX_EPOCH", "50"))

    def test_a_loss_is_not_the_scalers(self, toy_cfg, failing, looks):
        """The scale stays as it is, and the next step is taken."""
        failing(1)
        cfg = toy_cfg(*SKIP)
        train(cfg)
        assert state(cfg, 2)["scaler_state"]["scale"] == 2.0**10
        assert len(re.findall("Step left out", Path(cfg.OUTPUT_DIR, "stdout.log").read_text())) == 1
        assert not torch.equal(*(state(cfg, epoch)["model_state"]["linear.weight"] for epoch in (1, 2)))


def test_a_file_that_cannot_be_written_is_said(toy_cfg, failing):
    failing(0)
    cfg = toy_cfg()
    Path(cfg.OUTPUT_DIR, "nonfinite_step.pyth").mkdir(parents=True)
    with pytest.raises(
        NonFiniteError, match=r"cannot be repeated, because .* could not be written \(Is a dir"
    ):
        train(cfg)
    assert not list(Path(cfg.OUTPUT_DIR).glob("*.part"))


def test_many_videos_are_named_up_to_twenty(toy_cfg):
    attempt = nonfinite.Attempt(None, 0, 0)
    share = nonfinite.Share(
        [], torch.empty(0), torch.empty(0), [f"{n}.mp4" for n in range(64)], [float("inf")]
    )
    sentence = nonfinite._sentence(attempt, [share], float("nan"))
    assert sentence.startswith("the loss is inf in epoch 1, iteration 1, with the videos 0.mp4, 1.mp4,")
    assert sentence.endswith("19.mp4 and 44 more")


def test_another_word_is_refused(toy_cfg):
    with pytest.raises(InputError, match=r"TRAIN\.NONFINITE is 'ignore': it must be 'stop' or 'skip'"):
        toy_cfg("TRAIN.NONFINITE", "ignore")
