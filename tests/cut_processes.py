"""What each process does in test_cut_processes.py; it starts from nothing, so this is a module."""

import faulthandler
import json
import os
import signal
from pathlib import Path

from torch import distributed as dist
from toys import LENGTHS, Numbers, ToyLinear, items_of, register_toys, train_steps

from slowfast_ext.data.ledger import FAILED, encode_outcome
from slowfast_ext.engine.stopping import Stopped
from slowfast_ext.plugin.loops import train

# One that waits for the others for ever must not keep the tests.
_SECONDS = 300


def with_keys(cfg, folder: str, *pairs: str):
    """The configuration, for another folder beside its own."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.merge_from_list(["OUTPUT_DIR", f"{cfg.OUTPUT_DIR}/{folder}", *pairs])
    return cfg


def with_norm(cfg, folder: str):
    """The configuration, for a toy with a batch norm: no process may have a single item."""
    keys = f"MODEL.MODEL_NAME ToyNorm TRAIN.EMA_DECAY 0.7 TRAIN.BATCH_SIZE {2 * cfg.VTN.CPU_PROCESSES}"
    return with_keys(cfg, folder, *keys.split())


def train_until(cfg, call: int, signalled: int) -> str:
    """Train; the process of that rank gets a signal at that call of the model. Returns how it ended."""
    forward, calls = ToyLinear.forward, iter(range(1, 10_000))

    def interrupted(self, inputs):
        if next(calls) == call and dist.get_rank() == signalled:
            os.kill(os.getpid(), signal.SIGUSR1)
        return forward(self, inputs)

    ToyLinear.forward = interrupted
    try:
        train(cfg)
    except Stopped as error:
        return f"stopped with {error.code}"
    finally:
        ToyLinear.forward = forward
        dist.barrier()  # the first process is still writing when the others have left
    return "ended"


def fail_items(failing: set[int]) -> None:
    """From now on these items of the training cannot be read."""
    get = Numbers.__getitem__

    def fails(self, item):
        *found, outcome = get(self, item)
        failed = self.mode == "train" and item in failing
        return (*found, encode_outcome(FAILED, "broken") if failed else outcome)

    Numbers.__getitem__ = fails


def work(cfg) -> None:
    """Train whole and in parts, with and without failed videos; write how it went to rank{n}.json."""
    faulthandler.dump_traceback_later(_SECONDS, exit=True)
    register_toys()
    told, last = {}, dist.get_world_size() - 1
    steps = LENGTHS["train"] // cfg.TRAIN.BATCH_SIZE
    train(with_keys(cfg, "whole"))
    told["items"] = items_of(train_steps())
    # In the middle of an epoch; in a validation, in which one process alone is told.
    told["step"] = train_until(with_keys(cfg, "step"), steps // 2, last)
    told["validation"] = train_until(with_keys(cfg, "validation"), steps + 1, last)
    for name in ("step", "validation"):
        train(with_keys(cfg, name))
    told["for another number"] = train_until(with_keys(cfg, "another"), steps // 2, 0)
    for name, calls in (("norm", ()), ("norm_cut", (2, 5))):
        for call in calls:
            told[f"norm {call}"] = train_until(with_norm(cfg, name), call, last)
        train(with_norm(cfg, name))
    # The first item of one share, so that the processes are at different places of theirs.
    failing = [told["items"][0][0]]
    dist.broadcast_object_list(failing, 0)
    fail_items(set(failing))
    train(with_keys(cfg, "failed"))
    told["failed"] = train_until(with_keys(cfg, "failed_cut"), steps // 2, last)
    train(with_keys(cfg, "failed_cut"))
    Path(cfg.OUTPUT_DIR, f"rank{dist.get_rank()}.json").write_text(json.dumps(told))
    faulthandler.cancel_dump_traceback_later()
