"""Weights that the command `export` writes: all that predicts, and nothing else."""

import pytest
import torch
from predictions import NAMES
from safetensors import safe_open

from slowfast_ext.export import export
from slowfast_ext.host.checkpoint import write_checkpoint
from slowfast_ext.predict import Predictor
from vtn import InputError
from vtn.checkpoint import read_checkpoint

I3D = "MODEL.ARCH i3d MODEL.MODEL_NAME ResNet RESNET.DEPTH 50 TRAIN.EVAL_FULL_VIDEO False"


@pytest.mark.parametrize("overrides", [(), tuple(I3D.split())])
def test_an_exported_file_predicts_as_the_checkpoint_does(overrides, trained, clips, tmp_path, capsys):
    cfg, path = trained(*overrides)
    export([cfg.OUTPUT_DIR, "--to", "safetensors", "--out", str(tmp_path / "x.safetensors")])
    assert f"written to {tmp_path}/x.safetensors" in capsys.readouterr().out
    found, known = Predictor(tmp_path / "x.safetensors"), Predictor(path)
    assert list(found.class_names) == list(NAMES)
    for clip in clips[:2]:
        assert found(clip).scores.tolist() == known(clip).scores.tolist()


def test_the_averaged_weights_are_taken_and_the_optimizer_is_not(trained, tmp_path):
    _, path = trained()
    content = read_checkpoint(path)
    average = {name: torch.full_like(value, 2) for name, value in content["model_state"].items()}
    write_checkpoint(path, content | {"ema_state": average})
    export([path, "--to", "safetensors"])
    with safe_open(
        path.replace("checkpoint_", "weights_").replace(".pyth", ".safetensors"), framework="pt"
    ) as file:
        assert set(file.keys()) == set(average)
        assert set(file.metadata()) == {"format", "vtn", "cfg"}
        assert all(bool((file.get_tensor(name) == 2).all()) for name in average)


def test_what_cannot_be_exported(trained, tmp_path):
    _, path = trained()
    with pytest.raises(InputError, match="must end in .safetensors"):
        export([path, "--to", "safetensors", "--out", str(tmp_path / "x.onnx")])
    with pytest.raises(InputError, match="holds no checkpoint of a run"):
        export([str(tmp_path), "--to", "safetensors"])
    content = read_checkpoint(path)
    write_checkpoint(path, content | {"vtn": {"format": torch.ones(1)}})
    with pytest.raises(InputError, match="what is said of the model cannot be written to"):
        export([path, "--to", "safetensors"])
