"""Curves in TensorBoard, the time that steps wait for data, and a bar on a terminal."""

import io
import sys
from types import SimpleNamespace

import pytest
from toys import logged

from slowfast_ext.engine import pace
from slowfast_ext.plugin.loops import train

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
    assert all(norm > 0 for _, norm in found["Train/grad_norm"])
    assert all(0 <= share <= 1 for _, share in found["Speed/share_waiting_for_data"])
    frames = cfg.DATA.NUM_FRAMES
    for (_, videos), (_, many) in zip(
        found["Speed/videos_per_second"], found["Speed/frames_per_second"], strict=True
    ):
        assert many == pytest.approx(frames * videos)


def test_nothing_is_drawn_unless_it_is_asked_for(toy_cfg, tmp_path):
    train(toy_cfg())
    assert not list((tmp_path / "out").glob("runs-*"))


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
