"""Checkpoint files of this project's loops, in memory and on disk."""

from pathlib import Path

import pytest
import torch
from disk import assert_on_disk_before_its_name, watch_disk

from slowfast_ext.host import checkpoint, get_host

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
