"""Weights as safetensors: what is written comes back, and what is no such file is refused."""

import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file

import vtn
from vtn import InputError, Recipe, create_model, load_checkpoint, save_weights
from vtn.weight_files import read_weights, write_weights

RECIPE = {
    "mean": (0.5, 0.25, 0.125),
    "std": (0.5, 0.5, 0.25),
    "num_frames": 4,
    "sampling_rate": 2,
    "target_fps": 25.0,
    "full_video_frames": 12,
    "short_side": 32,
    "crop_size": 32,
}


@pytest.fixture
def made():
    """A model of timm's smallest ViT, which knows what it was trained with."""
    arguments = {"backbone": "test_vit", "num_classes": 3, "num_layers": 1, "num_heads": 4, "img_size": 32}
    torch.manual_seed(0)
    model = vtn.VTN(**arguments).eval()
    model.recipe = Recipe(arguments, **RECIPE, class_names=("fall", "jump", "läuft"))
    return model


def test_a_model_comes_back_from_its_file_alone(made, tmp_path):
    save_weights(made, tmp_path / "x.safetensors")
    found = create_model(checkpoint=tmp_path / "x.safetensors").eval()
    assert found.recipe == made.recipe
    assert found.normalization == (RECIPE["mean"], RECIPE["std"])
    clip = torch.randn(1, 3, 4, 32, 32)
    assert torch.equal(found(clip), made(clip))
    assert os.listdir(tmp_path) == ["x.safetensors"]


def test_the_library_itself_reads_the_weights(made, tmp_path):
    save_weights(made, tmp_path / "x.safetensors")
    found, state = load_file(tmp_path / "x.safetensors"), made.state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


def test_a_file_of_the_library_itself_is_loaded(small_model, tmp_path):
    """With nothing but weights, also some that are a view of others."""
    saved, model = small_model(), small_model()
    save_file({name: value.clone() for name, value in saved.state_dict().items()}, tmp_path / "x.safetensors")
    assert load_checkpoint(model, tmp_path / "x.safetensors").kept == []
    for one, other in zip(model.state_dict().values(), saved.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_what_a_training_needs_is_left_out(tmp_path):
    content = {"model_state": {"a": torch.ones(2, 2)}, "epoch": 3, "optimizer_state": {}, "cfg": "KEY: 1\n"}
    write_weights(content, tmp_path / "x.safetensors")
    assert read_weights(tmp_path / "x.safetensors").keys() == {"model_state", "cfg"}


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_file_that_was_cut_off(keep, made, tmp_path):
    path = tmp_path / "x.safetensors"
    save_weights(made, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"x\.safetensors cannot be read: it is damaged, cut short"):
        load_checkpoint(made, path)


def test_a_header_that_claims_more_than_there_is(made, tmp_path):
    header = {"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
    text = json.dumps(header).encode()
    path = tmp_path / "x.safetensors"
    for length in (len(text), 2**60):
        path.write_bytes(length.to_bytes(8, "little") + text + bytes(16))
        with pytest.raises(InputError, match="cannot be read: it is damaged"):
            load_checkpoint(made, path)


def test_what_is_said_of_a_model_is_checked(made, tmp_path):
    path = tmp_path / "x.safetensors"
    state = {name: value.contiguous() for name, value in made.state_dict().items()}
    save_file(state, path, metadata={"vtn": "{"})
    with pytest.raises(InputError, match="cannot be read: it is damaged"):
        create_model(checkpoint=path)
    save_file(state, path, metadata={"vtn": json.dumps(made.recipe.to_entry() | {"num_frames": -1})})
    with pytest.raises(InputError, match="num_frames must be a whole number"):
        create_model(checkpoint=path)


def test_where_nothing_can_be_written(made, tmp_path):
    with pytest.raises(InputError, match=r"the name .*x\.pyth must end in \.safetensors"):
        save_weights(made, tmp_path / "x.pyth")
    with pytest.raises(InputError, match=r"cannot write .*x\.safetensors: No such file or directory"):
        save_weights(made, tmp_path / "none" / "x.safetensors")
