"""A batch computed in parts gives the gradients, and the log, of the whole batch."""

import pytest
import torch
from tiny_runs import NO_DROPOUT
from torch import distributed as dist
from torch import nn
from toys import ToyLinear, logged

from slowfast_ext.data.build import construct_loader
from slowfast_ext.engine.batch import split_batch
from slowfast_ext.engine.learner import make_learner
from slowfast_ext.engine.tally import Tally
from slowfast_ext.engine.train import train_step
from slowfast_ext.host import checkpoint
from slowfast_ext.plugin.loops import train


def trained(cfg) -> dict[str, torch.Tensor]:
    path = checkpoint.newest_checkpoint(cfg.OUTPUT_DIR)
    return torch.load(path, weights_only=True)["model_state"]


def assert_same_training(load, tmp_path, *overrides: str) -> None:
    runs = []
    for steps in ("1", "2"):
        cfg = load(*overrides, "TRAIN.ACCUMULATE_STEPS", steps, "OUTPUT_DIR", str(tmp_path / steps))
        train(cfg)
        lines = [[line[name] for name in ("loss", "top1_err", "lr")] for line in logged(cfg, "train_iter")]
        runs.append((trained(cfg), torch.tensor(lines)))
    (whole, log), (parts, log_of_parts) = runs
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, atol=1e-6, rtol=1e-6, msg=name)
    torch.testing.assert_close(log_of_parts, log, atol=1e-4, rtol=0)


def test_parts_train_as_the_whole_batch_does(toy_cfg, tmp_path):
    assert_same_training(toy_cfg, tmp_path, "SOLVER.CLIP_GRAD_L2NORM", "0.5")
    assert [len(inputs) for training, inputs in ToyLinear.seen if training] == [4] * 4 + [2] * 8


def test_parts_train_a_vtn_as_the_whole_batch_does(tiny_cfg, tmp_path):
    small = "SOLVER.MAX_EPOCH", "1", "SOLVER.BASE_LR", "0.01"
    assert_same_training(tiny_cfg, tmp_path, "ENGINE", "own", *NO_DROPOUT, *small)


def test_parts_are_cut_before_anything_moves_and_are_the_videos_in_order(tiny_cfg):
    cfg = tiny_cfg("ENGINE", "own")
    loaded = next(iter(construct_loader(cfg, "train")))
    parts = list(split_batch(loaded, 2))
    clips = [part[0][0].clips(cfg.DATA.MEAN, cfg.DATA.STD) for part in parts]
    assert torch.equal(torch.cat(clips), loaded[0][0].clips(cfg.DATA.MEAN, cfg.DATA.STD))
    for number in (1, 2):
        assert torch.equal(torch.cat([part[number] for part in parts]), loaded[number])
    assert torch.equal(torch.cat([part[0][1] for part in parts]), loaded[0][1])
    pixels = [len(part[0][0].pixels) for part in parts]
    assert sum(pixels) == len(loaded[0][0].pixels)  # no part holds frames of another
    with pytest.raises(ValueError, match="4 videos cannot be cut into 3 equal parts"):
        list(split_batch(loaded, 3))


@pytest.mark.parametrize(("steps", "exchanges"), [("1", 1), ("4", 1)])
def test_processes_exchange_gradients_once_for_each_step(steps, exchanges, toy_cfg, tmp_path):
    cfg = toy_cfg("TRAIN.ACCUMULATE_STEPS", steps)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    calls = []

    def exchange(_, bucket):
        calls.append(bucket.buffer().clone())
        done = torch.futures.Future()
        done.set_result(bucket.buffer())
        return done

    try:
        model = nn.parallel.DistributedDataParallel(ToyLinear(cfg)).train()
        model.register_comm_hook(None, exchange)
        tally = Tally(all_processes=True)
        loaded = next(iter(construct_loader(cfg, "train")))
        train_step(loaded, make_learner(model, cfg), tally, cfg)
        (step,) = tally.read()
    finally:
        dist.destroy_process_group()
    assert len(calls) == exchanges
    assert step.videos == 4
