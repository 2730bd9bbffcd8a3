"""What each of two processes does in test_two_processes.py; it starts from nothing, so this is a module."""

import faulthandler
import json
import random
from pathlib import Path

import numpy as np
import torch
from torch import distributed as dist
from toys import items_of, register_toys, train_steps

from slowfast_ext.distributed import seed_everything
from slowfast_ext.plugin.loops import test, train

# One that waits for the other for ever must not keep the tests.
_SECONDS = 300


def work(cfg) -> None:
    """Train and test a linear toy, then train one with a batch norm; write what was seen to rank{n}.json."""
    faulthandler.dump_traceback_later(_SECONDS, exit=True)
    register_toys()
    seed_everything(cfg.RNG_SEED)
    seen = {"torch": torch.rand(1).item(), "numpy": np.random.rand(), "python": random.random()}
    train(cfg)
    seen["items"] = items_of(train_steps())
    test(cfg)
    Path(cfg.OUTPUT_DIR, f"rank{dist.get_rank()}.json").write_text(json.dumps(seen))
    norm = f"MODEL.MODEL_NAME ToyNorm BN.USE_PRECISE_STATS True OUTPUT_DIR {cfg.OUTPUT_DIR}/norm"
    Path(cfg.OUTPUT_DIR, "norm").mkdir(exist_ok=True)
    cfg = cfg.clone()
    cfg.defrost()
    cfg.merge_from_list(norm.split())
    train(cfg)
    faulthandler.cancel_dump_traceback_later()
