"""Two processes count, sum and average as one would: real ones, started once for all tests here."""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from tiny_runs import TINY
from toys import TOY, errors, logged, table
from two_processes import work

from slowfast_ext.config import load_config
from slowfast_ext.engine.step_file import read_failed_step
from slowfast_ext.host import checkpoint
from slowfast_ext.launch import launch_job


@pytest.fixture(scope="module")
def two(registered_toys, tmp_path_factory):
    """One epoch with a learning rate of 0, so that weights stay; configuration, and what each saw."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "tiny.yaml").write_text(TINY)
    still = "SOLVER.MAX_EPOCH 1 SOLVER.BASE_LR 0 VTN.CPU_PROCESSES 2".split()
    cfg = load_config(folder / "tiny.yaml", ["OUTPUT_DIR", str(folder / "out"), *TOY, *still])
    launch_job(cfg, f"file://{folder}/meet", work)
    seen = [json.loads((folder / "out" / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    return SimpleNamespace(cfg=cfg, seen=seen)


def test_each_process_has_random_numbers_of_its_own(two):
    for source in ("torch", "numpy", "python"):
        assert two.seen[0][source] != two.seen[1][source], source


def test_the_log_of_training_counts_the_items_of_both(two):
    rows, labels = table("train")
    steps = [first + second for first, second in zip(*(seen["items"] for seen in two.seen), strict=True)]
    assert sorted(steps[0] + steps[1]) == list(range(8))
    lines = logged(two.cfg, "train_iter")
    for line, items in zip(lines, steps, strict=True):
        top1, top5, loss = errors(rows[items], labels[items])
        assert (line["top1_err"], line["top5_err"]) == pytest.approx((top1, top5), abs=1e-3)
        assert line["loss"] == pytest.approx(loss, abs=1e-4)
        # One process alone saw something else.
        assert errors(rows[items[:2]], labels[items[:2]])[2] != pytest.approx(loss, abs=1e-2)


def test_validation_counts_the_items_of_both(two):
    """Seven items: four in one process, three in the other."""
    (line,) = logged(two.cfg, "val_epoch")
    top1, top5, _ = errors(*table("val"))
    assert (line["top1_err"], line["top5_err"]) == pytest.approx((top1, top5), abs=1e-3)


def test_a_test_counts_the_items_of_both(two):
    with open(f"{two.cfg.OUTPUT_DIR}/test_results.json") as file:
        results = json.load(file)
    top1, top5, _ = errors(*table("test"))
    assert (results["num_videos"], results["num_failed"]) == (7, 0)
    assert float(results["top1_acc"]) == pytest.approx(100 - top1, abs=0.01)
    assert float(results["top5_acc"]) == pytest.approx(100 - top5, abs=0.01)


def test_precise_statistics_are_averaged_over_both(two):
    path = checkpoint.checkpoint_path(f"{two.cfg.OUTPUT_DIR}/norm", 1)
    found = torch.load(path, weights_only=True)["model_state"]
    rows, _ = table("train")
    halves = [rows[[item for step in seen["items"] for item in step]] for seen in two.seen]
    torch.testing.assert_close(found["norm.running_mean"], rows.mean(0))
    assert not torch.allclose(halves[0].mean(0), halves[1].mean(0), atol=0.1)
    variances = [half.var(0, correction=0) for half in halves]
    torch.testing.assert_close(found["norm.running_var"], (variances[0] + variances[1]) / 2)


@pytest.mark.parametrize("kind", ["plain", "scaled"])
def test_a_step_that_is_not_finite_in_one_process_ends_both(kind, two):
    """In the third step: its loss is a number in the first process alone, which ends with the same words."""
    (told, first), (same, second) = (seen["ends"][kind] for seen in two.seen)
    assert told == same
    names = ", ".join(f"{item}.mp4" for item in second)
    assert told.startswith(
        f"the loss is nan in epoch 2, iteration 1, with the videos {names}; it has changed"
    )
    folder = f"{two.cfg.OUTPUT_DIR}/{kind}"
    step, _ = read_failed_step(f"{folder}/nonfinite_step.pyth")
    assert [share.items.tolist() for share in step.shares] == [first, second]
    assert [math.isnan(share.losses[0]) for share in step.shares] == [False, True]
    before = torch.load(checkpoint.checkpoint_path(folder, 1), weights_only=True)["model_state"]
    assert all(torch.equal(step.model_state[name], tensor) for name, tensor in before.items())
