"""What a run writes for programs and people: results, configuration, model, log."""

import json

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from tiny_runs import MULTI_VIEW, stats

from slowfast_ext.engine import checkpoint
from slowfast_ext.engine.facts import log_model_info, model_facts
from slowfast_ext.flops import example_inputs
from slowfast_ext.host import get_host

host = get_host()


def results_of(cfg) -> dict:
    with open(f"{cfg.OUTPUT_DIR}/test_results.json") as file:
        return json.load(file)


def test_results_hold_size_cost_time_and_memory(tiny_cfg, tmp_path):
    """Ten classes, so that top-5 says something; counted again by fvcore and from the checkpoint."""
    cfg = tiny_cfg("SOLVER.MAX_EPOCH", "1", "MODEL.NUM_CLASSES", "10")
    host.train(cfg)
    host.test(cfg)
    found = results_of(cfg)
    model = host.create_model(cfg).eval()
    inputs = example_inputs(cfg, 12, 32)
    by_operator = FlopCountAnalysis(model, (inputs,)).by_operator()
    multiplied = sum(by_operator[name] for name in ("conv", "linear", "addmm"))
    assert found["gflops_per_view"] == pytest.approx(multiplied / 1e9, rel=2e-3)
    state = torch.load(checkpoint.checkpoint_path(cfg.OUTPUT_DIR, 1), weights_only=True)["model_state"]
    trained = {name for name, _ in model.named_parameters()}
    assert found["parameters"] == sum(w.numel() for name, w in state.items() if name in trained)
    assert (found["frames_per_view"], found["crop_size_px"], found["num_views"]) == (12, 32, 1)
    assert 0 < found["evaluation_seconds"] < 60
    assert 100 < found["peak_process_memory_mib"] < 16000
    assert 0 <= float(found["top1_acc"]) <= float(found["top5_acc"]) <= 100
    log = (tmp_path / "out" / "stdout.log").read_text()
    (final,) = stats(log, split="test_final")
    assert {name: final[name] for name in ("parameters", "num_videos")} == {
        name: found[name] for name in ("parameters", "num_videos")
    }
    training, test = stats(log, _type="model")
    assert (training["frames_per_view"], test["frames_per_view"]) == (4, 12)
    assert training["parameters"] == found["parameters"]


def test_results_of_clips_and_of_few_classes(tiny_cfg, tmp_path):
    """Clips of 4 frames, and five classes: no top-5 in the file, nor anywhere in the log."""
    cfg = tiny_cfg(*MULTI_VIEW)
    host.test(cfg)
    found = results_of(cfg)
    assert (found["frames_per_view"], found["num_views"]) == (4, 6)
    assert found["gflops_per_view"] == model_facts(host.create_model(cfg), cfg, train=True).gflops_per_view
    log = (tmp_path / "out" / "stdout.log").read_text().lower()
    assert not [name for name in found if "top5" in name]
    assert "top5_" not in log


def test_without_log_model_info_nothing_is_counted(tiny_cfg):
    cfg = tiny_cfg("LOG_MODEL_INFO", "False")
    host.test(cfg)
    assert "gflops_per_view" not in results_of(cfg)
    assert results_of(cfg)["num_videos"] == 7


def test_a_model_is_counted_and_told_once(tiny_cfg, caplog):
    cfg = tiny_cfg()
    model = host.create_model(cfg)
    caplog.set_level("INFO")
    for _ in range(2):  # as main's test does
        log_model_info(model, cfg, train=False)
    assert caplog.text.count("GFLOPs per view of 12 frames of 32x32") == 1
