"""RNG_SEED and the same software give the same bits, whatever the number of workers."""

import pytest
import torch

from slowfast_ext.host import checkpoint
from slowfast_ext.plugin.loops import train

# All that draws random numbers: augmentation, erasing, mixing, dropout, stochastic depth, the order.
EVERYTHING = (
    "ENGINE own TRAIN.EVAL_FULL_VIDEO False TRAIN.ACCUMULATE_STEPS 2 TRAIN.EMA_DECAY 0.9 SOLVER.BASE_LR 0.01 "
    "AUG.ENABLE True AUG.NUM_SAMPLE 2 MIXUP.ENABLE True MODEL.LOSS_FUNC soft_cross_entropy LOG_PERIOD 10 "
    "SOLVER.MAX_EPOCH 1"
).split()
KINDS = {
    "VTN": ["VTN.DROP_PATH_RATE", "0.2"],
    "I3D": (
        "MODEL.MODEL_NAME ResNet MODEL.ARCH i3d RESNET.WIDTH_PER_GROUP 8 BN.USE_PRECISE_STATS True "
        "BN.NUM_BATCHES_PRECISE 2 MODEL.DROPOUT_RATE 0.5"
    ).split(),
}


def bits(cfg) -> list[torch.Tensor]:
    """All tensors of the last checkpoint."""
    path = checkpoint.newest_checkpoint(cfg.OUTPUT_DIR)
    found, waiting = [], [torch.load(path, weights_only=True)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, (dict, list, tuple)):
            waiting += value.values() if isinstance(value, dict) else value
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bits(kind, tiny_cfg, tmp_path):
    runs = {}
    for name, seed, workers in (("0", 1, 0), ("again", 1, 0), ("1", 1, 1), ("2", 1, 2), ("other", 2, 0)):
        keys = "RNG_SEED", str(seed), "DATA_LOADER.NUM_WORKERS", str(workers)
        cfg = tiny_cfg(*EVERYTHING, *KINDS[kind], *keys, "OUTPUT_DIR", str(tmp_path / name))
        torch.manual_seed(len(runs))  # whatever has drawn numbers before
        train(cfg)
        runs[name] = bits(cfg)
    first = runs.pop("0")
    other = runs.pop("other")
    assert len(first) > 50
    assert not all(map(torch.equal, first, other))
    for name, found in runs.items():
        assert len(found) == len(first)
        assert all(map(torch.equal, first, found)), name
