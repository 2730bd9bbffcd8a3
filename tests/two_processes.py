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
from slowfast_ext.engine import learner
from slowfast_ext.engine.nonfinite import NonFiniteError
from slowfast_ext.plugin.loops import test, train

# One that waits for the other for ever must not keep the tests.
_SECONDS = 300


def work(cfg) -> None:
    """Train and test a linear toy, train one with a batch norm and two that fail; write to rank{n}.json."""
    faulthandler.dump_traceback_later(_SECONDS, exit=True)
    register_toys()
    seed_everything(cfg.RNG_SEED)
    seen = {"torch": torch.rand(1).item(), "numpy": np.random.rand(), "python": random.random()}
    train(cfg)
    seen["items"] = items_of(train_steps())
    test(cfg)
    train(changed(cfg, "MODEL.MODEL_NAME ToyNorm BN.USE_PRECISE_STATS True", "norm"))
    seen["ends"] = {}
    for name in ("plain", "scaled"):
        if name == "scaled":  # as in float16
            learner.make_scaler = lambda word, device: torch.amp.GradScaler("cpu", init_scale=2.0**10)
        try:
            train(changed(cfg, "MODEL.MODEL_NAME ToyNanInOne SOLVER.BASE_LR 0.1 SOLVER.MAX_EPOCH 2", name))
        except NonFiniteError as error:
            seen["ends"][name] = str(error), items_of(train_steps()[-1:])[0]
    Path(cfg.OUTPUT_DIR, f"rank{dist.get_rank()}.json").write_text(json.dumps(seen))
    faulthandler.cancel_dump_traceback_later()


def changed(cfg, keys: str, folder: str):
    """The configuration with other keys, in a folder of its own."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.merge_from_list([*keys.split(), "OUTPUT_DIR", f"{cfg.OUTPUT_DIR}/{folder}"])
    Path(cfg.OUTPUT_DIR).mkdir(exist_ok=True)
    return cfg
