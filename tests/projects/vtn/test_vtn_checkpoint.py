"""Checkpoints of three origins, and files that are none."""

import pickle

import pytest
import torch

from vtn import InputError, load_checkpoint
from vtn.checkpoint import from_authors_names, to_authors_names


class RunsCode:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def filled(model, value):
    """The state of a model, every number replaced."""
    return {name: torch.full_like(x, value) for name, x in model.state_dict().items()}


def all_equal(model, value):
    return all(bool((x == value).all()) for x in model.state_dict().values())


def test_the_map_of_names_is_exact_and_has_an_inverse(authors_model, authors_state):
    names = set(authors_state) - {"temporal_encoder.embeddings.position_ids"}
    ours = authors_model([6, 6, 6]).state_dict()
    assert set(to_authors_names(ours)) == names
    assert set(from_authors_names(authors_state)) == set(ours)
    assert list(from_authors_names(to_authors_names(ours))) == list(ours)
    assert list(from_authors_names(ours)) == list(ours)


def test_layer_numbers_of_two_digits():
    theirs = "temporal_encoder.encoder.layer.11.attention.output.LayerNorm.weight"
    assert list(from_authors_names({theirs: torch.ones(1)})) == [
        "temporal_encoder.layers.11.attention_norm.weight"
    ]
    assert list(to_authors_names(from_authors_names({theirs: torch.ones(1)}))) == [theirs]


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("rename", [dict, to_authors_names])
def test_three_kinds_of_files(small_model, tmp_path, prefix, wrapped, rename):
    model = small_model()
    state = {prefix + name: x for name, x in rename(filled(model, 3.0)).items()}
    torch.save({"epoch": 7, "model_state": state, "cfg": "A: 1"} if wrapped else state, tmp_path / "x.pyth")
    load_checkpoint(model, tmp_path / "x.pyth")
    assert all_equal(model, 3.0)


def test_the_authors_file(reference, authors_state, authors_model, tmp_path):
    torch.save({"model_state": authors_state, "optimizer_state": {"state": {}}}, tmp_path / "x.pyth")
    model = authors_model([18, 18, 18])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    load_checkpoint(model, str(tmp_path / "x.pyth"))
    logits = model(reference["in/x16"].float(), reference["in/idx16_wrap"])
    torch.testing.assert_close(logits, reference["out/w18/F16/wrap/logits"], rtol=0, atol=1e-5)


def test_code_in_a_file_is_not_run(small_model, tmp_path):
    trap = tmp_path / "ran"
    torch.save({"model_state": {}, "extra": RunsCode(trap)}, tmp_path / "zip.pyth")
    (tmp_path / "plain.pyth").write_bytes(pickle.dumps(RunsCode(trap), protocol=2))
    for name in ("zip.pyth", "plain.pyth"):
        with pytest.raises(
            InputError, match=rf"{name} is not loaded, .*\(.*open\), and unpickling that can run code"
        ):
            load_checkpoint(small_model(), tmp_path / name)
    assert not trap.exists()
    pickle.loads((tmp_path / "plain.pyth").read_bytes()).close()
    assert trap.exists()  # the trap works


def damaged_files(whole: bytes):
    yield "short", whole[: len(whole) // 2]
    yield "empty", b""
    yield "text", b"hello world\n"
    yield "noise", bytes(range(256)) * 8


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_files(small_model, tmp_path, zipped):
    model = small_model()
    torch.save(filled(model, 3.0), tmp_path / "whole.pyth", _use_new_zipfile_serialization=zipped)
    for name, content in damaged_files((tmp_path / "whole.pyth").read_bytes()):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"{name} cannot be read: it is damaged"):
            load_checkpoint(model, tmp_path / name)


def test_files_that_hold_no_weights(small_model, tmp_path):
    for content in ([1, 2], {"model_state": {}}, {"epoch": 3}, {"model_state": {"a": 1}}):
        torch.save(content, tmp_path / "x.pyth")
        with pytest.raises(InputError, match=r"x\.pyth holds no model weights"):
            load_checkpoint(small_model(), tmp_path / "x.pyth")


@pytest.mark.parametrize("path", ["nowhere.pyth", "."])
def test_missing_file(small_model, tmp_path, path):
    with pytest.raises(InputError, match=r"There is no checkpoint file .*"):
        load_checkpoint(small_model(), tmp_path / path)


def test_another_model(small_model, tmp_path):
    torch.save(filled(small_model(num_layers=2), 3.0), tmp_path / "x.pyth")
    model = small_model(num_layers=1)
    before = {name: x.clone() for name, x in model.state_dict().items()}
    message = (
        r"another model: it lacks 0 weights and has 22 weights \(temporal_encoder\.layers\.1\..*, \.\.\.\)"
    )
    with pytest.raises(InputError, match=message):
        load_checkpoint(model, tmp_path / "x.pyth")
    state = filled(model, 3.0)
    del state["cls_token"]
    torch.save(state, tmp_path / "x.pyth")
    with pytest.raises(InputError, match=r"it lacks 1 weights \(cls_token\) and has 0 weights"):
        load_checkpoint(model, tmp_path / "x.pyth")
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())


def test_another_number_of_classes(small_model, tmp_path):
    torch.save(filled(small_model(num_classes=9), 3.0), tmp_path / "x.pyth")
    model = small_model(num_classes=5)
    message = r"another size: 2 weights \(mlp_head\.4\.weight is \(9, 12\) there and \(5, 12\) here, mlp"
    with pytest.raises(InputError, match=message):
        load_checkpoint(model, tmp_path / "x.pyth")
    assert not (model.cls_token == 3.0).any()  # all or none
