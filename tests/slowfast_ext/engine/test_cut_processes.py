"""Several processes that are stopped end as if they had not been; one goes on where they have stopped."""

import json
from types import SimpleNamespace

import pytest
import torch
from cut_processes import with_keys, with_norm, work
from test_resuming import assert_same_run, content, last_lines
from tiny_runs import TINY
from toys import TOY, ToyLinear, assert_same, items_of, train_steps

from slowfast_ext.config import load_config
from slowfast_ext.launch import launch_job
from slowfast_ext.plugin.loops import train


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.slow)])
def several(request, registered_toys, tmp_path_factory):
    """What so many processes have done: configuration, and what each told."""
    count = request.param
    folder = tmp_path_factory.mktemp("several")
    (folder / "tiny.yaml").write_text(TINY)
    keys = f"TRAIN.BATCH_SIZE {count} VTN.CPU_PROCESSES {count}".split()
    cfg = load_config(folder / "tiny.yaml", ["OUTPUT_DIR", str(folder), *TOY, *keys])
    launch_job(cfg, f"file://{folder}/meet", work)
    told = [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(count)]
    return SimpleNamespace(cfg=cfg, told=told)


def test_all_leave_when_one_is_told(several):
    for told in several.told:
        ends = {name: told[name] for name in ("step", "validation", "for another number", "norm 2", "failed")}
        assert set(ends.values()) == {"stopped with 138"}, ends


@pytest.mark.parametrize("name", ["step", "validation"])
def test_the_same_bits(several, name):
    whole, cut = (with_keys(several.cfg, folder) for folder in ("whole", name))
    assert_same_run(whole, cut, 2)


def test_the_same_bits_of_batch_norms(several):
    whole, cut = (with_norm(several.cfg, folder) for folder in ("norm", "norm_cut"))
    assert_same_run(whole, cut, 2)


def test_the_same_bits_where_a_video_failed_in_one_share(several):
    whole, cut = (with_keys(several.cfg, folder) for folder in ("failed", "failed_cut"))
    assert_same_run(whole, cut, 2)
    weight = "linear.weight"
    of_all = content(with_keys(several.cfg, "whole"), 2)["model_state"][weight]
    assert not torch.equal(content(whole, 2)["model_state"][weight], of_all)


def test_one_process_goes_on_where_several_have_stopped(several, monkeypatch):
    """Its batches are those of all together, so losses differ by rounding at most."""
    monkeypatch.setattr(ToyLinear, "seen", [])
    whole, cut = (with_keys(several.cfg, folder, "VTN.CPU_PROCESSES", "1") for folder in ("whole", "another"))
    train(cut)
    found = [set(items) for items in items_of(train_steps())]
    expected = [set().union(*items) for items in zip(*(told["items"] for told in several.told), strict=True)]
    assert found == expected[-len(found) :]
    assert len(expected) - len(found) == len(expected) // 4  # half of the first epoch
    for one, other in zip(last_lines(whole, "train_epoch"), last_lines(cut, "train_epoch"), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)
    for name, tensor in content(whole, 2)["model_state"].items():
        torch.testing.assert_close(content(cut, 2)["model_state"][name], tensor, atol=1e-5, rtol=1e-5)
    assert_same(content(whole, 2)["epoch"], content(cut, 2)["epoch"])
