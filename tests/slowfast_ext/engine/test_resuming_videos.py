"""Real videos and real models, stopped inside an epoch: the same bits, with another number of workers too."""

import os
import shutil
import signal

import pytest
from test_resuming import assert_same_run

from slowfast_ext.engine import train as loop
from slowfast_ext.engine.stopping import Stopped
from slowfast_ext.plugin import loops

MIXED = (
    "ENGINE own TRAIN.BATCH_SIZE 4 TRAIN.ACCUMULATE_STEPS 2 TRAIN.EMA_DECAY 0.7 SOLVER.MAX_EPOCH 1 "
    "MIXUP.ENABLE True MODEL.LOSS_FUNC soft_cross_entropy AUG.ENABLE True SOLVER.LR_POLICY cosine "
    "SOLVER.BASE_LR 0.01"
).split()
VTN = "VTN.DROP_PATH_RATE 0.1 VTN.DROP_RATE 0.1 VTN.SHUFFLE_FRAMES True".split()
I3D = (
    "MODEL.MODEL_NAME ResNet MODEL.ARCH i3d RESNET.WIDTH_PER_GROUP 8 LOG_MODEL_INFO False "
    "BN.USE_PRECISE_STATS True BN.NUM_BATCHES_PRECISE 2"
).split()


@pytest.fixture
def lists(data_dir, tmp_path):
    """Each of the eight videos twice in train.csv; two of them cannot be read."""
    folder = tmp_path / "videos"
    shutil.copytree(data_dir, folder)
    for number in (1, 4):
        os.truncate(folder / f"{number}.mp4", 0)
    rows = (folder / "train.csv").read_text()
    (folder / "train.csv").write_text(rows + rows)
    return "DATA.PATH_TO_DATA_DIR", str(folder)


@pytest.mark.parametrize("model", [VTN, I3D], ids=["VTN", "I3D"])
def test_stopped_between_two_steps(model, tiny_cfg, lists, tmp_path, monkeypatch):
    keys = (*MIXED, *model, *lists)
    whole = tiny_cfg(*keys, "OUTPUT_DIR", str(tmp_path / "whole"))
    cut = tiny_cfg(*keys, "OUTPUT_DIR", str(tmp_path / "cut"))
    loops.train(whole)
    step, calls = loop.train_step, []

    def interrupted(*args, **kwargs):
        calls.append(step(*args, **kwargs))
        if len(calls) == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", interrupted)
        with pytest.raises(Stopped):
            loops.train(cut)
    assert len(calls) == 1
    workers = ("DATA_LOADER.NUM_WORKERS", "2", "OUTPUT_DIR", str(tmp_path / "cut"))
    loops.train(tiny_cfg(*keys, *workers))
    assert_same_run(whole, cut, 1)
