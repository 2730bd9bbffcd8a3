"""A checkpoint that tells what its model was trained with, and a model made from the file alone."""

import inspect

import pytest
import timm
import torch

import vtn
from vtn import InputError, Recipe
from vtn.recipe import _ARGUMENTS

MODEL = {
    "backbone": "test_vit",
    "num_classes": 3,
    "num_layers": 2,
    "num_heads": 4,
    "attention_window": [4, 6],
}
MODEL |= {"img_size": 32, "position_embedding": "fixed"}
ENTRY = {
    "format": 1,
    "model": MODEL,
    "mean": [0.1, 0.2, 0.3],
    "std": [0.4, 0.5, 0.6],
    "num_frames": 8,
    "sampling_rate": 4,
    "target_fps": 25,
    "full_video_frames": 40,
    "short_side": 48,
    "crop_size": 32,
    "class_names": ["jump", "run fast", "नृत्य"],
    "authors_protocol": False,
}


@pytest.fixture
def source() -> vtn.VTN:
    return vtn.VTN(**MODEL).eval()


@pytest.fixture
def save(source, tmp_path):
    """Write a checkpoint as a run does, with an entry changed; returns its path."""

    def write(state=None, **changed):
        entry = {key: value for key, value in (ENTRY | changed).items() if value is not ...}
        content = {"epoch": 1, "model_state": state or source.state_dict(), "cfg": "", "vtn": entry}
        torch.save(content, tmp_path / "file.pyth")
        return tmp_path / "file.pyth"

    return write


def test_every_argument_of_vtn_can_be_written_down():
    arguments = [name for name in inspect.signature(vtn.VTN).parameters if name != "pretrained"]
    assert sorted(_ARGUMENTS) == sorted(arguments)


def test_a_model_from_the_file_alone(source, save, monkeypatch):
    asked = []
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *args, **kw: asked.append(kw) or create(*args, **kw))
    model = vtn.create_model(checkpoint=save()).eval()
    assert asked
    assert not any(options.get("pretrained") for options in asked)
    assert model.normalization == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert model.class_names == ("jump", "run fast", "नृत्य")
    recipe = model.recipe
    assert (recipe.num_frames, recipe.sampling_rate, recipe.target_fps) == (8, 4, 25)
    assert (recipe.full_video_frames, recipe.short_side, recipe.crop_size) == (40, 48, 32)
    assert not recipe.authors_protocol
    clip, indices = torch.randn(1, 3, 5, 32, 32), torch.tensor([[0, 2, 3, 9, 11]])
    with torch.no_grad():
        assert torch.equal(model(clip, indices), source(clip, indices))


def test_what_is_written_is_what_was_read(save):
    recipe = vtn.create_model(checkpoint=save()).recipe
    assert torch.load(save(), weights_only=True)["vtn"] == ENTRY  # the test's own entry went in
    written = recipe.to_entry()
    assert {
        key: list(value) if isinstance(value, tuple) else value for key, value in written.items()
    } == ENTRY


def test_arguments_beside_the_file(save):
    model = vtn.create_model(checkpoint=save(), frames_per_chunk=2, attention_window=8)
    assert model.frames_per_chunk == 2
    assert [layer.attention.attention_window for layer in model.temporal_encoder.layers] == [8, 8]
    for name, value in {"name": "vtn_vit_b", "num_classes": 3, "pretrained": True}.items():
        with pytest.raises(InputError, match="create_model takes checkpoint or .*, not both"):
            vtn.create_model(checkpoint=save(), **{name: value})
    with pytest.raises(InputError, match=r"file\.pyth is of another model, which differs in temporal layers"):
        vtn.create_model(checkpoint=save(), num_layers=1, attention_window=4)


def test_loading_into_a_model_tells_it_too(save):
    model = vtn.VTN(**MODEL)
    assert model.normalization == ((0.5,) * 3, (0.5,) * 3)  # timm's
    assert model.class_names is None
    vtn.load_checkpoint(model, save())
    assert model.normalization == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert model.class_names == ("jump", "run fast", "नृत्य")


def test_part_of_a_file_brings_its_normalisation_and_not_its_classes(save):
    model = vtn.VTN(**{**MODEL, "num_classes": 7})
    vtn.load_checkpoint(model, save(), partial=True)
    assert model.normalization == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert (model.recipe, model.class_names) == (None, None)
    other = vtn.VTN(**{**MODEL, "backbone": "test_vit2"})  # of the same width, but not the same network
    with torch.no_grad():
        before = other.normalization
        vtn.load_checkpoint(other, save(), partial=True)
    assert other.normalization == before


@pytest.mark.parametrize("kind", ["old", "plain"])
def test_a_file_that_does_not_tell(source, tmp_path, kind):
    state = source.state_dict()
    torch.save(
        state if kind == "plain" else {"epoch": 0, "model_state": state, "cfg": "A: 1"}, tmp_path / "x"
    )
    with pytest.raises(InputError, match=r"x does not record what .*: make the model with .*load_checkpoint"):
        vtn.create_model(checkpoint=tmp_path / "x")
    model = vtn.VTN(**MODEL)
    vtn.load_checkpoint(model, tmp_path / "x")
    assert model.normalization == ((0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mean": [0.1, 0.2]}, "mean must be a list of 3, each a number from .*, not a list of 2"),
        ({"mean": "abc"}, "mean must be .*, not 'abc'"),
        ({"std": [0.5, 0.5, 0.0]}, "std must be "),
        ({"std": [0.5, 0.5, float("nan")]}, "std must be "),
        ({"std": [0.5, True, 0.5]}, "std must be "),
        ({"num_frames": 2.0}, r"num_frames must be a whole number from 1 to \d+, not 2\.0"),
        (
            {"full_video_frames": 10**500},
            "full_video_frames must be .*, not an integer of about 501 digits",
        ),
        ({"target_fps": 0}, "target_fps must be "),
        ({"crop_size": 64}, "crop_size is 64, more than short_side, 48"),
        ({"short_side": 10**6, "crop_size": 10**6}, "short_side must be a whole number from 1 to 4096"),
        ({"class_names": ["a", "b"]}, "class_names has 2 names, but num_classes is 3"),
        ({"class_names": ["a", "b", "\x1b[2J"]}, "class_names must be "),
        ({"class_names": "abc"}, "class_names must be "),
        ({"authors_protocol": 1}, "authors_protocol must be True or False, not 1"),
        ({"format": 2}, "its format 2 is from a newer version"),
        ({"format": "1"}, "format must be "),
        ({"short_side": ...}, "it has no short_side"),
        ({"colour": "red"}, "it has 'colour', which this version of vtn does not know"),
        ({"model": [1]}, "model must be the arguments of VTN by name, not a list of 1"),
        ({"model": {}}, "model has no backbone"),
        ({"model": MODEL | {"pretrained": True}}, "model has the argument 'pretrained', which"),
        (
            {"model": MODEL | {"num_layers": 10**9}},
            "model's num_layers must be a whole number from 1 to 100",
        ),
        (
            {"model": MODEL | {"backbone": "x" * 10**6}},
            r"model's backbone must be .*'\.\.\. \(1,000,000 char",
        ),
        ({"model": MODEL | {"img_size": 10**9}}, "model's img_size must be "),
        (
            {"model": MODEL | {"head_dropout": -1}},
            "model's head_dropout must be a number from 0 to 1, not -1",
        ),
        ({"model": MODEL | {"attention_window": [[4]]}}, "model's attention_window must be "),
    ],
)
def test_an_entry_that_cannot_be_used(save, changed, message):
    """One sentence, whether a model is made from the file or loads it, and the model stays as it was."""
    path, model = save(**changed), vtn.VTN(**MODEL)
    before = model.cls_token.clone()
    for load in (lambda: vtn.create_model(checkpoint=path), lambda: vtn.load_checkpoint(model, path)):
        with pytest.raises(
            InputError, match=rf"file\.pyth has an entry 'vtn' that cannot be used: .*{message}"
        ) as raised:
            load()
        assert len(str(raised.value)) < 600
        assert "\x1b" not in str(raised.value)
    assert torch.equal(model.cls_token, before)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"backbone": "no_such_net"}, r"describes a model that cannot be built \(backbone is 'no_such_net'"),
        ({"backbone": "hf-hub:some/model"}, "describes a model that cannot be built"),
        ({"backbone": "local-dir:/etc"}, "describes a model that cannot be built"),
        ({"num_heads": 5}, "describes a model that cannot be built"),
        ({"attention_window": 5}, "describes a model that cannot be built"),
        ({"img_size": 33}, "(describes a model that cannot be built|is of another model)"),
        # Of hundreds of GB, were it built.
        (
            {"ffn_dim": 2**20, "num_layers": 100, "attention_window": 4},
            "is of another model, .*does not match its",
        ),
        ({"backbone": "vit_base_patch16_224"}, "is of another model"),
        ({"num_classes": 2**20}, "is of another model, which differs in classes"),
    ],
)
def test_an_entry_that_is_not_true_of_the_weights(save, changed, message):
    with pytest.raises(InputError, match=rf"file\.pyth {message}"):
        vtn.create_model(checkpoint=save(class_names=None, model=MODEL | changed))


def test_limits_hold_for_what_is_written_too():
    values = {key: value for key, value in ENTRY.items() if key not in ("format", "mean")}
    with pytest.raises(InputError, match="mean must be a list of 3"):
        Recipe(**values, mean=[0.5])
