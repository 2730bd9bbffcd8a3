"""What a run writes for programs and people: results, configuration, model, log."""

import json
from pathlib import Path

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from tiny_runs import MULTI_VIEW, ROOT, UNTRAINED, stats

from slowfast_ext.config import load_config
from slowfast_ext.engine import run_files
from slowfast_ext.engine.facts import log_model_info, model_facts
from slowfast_ext.flops import example_inputs
from slowfast_ext.host import checkpoint, get_host
from slowfast_ext.plugin import loops
from vtn.errors import InputError

host = get_host()


def results_of(cfg) -> dict:
    with open(f"{cfg.OUTPUT_DIR}/test_results.json") as file:
        return json.load(file)


def test_results_hold_size_cost_time_and_memory(tiny_cfg, tmp_path):
    """Ten classes, so that top-5 says something; counted again by fvcore and from the checkpoint."""
    cfg = tiny_cfg("SOLVER.MAX_EPOCH", "1", "MODEL.NUM_CLASSES", "10")
    loops.train(cfg)
    loops.test(cfg)
    found = results_of(cfg)
    model = host.bare_model(cfg).eval()
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
    cfg = tiny_cfg(*MULTI_VIEW, *UNTRAINED)
    loops.test(cfg)
    found = results_of(cfg)
    assert (found["frames_per_view"], found["num_views"]) == (4, 6)
    assert found["gflops_per_view"] == model_facts(host.bare_model(cfg), cfg, train=True).gflops_per_view
    log = (tmp_path / "out" / "stdout.log").read_text().lower()
    assert not [name for name in found if "top5" in name]
    assert "top5" not in log


def test_without_log_model_info_nothing_is_counted(tiny_cfg):
    cfg = tiny_cfg("LOG_MODEL_INFO", "False", *UNTRAINED)
    loops.test(cfg)
    assert "gflops_per_view" not in results_of(cfg)
    assert results_of(cfg)["num_videos"] == 7


def test_a_model_is_counted_and_told_once(tiny_cfg, caplog):
    cfg = tiny_cfg()
    model = host.bare_model(cfg)
    caplog.set_level("INFO")
    for _ in range(2):  # as main's test does
        log_model_info(model, cfg, train=False)
    assert caplog.text.count("GFLOPs per view of 12 frames of 32x32") == 1


def test_the_log_of_two_epochs_is_short(tiny_cfg, tmp_path):
    """One line for the configuration and one for the model; both are whole in their files."""
    cfg = tiny_cfg("LOG_PERIOD", "1")
    loops.train(cfg)
    loops.test(cfg)
    out = tmp_path / "out"
    lines = (out / "stdout.log").read_text().splitlines()
    assert len(lines) < 50
    for name in ("config.yaml", "config_test.yaml", "model.txt", "model_test.txt"):
        assert sum(str(out / name) in line for line in lines) == 1
        assert (out / name).read_text().count("\n") > 100
    assert (out / "model.txt").read_text() == f"{host.bare_model(cfg)}\n"
    assert not [line for line in lines if "Unsupported operator" in line or "AttributeError" in line]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda path: path.stem)
def test_a_written_configuration_loads_again(path, tmp_path):
    overrides = ["OUTPUT_DIR", str(tmp_path), "NUM_GPUS", "0", "SOLVER.BASE_LR_SCALE_NUM_SHARDS", "True"]
    cfg = load_config(path, overrides, num_shards=2)
    run_files.write_training_config(cfg, None)
    again = load_config(tmp_path / "config.yaml", num_shards=2).clone()
    again.defrost()
    again.SOLVER.BASE_LR_SCALE_NUM_SHARDS = True  # done once, not twice
    assert again.dump() == cfg.dump()


def test_the_configuration_of_a_test_leaves_that_of_the_training(tiny_cfg, tmp_path):
    cfg = tiny_cfg()
    run_files.write_training_config(cfg, None)
    trained = (tmp_path / "out" / "config.yaml").read_text()
    run_files.write_test_config(tiny_cfg(*MULTI_VIEW))
    assert (tmp_path / "out" / "config.yaml").read_text() == trained
    assert load_config(tmp_path / "out" / "config_test.yaml").TEST.NUM_SPATIAL_CROPS == 3


def test_a_continued_run_keeps_the_configuration_of_its_beginning(tiny_cfg, tmp_path):
    out = tmp_path / "out"
    loops.train(tiny_cfg("SOLVER.MAX_EPOCH", "1"))
    loops.train(tiny_cfg("SOLVER.MAX_EPOCH", "1"))  # the same again: nothing to keep
    assert not list(out.glob("config_until*"))
    loops.train(tiny_cfg("SOLVER.MAX_EPOCH", "2", "SOLVER.BASE_LR", "0.01"))
    assert load_config(out / "config_until_epoch_00001.yaml").SOLVER.BASE_LR == 0.05
    assert load_config(out / "config.yaml").SOLVER.BASE_LR == 0.01
    loops.train(tiny_cfg("TRAIN.AUTO_RESUME", "False"))  # begins anew, so nothing of before is in it
    assert len(list(out.glob("config_until*"))) == 1


def test_the_first_checkpoint_comes_after_the_first_epoch(tiny_cfg):
    """Whatever TRAIN.CHECKPOINT_PERIOD says; then by the period, and after the last epoch."""
    cfg = tiny_cfg("SOLVER.MAX_EPOCH", "6", "TRAIN.CHECKPOINT_PERIOD", "4", "TRAIN.EVAL_PERIOD", "6")
    loops.train(cfg)
    names = [path[-10:-5] for path in checkpoint.list_checkpoints(cfg.OUTPUT_DIR)]
    assert names == ["00006", "00004", "00001"]


def test_a_refused_run_leaves_the_record_of_the_run_before(tiny_cfg):
    """Six classes do not fit a checkpoint of five; config.yaml and model.txt stay those of the training."""
    loops.train(tiny_cfg("SOLVER.MAX_EPOCH", "1"))
    folder = Path(tiny_cfg().OUTPUT_DIR)
    names = ["config.yaml", "model.txt"]
    before = [(folder / name).read_text() for name in names]
    for _ in range(2):
        with pytest.raises(InputError, match="differs in classes"):
            loops.train(tiny_cfg("SOLVER.MAX_EPOCH", "2", "MODEL.NUM_CLASSES", "6"))
        assert [(folder / name).read_text() for name in names] == before
        assert not list(folder.glob("config_until_epoch_*"))
    loops.train(tiny_cfg("SOLVER.MAX_EPOCH", "2", "SOLVER.BASE_LR", "0.01"))
    assert (folder / "config_until_epoch_00001.yaml").read_text() == before[0]
