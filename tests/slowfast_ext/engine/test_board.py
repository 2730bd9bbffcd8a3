"""Curves in TensorBoard, the time that steps wait for data, and a bar on a terminal."""

import io
import json
import sys
import time
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest
from tiny_runs import UNTRAINED
from toys import logged

from slowfast_ext.engine import pace
from slowfast_ext.plugin.loops import test as run_test
from slowfast_ext.plugin.loops import train
from vtn import InputError

events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def curves(folder) -> dict[str, list[tuple[int, float]]]:
    """Steps and values of every curve in a folder."""
    found = events.EventAccumulator(str(folder))
    found.Reload()
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]
    }


def test_curves_are_those_of_the_log(toy_cfg, tmp_path):
    cfg = toy_cfg("TENSORBOARD.ENABLE", "True")
    train(cfg)
    found, lines = curves(tmp_path / "out" / "runs-numbers"), logged(cfg, "train_iter")
    for tag, name in (("Train/loss", "loss"), ("Train/Top1_err", "top1_err"), ("Train/lr", "lr")):
        assert [step for step, _ in found[tag]] == [1, 2, 3, 4]
        assert [value for _, value in found[tag]] == pytest.approx([x[name] for x in lines], abs=1e-4)
    errors = [line["top1_err"] for line in logged(cfg, "val_epoch")]
    assert [step for step, _ in found["Val/Top1_err"]] == [2, 4]
    assert [value for _, value in found["Val/Top1_err"]] == pytest.approx(errors, abs=1e-3)
    for group in ("Train", "Val"):
        for k in (1, 5):
            pairs = zip(found[f"{group}/Top{k}_err"], found[f"{group}/Top{k}_acc"], strict=True)
            assert all(wrong[1] + right[1] == pytest.approx(100) for wrong, right in pairs)
    assert all(norm > 0 for _, norm in found["Train/grad_norm"])
    assert all(memory > 0 for _, memory in found["Speed/peak_process_memory_mib"])
    assert all(0 <= share <= 1 for _, share in found["Speed/share_waiting_for_data"])
    frames = cfg.DATA.NUM_FRAMES
    for (_, videos), (_, many) in zip(
        found["Speed/videos_per_second"], found["Speed/frames_per_second"], strict=True
    ):
        assert many == pytest.approx(frames * videos)


def test_a_test_is_drawn_over_the_epochs_of_its_training(toy_cfg, tmp_path):
    """It adds to the curves of the training, also where another training goes on from there."""
    cfg = toy_cfg("TENSORBOARD.ENABLE", "True", "TENSORBOARD.LOG_DIR", "curves")
    folder, results = tmp_path / "out" / "curves", tmp_path / "out" / "test_results.json"
    train(cfg)
    before = curves(folder)
    run_test(cfg)
    first = float(json.loads(results.read_text())["top1_acc"])
    assert curves(folder)["Test/Top1_acc"] == [(2, pytest.approx(first, abs=0.01))]
    assert all(curves(folder)[tag] == points for tag, points in before.items())
    longer = toy_cfg(*"TENSORBOARD.ENABLE True TENSORBOARD.LOG_DIR curves SOLVER.MAX_EPOCH 3".split())
    train(longer)
    run_test(longer)
    found = curves(folder)
    assert [step for step, _ in found["Test/Top5_acc"]] == [2, 3]
    assert found["Test/Top1_err"][0][1] == pytest.approx(100 - first, abs=0.01)
    assert [step for step, _ in found["Train/loss"]] == [1, 2, 3, 4, 5, 6]


def test_weights_without_an_epoch_are_tested_at_0(toy_cfg, tmp_path):
    run_test(toy_cfg("TENSORBOARD.ENABLE", "True", *UNTRAINED))
    assert [step for step, _ in curves(tmp_path / "out" / "runs-numbers")["Test/Top1_acc"]] == [0]


def test_nothing_is_drawn_unless_it_is_asked_for(toy_cfg, tmp_path):
    train(toy_cfg())
    run_test(toy_cfg())
    assert not list((tmp_path / "out").glob("runs-*"))


@pytest.fixture
def wandb(monkeypatch):
    """Weights & Biases as far as it is called: what was asked of it, in order."""
    module = ModuleType("wandb")
    module.__spec__ = ModuleSpec("wandb", None)
    module.Error, module.asked = type("Error", (Exception,), {}), []

    def init(**options) -> SimpleNamespace:
        module.asked.append(options)
        return SimpleNamespace(finish=lambda: module.asked.append("finish"))

    module.init = init
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


BOTH = ("TENSORBOARD.ENABLE", "True", "TENSORBOARD.WANDB", "True")


def test_weights_and_biases_listens_to_tensorboard(toy_cfg, tmp_path, wandb):
    from torch.utils import tensorboard

    cfg = toy_cfg(*BOTH, "SOLVER.BASE_LR", "0.02")
    writer, began = tensorboard.SummaryWriter, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            tensorboard,
            "SummaryWriter",
            lambda **options: began.append(list(wandb.asked)) or writer(**options),
        )
        train(cfg)
    run_test(cfg)
    (training, end, testing, end_of_test) = wandb.asked
    assert end == end_of_test == "finish"
    assert began == [[training]]  # a writer that is made before is not listened to
    shared = {"dir": str(tmp_path / "out"), "group": "out", "sync_tensorboard": True}
    assert shared.items() <= training.items()
    assert shared.items() <= testing.items()
    assert (training["job_type"], testing["job_type"]) == ("train", "test")
    assert training["config"]["SOLVER"]["BASE_LR"] == 0.02
    assert json.loads(json.dumps(training["config"])) == training["config"]  # plain values only


def test_a_run_that_weights_and_biases_refuses(toy_cfg, wandb, monkeypatch):
    def refuse(**options):
        raise wandb.Error("no API key\nconfigured.")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(InputError, match=r"take the run \(no API key configured\.\): type `wandb login"):
        train(toy_cfg(*BOTH))


@pytest.mark.slow
def test_weights_and_biases_itself_writes_the_curves(toy_cfg, tmp_path, monkeypatch):
    """A training and a test in one process, without network; where it is installed."""
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    train(toy_cfg(*BOTH))
    run_test(toy_cfg(*BOTH))
    curves_of_both = "Train/loss Train/lr Val/Top1_acc Speed/videos_per_second Test/Top1_acc"
    missing = tags = {tag.encode() for tag in curves_of_both.split()}
    deadline = time.monotonic() + 60
    while missing and time.monotonic() < deadline:  # a process of its own writes the end
        runs = [path.read_bytes() for path in (tmp_path / "out").glob("wandb/offline-run-*/*.wandb")]
        missing = {tag for tag in tags if not any(tag in run for run in runs)}
    assert len(runs) == 2
    assert not missing


def test_without_the_key_weights_and_biases_is_left_alone(toy_cfg, wandb):
    train(toy_cfg("TENSORBOARD.ENABLE", "True"))
    assert wandb.asked == []


def test_waiting_for_data_is_told_from_the_steps(monkeypatch):
    """Each batch takes 3 s to come, each step 1 s."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(pace, "time", SimpleNamespace(perf_counter=lambda: clock.now))

    def slow():
        for number in range(4):
            clock.now += 3
            yield number

    measured, took = pace.Pace(), []
    for number in measured.over(slow()):
        clock.now += 1
        if number in (1, 3):
            took.append(measured.read())
    assert took == [pace.Took(8, 6), pace.Took(8, 6)]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_is_for_people_on_a_terminal(terminal, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    assert list(pace.with_bar(iter("abc"), 3, "epoch 2/9")) == ["a", "b", "c"]
    assert ("epoch 2/9" in screen.getvalue()) == terminal
