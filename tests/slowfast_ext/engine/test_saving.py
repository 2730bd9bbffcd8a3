"""Checkpoints in the background: which are kept, what a full disk does, and that no step waits for them."""

import errno
import os
import threading
from pathlib import Path

import pytest
import torch
from toys import ToyLinear, logged, train_steps

from slowfast_ext.engine import saving
from slowfast_ext.engine.validations import Validations
from slowfast_ext.files import reason_of
from slowfast_ext.host import checkpoint
from slowfast_ext.host.places import Place, best_path, inside_path, list_inside, place_of
from slowfast_ext.plugin.loops import train
from vtn import InputError

OFTEN = ("TRAIN.CHECKPOINT_MINUTES", "0.0000001")


def names(cfg) -> list[str]:
    return sorted(os.listdir(Path(cfg.OUTPUT_DIR, "checkpoints")))


def log_of(cfg) -> str:
    return Path(cfg.OUTPUT_DIR, "stdout.log").read_text()


@pytest.fixture
def full_disk(monkeypatch):
    """A disk on which the attempts to save with these numbers, from 1, fail as on a full one."""
    save, attempts = torch.save, []

    def fail(*numbers: int) -> list[int]:
        def saves(state, file):
            attempts.append(len(attempts) + 1)
            if attempts[-1] in numbers or not numbers:
                file.write(b"half")
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            save(state, file)

        monkeypatch.setattr(torch, "save", saves)
        return attempts

    return fail


def test_the_newest_of_epochs_and_the_best_are_kept(toy_cfg):
    cfg = toy_cfg("TRAIN.CHECKPOINTS_KEPT", "2", "SOLVER.MAX_EPOCH", "5", *OFTEN)
    train(cfg)
    assert names(cfg) == [
        "best.pyth",
        "checkpoint_epoch_00004.pyth",
        "checkpoint_epoch_00005.pyth",
        "validations.json",
    ]


def test_the_best_is_the_first_with_the_least_error(toy_cfg):
    """Rates are so high that the error goes up and down; the file is there before training ends."""
    cfg = toy_cfg("SOLVER.MAX_EPOCH", "6", "SOLVER.BASE_LR", "3", "TRAIN.CHECKPOINT_PERIOD", "4")
    train(cfg)
    errors = [line["top1_err"] for line in logged(cfg, "val_epoch")]
    best = min(range(6), key=lambda epoch: errors[epoch])
    assert 0 < best < 5, errors  # or the first, or the last, would do
    found = torch.load(best_path(cfg.OUTPUT_DIR), weights_only=True)
    assert found["epoch"] == best
    assert min(errors) < errors[-1]
    again = toy_cfg(
        "SOLVER.MAX_EPOCH", str(best + 1), "SOLVER.BASE_LR", "3", "OUTPUT_DIR", f"{cfg.OUTPUT_DIR}2"
    )
    train(again)
    expected = torch.load(checkpoint.checkpoint_path(again.OUTPUT_DIR, best + 1), weights_only=True)
    for name, tensor in expected["model_state"].items():
        assert torch.equal(found["model_state"][name], tensor)


def test_two_inside_an_epoch_stay_and_main_takes_none_of_them(toy_cfg, monkeypatch):
    cfg = toy_cfg("TRAIN.BATCH_SIZE", "1", "SOLVER.MAX_EPOCH", "1", *OFTEN)
    seen, is_due = [], saving.Saver.is_due

    def looks(self):
        self.wait()
        seen.append(names(cfg) if os.path.isdir(f"{cfg.OUTPUT_DIR}/checkpoints") else [])
        return is_due(self)

    monkeypatch.setattr(saving.Saver, "is_due", looks)
    train(cfg)
    assert max(map(len, seen)) == 2
    assert seen[-1] == ["inside_epoch_00001_step_00000006.pyth", "inside_epoch_00001_step_00000007.pyth"]
    assert not any("checkpoint" in name for name in [*seen[-1], "best.pyth", checkpoint.UNFINISHED])
    assert names(cfg) == ["best.pyth", "checkpoint_epoch_00001.pyth", "validations.json"]


def test_places_are_numbers(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    places = [Place(2), Place(1, 100_000_000), Place(1, 9), Place(0, 10), Place(100_000)]
    paths = [inside_path(str(tmp_path), p) for p in places if p.iteration]
    paths += [checkpoint.checkpoint_path(str(tmp_path), p.epoch) for p in places if not p.iteration]
    assert {place_of(path) for path in paths} == set(places)
    assert list_inside(str(tmp_path)) == []
    for path in paths:
        torch.save({"a": 1}, path)
    assert checkpoint.newest_place(str(tmp_path)) == checkpoint.checkpoint_path(str(tmp_path), 100_000)
    (folder / "checkpoint_epoch_100000.pyth").unlink()
    assert checkpoint.newest_place(str(tmp_path)) == checkpoint.checkpoint_path(str(tmp_path), 2)
    (folder / "checkpoint_epoch_00002.pyth").unlink()
    assert checkpoint.newest_place(str(tmp_path)) == inside_path(str(tmp_path), Place(1, 100_000_000))
    with pytest.raises(ValueError, match=r"best\.pyth tells no place"):
        place_of(best_path(str(tmp_path)))


def test_zero_minutes_save_after_epochs_only(toy_cfg, monkeypatch):
    monkeypatch.setattr(saving.Saver, "save_inside", None)
    train(toy_cfg("TRAIN.CHECKPOINT_MINUTES", "0"))


def test_a_step_does_not_wait_for_the_disk(toy_cfg, monkeypatch):
    """Writing ends only when three more steps have been done; the file has the weights of its place."""
    cfg = toy_cfg("TRAIN.BATCH_SIZE", "1", "SOLVER.MAX_EPOCH", "1", *OFTEN)
    write, done, forward = saving.write_checkpoint, threading.Event(), ToyLinear.forward
    weights, written = [], {}

    def slowly(path, state):
        if "inside" in path and not written:
            assert done.wait(60)
            written[path] = state["model_state"]["linear.weight"].clone()
        write(path, state)

    def steps(self, inputs):
        weights.append(self.linear.weight.detach().clone())
        if len(weights) == 6:
            done.set()
        return forward(self, inputs)

    monkeypatch.setattr(saving, "write_checkpoint", slowly)
    monkeypatch.setattr(ToyLinear, "forward", steps)
    train(cfg)
    ((path, weight),) = written.items()
    assert place_of(path) == Place(0, 1)
    assert torch.equal(weight, weights[1])
    assert not torch.equal(weights[1], weights[5])


def test_a_disk_that_is_full_for_a_while(toy_cfg, full_disk):
    attempts = full_disk(1, 2)
    cfg = toy_cfg("SOLVER.MAX_EPOCH", "3")
    train(cfg)
    assert len(attempts) >= 3
    assert len(train_steps()) == 6
    assert log_of(cfg).count("could not be written (No space left on device): the training goes on") >= 2
    assert checkpoint.UNFINISHED not in names(cfg)
    assert "checkpoint_epoch_00003.pyth" in names(cfg)


def test_a_disk_that_stays_full(toy_cfg, full_disk):
    full_disk()
    cfg = toy_cfg()
    with pytest.raises(InputError, match=r"has ended, but its last save failed: .*00002\.pyth could not be"):
        train(cfg)
    assert len(train_steps()) == 4
    assert len(logged(cfg, "val_epoch")) == 2
    assert not checkpoint.list_checkpoints(cfg.OUTPUT_DIR)
    assert Path(cfg.OUTPUT_DIR, "config.yaml").is_file()


def test_what_pytorch_makes_of_a_full_disk(tmp_path):
    """A real one: PyTorch raises another error on top of that of the disk."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    os.symlink("/dev/full", folder / checkpoint.UNFINISHED)
    with pytest.raises(OSError, match="No space left on device") as raised:
        checkpoint.write_checkpoint(str(folder / "a.pyth"), {"a": torch.zeros(1_000_000)})
    assert raised.value.errno == errno.ENOSPC
    assert not list(folder.iterdir())


def test_what_pytorch_alone_says_of_a_write(tmp_path, monkeypatch):
    """No error of the disk is behind it."""

    def saves(state, file):
        raise RuntimeError("unexpected pos 64\nvs 0")

    monkeypatch.setattr(torch, "save", saves)
    with pytest.raises(OSError, match="unexpected pos") as raised:
        checkpoint.write_checkpoint(str(tmp_path / "a.pyth"), {})
    assert reason_of(raised.value) == "unexpected pos 64 vs 0"
    assert not list(tmp_path.iterdir())


def test_a_ledger_or_a_validation_that_cannot_be_written_ends_nothing(toy_cfg):
    cfg = toy_cfg("SOLVER.MAX_EPOCH", "1")
    for name in ("ledger_train.csv", "ledger_val.csv", "checkpoints/validations.json"):
        Path(cfg.OUTPUT_DIR, name, "is a folder").mkdir(parents=True)
    with pytest.raises(InputError, match=r"last save failed: .*validations\.json could not be written"):
        train(cfg)
    assert checkpoint.list_checkpoints(cfg.OUTPUT_DIR)
    assert log_of(cfg).count("cannot write") == 2


def test_validations_come_back_up_to_an_epoch(tmp_path):
    written = Validations(str(tmp_path))
    written.errors = {0: (50.0, 10.0), 1: (100 / 3, 20.0), 3: (100 / 3, 0.0)}
    written.write()
    read = Validations(str(tmp_path))
    read.read(4)
    assert read.errors == written.errors
    assert (read.best, read.least) == (1, (100 / 3, 0.0))
    read.read(1)
    assert read.errors == {0: (50.0, 10.0)}
    (tmp_path / "checkpoints" / "validations.json").write_text("{")
    damaged = Validations(str(tmp_path))
    damaged.read(4)
    assert (damaged.errors, damaged.best, damaged.least) == ({}, None, (100.0, 100.0))


def test_a_copy_is_of_its_own():
    value = {"a": torch.ones(3), "b": [1, (torch.zeros(2), "x")]}
    copy = saving.copied(value)
    value["a"] += 1
    value["b"][1][0].add_(1)
    assert copy["a"].tolist() == [1, 1, 1]
    assert copy["b"][1][0].tolist() == [0, 0]
    assert isinstance(copy["b"][1], tuple)
