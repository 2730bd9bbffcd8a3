"""Checkpoint files of this project's loops, in memory and on disk."""

from pathlib import Path

import pytest
import torch
from disk import assert_on_disk_before_its_name, watch_disk

from slowfast_ext.host import checkpoint, get_host
from vtn.errors import InputError

host = get_host()


def test_a_checkpoint_is_on_disk_before_it_has_its_name(toy_cfg, monkeypatch):
    cfg = toy_cfg()
    model = host.bare_model(cfg)
    optimizer = host.construct_optimizer(model, cfg)
    done = watch_disk(monkeypatch)
    path = checkpoint.save_checkpoint(cfg.OUTPUT_DIR, model, optimizer, 0, cfg)
    assert_on_disk_before_its_name(path, done)


def test_a_write_that_fails_leaves_the_file_of_before(toy_cfg, monkeypatch):
    cfg = toy_cfg()
    model = host.bare_model(cfg)
    optimizer = host.construct_optimizer(model, cfg)
    path = Path(checkpoint.save_checkpoint(cfg.OUTPUT_DIR, model, optimizer, 0, cfg))
    before = path.read_bytes()

    def fails(state, file):
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", fails)
    for epoch in (0, 1):
        with pytest.raises(OSError, match="no space left"):
            checkpoint.save_checkpoint(cfg.OUTPUT_DIR, model, optimizer, epoch, cfg)
    assert path.read_bytes() == before
    assert checkpoint.list_checkpoints(cfg.OUTPUT_DIR) == [str(path)]


def stepped(cfg):
    """A toy and its optimizer after one step, so that there are momenta."""
    model = host.bare_model(cfg)
    optimizer = host.construct_optimizer(model, cfg)
    model.train()([torch.ones(2, 4)]).sum().backward()
    optimizer.step()
    return model, optimizer


ODD = {
    "a word for an epoch": (
        {"epoch": "x"},
        "an entry 'epoch' that cannot be used: it must be a whole number",
    ),
    "an endless training": ({"epoch": 10**9}, "an entry 'epoch' that cannot be used: it must be a whole"),
    "an epoch before all": ({"epoch": -5}, "an entry 'epoch' that cannot be used: it must be a whole number"),
    "a list": ({"optimizer_state": [1]}, "an entry 'optimizer_state' that cannot be used"),
    "no groups": ({"optimizer_state": {}}, "its optimizer state does not fit"),
    "groups of numbers": (
        {"optimizer_state": {"state": {}, "param_groups": [1]}},
        "its optimizer state does",
    ),
    "a configuration of tensors": (
        {"cfg": torch.ones(1)},
        "an entry 'cfg' that cannot be used: it must be a",
    ),
    "a word for a scale": ({"scaler_state": {"scale": "x"}}, "an entry 'scaler_state' that cannot be used"),
    "a list for a run": ({"run": [1]}, "an entry 'run' that cannot be used: it must be names with values"),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_entries_are_refused(what, toy_cfg):
    entries, sentence = ODD[what]
    cfg = toy_cfg()
    saved, momenta = stepped(cfg)
    path = checkpoint.save_checkpoint(cfg.OUTPUT_DIR, saved, momenta, 6, cfg)
    checkpoint.write_checkpoint(path, torch.load(path, weights_only=True) | entries)
    model = host.bare_model(cfg)
    optimizer = host.construct_optimizer(model, cfg)
    scaler = torch.amp.GradScaler("cpu")
    with pytest.raises(InputError, match=sentence):
        checkpoint.restore_checkpoint(path, model, optimizer=optimizer, scaler=scaler, run={})


def test_momenta_of_another_shape_are_refused(toy_cfg):
    cfg = toy_cfg()
    saved, momenta = stepped(cfg)
    path = checkpoint.save_checkpoint(cfg.OUTPUT_DIR, saved, momenta, 6, cfg)
    content = torch.load(path, weights_only=True)
    content["optimizer_state"]["state"][0]["momentum_buffer"] = torch.ones(7, 7)
    checkpoint.write_checkpoint(path, content)
    model = host.bare_model(cfg)
    optimizer = host.construct_optimizer(model, cfg)
    with pytest.raises(InputError, match=r"does not fit .*momentum_buffer is \(7, 7\) for weights"):
        checkpoint.restore_checkpoint(path, model, optimizer=optimizer)


def test_epoch_and_optimizer_come_back_unless_only_weights_are_asked_for(toy_cfg):
    cfg = toy_cfg()
    saved, momenta = stepped(cfg)
    path = checkpoint.save_checkpoint(cfg.OUTPUT_DIR, saved, momenta, 6, cfg)
    for reset, epoch, num_momenta in ((True, -1, 0), (False, 6, 2)):
        model = host.bare_model(cfg)
        optimizer = host.construct_optimizer(model, cfg)
        assert checkpoint.restore_checkpoint(path, model, optimizer=optimizer, epoch_reset=reset) == epoch
        assert torch.equal(model.linear.weight, saved.linear.weight)
        assert len(optimizer.state) == num_momenta
