"""What a run starts from: its own folder's checkpoint, a given file, or nothing."""

import pytest
import torch
from toys import ToyLinear, train_steps

from slowfast_ext.engine.start import find_test_source
from slowfast_ext.engine.train import train
from slowfast_ext.host import checkpoint
from vtn.errors import InputError


@pytest.fixture
def trained(toy_cfg, tmp_path):
    """Train a toy for two epochs under this name; returns the path of the last checkpoint."""

    def train_it(name: str, *overrides: str) -> str:
        out = str(tmp_path / name)
        train(toy_cfg("OUTPUT_DIR", out, *overrides))
        ToyLinear.seen.clear()
        return checkpoint.checkpoint_path(out, 2)

    return train_it


def state(path: str) -> dict:
    return torch.load(path, weights_only=True)


def test_without_auto_resume_a_run_starts_anew_in_its_own_folder(trained, toy_cfg, tmp_path):
    first = state(trained("run"))
    cfg = toy_cfg("OUTPUT_DIR", str(tmp_path / "run"), "TRAIN.AUTO_RESUME", "False")
    train(cfg)
    assert len(train_steps()) == 4  # both epochs again
    again = state(checkpoint.checkpoint_path(cfg.OUTPUT_DIR, 2))
    for name, tensor in first["model_state"].items():
        assert torch.equal(again["model_state"][name], tensor), name
    train(toy_cfg("OUTPUT_DIR", str(tmp_path / "run")))
    assert len(train_steps()) == 4  # with it there is nothing left to do


def test_without_auto_resume_the_given_file_is_taken(trained, toy_cfg, tmp_path):
    trained("run")
    given = trained("given", "SOLVER.BASE_LR", "0.3")
    new = "TRAIN.AUTO_RESUME False TRAIN.CHECKPOINT_EPOCH_RESET True SOLVER.BASE_LR 0 SOLVER.MAX_EPOCH 1"
    cfg = toy_cfg("OUTPUT_DIR", str(tmp_path / "run"), *new.split(), "TRAIN.CHECKPOINT_FILE_PATH", given)
    train(cfg)
    found = state(checkpoint.checkpoint_path(cfg.OUTPUT_DIR, 1))["model_state"]
    for name, tensor in state(given)["model_state"].items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize(("reset", "epochs"), [("True", 3), ("False", 1)])
def test_epoch_reset_begins_with_the_first_epoch(reset, epochs, trained, toy_cfg):
    given = trained("given")
    take = "TRAIN.CHECKPOINT_FILE_PATH", given, "TRAIN.CHECKPOINT_EPOCH_RESET", reset
    train(toy_cfg(*take, "SOLVER.MAX_EPOCH", "3"))
    assert len(train_steps()) == 2 * epochs


def test_a_test_prefers_its_own_file_then_the_runs_then_trainings(trained, toy_cfg, tmp_path):
    runs, tests, trainings = trained("run"), trained("tests"), trained("trainings")
    for_training = "TRAIN.CHECKPOINT_FILE_PATH", trainings
    for_test = "TEST.CHECKPOINT_FILE_PATH", tests
    for out, overrides, expected in (
        ("run", (*for_training, *for_test), tests),
        ("new", (*for_training, *for_test), tests),
        ("run", for_training, runs),
        ("new", for_training, trainings),
    ):
        source = find_test_source(toy_cfg("OUTPUT_DIR", str(tmp_path / out), *overrides))
        assert source.path == expected


def test_random_weights_are_tested_only_if_that_is_asked_for(toy_cfg, tmp_path):
    with pytest.raises(
        InputError, match=f"no checkpoint to test: none in {tmp_path}/new, and TEST.CHECKPOINT"
    ):
        find_test_source(toy_cfg("OUTPUT_DIR", str(tmp_path / "new"), "TEST.RANDOM_WEIGHTS", "False"))
    cfg = toy_cfg("OUTPUT_DIR", str(tmp_path / "new"), "TEST.RANDOM_WEIGHTS", "True")
    assert find_test_source(cfg) is None
    assert find_test_source(toy_cfg("OUTPUT_DIR", str(tmp_path / "new")), required=False) is None
