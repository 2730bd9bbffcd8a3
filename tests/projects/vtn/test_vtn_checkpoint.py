"""Checkpoints of three origins, and files that are none."""

import pickle
import zipfile

import pytest
import timm
import torch
from torch import nn

from vtn import InputError, create_model, load_checkpoint
from vtn.authors_names import from_authors_names, to_authors_names


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


def test_the_longformer_of_transformers_keeps_its_names(small_model, tmp_path):
    """They are like the authors', but here they are the model's own."""
    model = small_model(sequence_encoder="longformer")
    torch.save(filled(model, 3.0), tmp_path / "x.pyth")
    assert load_checkpoint(model, tmp_path / "x.pyth").kept == []
    assert all_equal(model, 3.0)


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


def test_a_bit_that_has_flipped_is_noticed(small_model, tmp_path):
    """Anywhere in a weight; PyTorch loads such a file without a word."""
    path, model = tmp_path / "whole.pyth", small_model()
    torch.save({"model_state": model.state_dict()}, path)
    whole = path.read_bytes()
    load_checkpoint(model, path)
    name, weight = max(model.state_dict().items(), key=lambda item: item[1].numel())
    begin = whole.index(weight.numpy().tobytes()[:64])
    for offset in (0, 63, weight.numel() * 4 - 1):
        damaged = bytearray(whole)
        damaged[begin + offset] ^= 1
        path.write_bytes(damaged)
        assert not torch.equal(torch.load(path, weights_only=True)["model_state"][name], weight)
        with pytest.raises(InputError, match="it is damaged"):
            load_checkpoint(model, path)


def test_a_compressed_file_is_not_unpacked(small_model, tmp_path):
    plain, packed = tmp_path / "plain.pyth", tmp_path / "packed.pyth"
    torch.save({"model_state": {"a": torch.zeros(10_000)}}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for part in source.namelist():
            target.writestr(part, source.read(part))
    with pytest.raises(InputError, match=r"packed\.pyth cannot be read: it is damaged"):
        load_checkpoint(small_model(), packed)


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


def saved(path, model_or_state):
    state = model_or_state if isinstance(model_or_state, dict) else filled(model_or_state, 3.0)
    torch.save(state, path)
    return path


@pytest.mark.parametrize(
    ("there", "here", "message"),
    [
        (
            {"num_layers": 3},
            {"num_layers": 1},
            r"temporal layers \(3 there, 1 here\); not in this model: temporal_encoder\.layers\.1\..*, "
            r"\.\.\. \(44 in all\); to load only what fits: "
            r"vtn\.load_checkpoint\(model, path, partial=True\)\.$",
        ),
        (
            {"num_layers": 1},
            {"num_layers": 2},
            r"temporal layers \(1 there, 2 here\); not in the file: temporal_encoder\.layers\.1\.",
        ),
        (
            {"num_classes": 9},
            {"num_classes": 5},
            r"classes \(9 there, 5 here\); of another shape: mlp_head\.4\.weight \(9, 12\) there and "
            r"\(5, 12\) here, mlp_head\.4\.bias \(9,\) there and \(5,\) here; to load",
        ),
        ({"backbone": "resnet18", "num_heads": 4}, {}, r"width \(512 there, 12 here\), .*, backbone; of "),
        (
            {"ffn_dim": 24, "mlp_dim": 6},
            {},
            r"feed-forward width \(24 there, 48 here\), head width \(6 there, 12 here\); of another shape: ",
        ),
        (
            {"max_position_embeddings": 20},
            {},
            r"rows of the position table \(20 there, 288 here\); of another shape: temporal_encoder\.pos",
        ),
        (
            {"position_embedding": "fixed"},
            {},
            r"kind of positions; not in the file: temporal_encoder\.positions\.table\.weight; "
            r"not in this model: temporal_encoder\.positions\.cls_position; ",
        ),
        (
            {"sequence_encoder": "bert"},
            {},
            r"temporal encoder; not in the file: temporal_encoder\.positions\.",
        ),
        ({}, {"sequence_encoder": "bert"}, r"temporal encoder; not in the file: temporal_encoder\.model\."),
    ],
)
def test_another_vtn(small_model, tmp_path, there, here, message):
    path = saved(tmp_path / "x.pyth", small_model(**there))
    model = small_model(**here)
    before = {name: x.clone() for name, x in model.state_dict().items()}
    with pytest.raises(InputError, match=rf"x\.pyth is of another model, which differs in {message}"):
        load_checkpoint(model, path)
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())  # all or none


def test_single_names_of_the_authors_file(small_model, tmp_path):
    model = small_model()
    state = to_authors_names(filled(model, 3.0))
    del state["temporal_encoder.encoder.layer.2.attention.self.key_global.bias"], state["cls_token"]
    state["temporal_encoder.pooler.dense.weight"] = torch.zeros(12, 12)
    message = (
        r"x\.pyth is of another model; not in the file: cls_token, "
        r"temporal_encoder\.layers\.2\.attention\.key_global\.bias; "
        r"not in this model: temporal_encoder\.pooler\.dense\.weight; to load"
    )
    with pytest.raises(InputError, match=message):
        load_checkpoint(model, saved(tmp_path / "x.pyth", state))


@pytest.mark.parametrize("rename", [dict, to_authors_names])
def test_part_of_a_file(small_model, tmp_path, rename):
    source = small_model(num_classes=9, num_layers=2, max_position_embeddings=20)
    path = saved(tmp_path / "x.pyth", rename(filled(source, 3.0)))
    model = small_model(num_classes=5, num_layers=1, position_embedding="fixed")
    before = {name: x.clone() for name, x in model.state_dict().items()}
    report = load_checkpoint(model, path, partial=True)
    head, cls = ["mlp_head.4.weight", "mlp_head.4.bias"], "temporal_encoder.positions.cls_position"
    assert report.other_shape == {head[0]: ((9, 12), (5, 12)), head[1]: ((9,), (5,))}
    assert report.missing == [cls]
    absent = [name for name in source.state_dict() if ".layers.1." in name or "positions" in name]
    assert len(absent) == 23
    assert sorted(report.unexpected) == sorted(absent)
    for name, weight in model.state_dict().items():
        kept = name in (*head, cls)
        assert torch.equal(weight, before[name] if kept else torch.full_like(weight, 3.0)), name
        assert (name in report.loaded) == (not kept)
    total = len(before)
    assert str(report).startswith(
        f"{total - 3} of {total} weights loaded, the other 3 keep their initial values; "
        "of another shape: mlp_head.4.weight (9, 12) there and (5, 12) here, mlp_head.4.bias (9,) there and "
        f"(5,) here; not in the file: {cls}; not in this model: "
    )
    assert all(name in str(report) for name in absent)  # not shortened


@pytest.mark.parametrize("partial", [False, True])
def test_a_file_that_fits(small_model, tmp_path, partial):
    model = small_model()
    report = load_checkpoint(model, saved(tmp_path / "x.pyth", model), partial=partial)
    assert report.loaded == list(model.state_dict())
    assert str(report) == f"{len(report.loaded)} of {len(report.loaded)} weights loaded"
    assert all_equal(model, 3.0)


@pytest.mark.parametrize("kind", ["width", "foreign"])
def test_a_file_of_which_nothing_fits(small_model, tmp_path, kind):
    """Of a VTN of another width the last bias fits, as it has one entry for each class."""
    model = small_model(num_classes=5)
    other = (
        small_model(backbone="resnet18", num_heads=4, num_classes=5) if kind == "width" else nn.Linear(2, 3)
    )
    path = saved(tmp_path / "x.pyth", other)
    for partial in (False, True):
        with pytest.raises(
            InputError, match=r"x\.pyth is of another model[,;] .*; so none of it can be used here\."
        ):
            load_checkpoint(model, path, partial=partial)
    assert not (model.mlp_head[4].bias == 3.0).any()


def test_names_of_the_full_size_release():
    """For ViT-B-VTN, theirs are timm's, the Longformer's without words and pooler, and the head's."""
    from transformers import LongformerConfig, LongformerModel

    longformer = LongformerConfig(
        num_hidden_layers=3,
        hidden_size=768,
        num_attention_heads=12,
        intermediate_size=3072,
        attention_window=[18, 18, 18],
        max_position_embeddings=288,
        type_vocab_size=2,
    )
    with torch.device("meta"):
        backbone = timm.create_model("vit_base_patch16_224", num_classes=0).state_dict()
        encoder = LongformerModel(longformer, add_pooling_layer=False).state_dict()
        ours = create_model("vtn_vit_b", num_classes=400).state_dict()
    del encoder["embeddings.word_embeddings.weight"]
    encoder.pop("embeddings.position_ids", None)
    theirs = {f"backbone.{name}": tuple(x.shape) for name, x in backbone.items()}
    theirs |= {f"temporal_encoder.{name}": tuple(x.shape) for name, x in encoder.items()}
    theirs |= {"cls_token": (1, 1, 768), "mlp_head.0.weight": (768,), "mlp_head.0.bias": (768,)}
    theirs |= {"mlp_head.1.weight": (768, 768), "mlp_head.1.bias": (768,)}
    theirs |= {"mlp_head.4.weight": (400, 768), "mlp_head.4.bias": (400,)}
    assert {name: tuple(x.shape) for name, x in to_authors_names(ours).items()} == theirs
    assert set(from_authors_names(dict.fromkeys(theirs, torch.empty(0)))) == set(ours)


def spoilt_states(state):
    name = "cls_token"
    value = state[name]
    yield "of_numbers", {1: value}, "holds no model weights"
    yield "sparse", state | {name: value.to_sparse()}, f"has {name}, which is no plain tensor"
    yield "meta", state | {name: value.to("meta")}, f"has {name}, which is no plain tensor"
    yield "huge", state | {name: torch.zeros(1).expand(2**40)}, f"has {name}, which is no plain tensor"
    yield "complex", state | {name: value.to(torch.complex64)}, f"has {name}, which is no plain tensor"
    yield "nan", state | {name: value / 0}, f"has numbers that are not finite in {name}: its training"


def test_tensors_that_are_no_weights(small_model, tmp_path):
    model = small_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for name, state, sentence in spoilt_states(filled(model, 3.0)):
        torch.save({"model_state": state}, tmp_path / name)
        with pytest.raises(InputError, match=f"{name} {sentence}"):
            load_checkpoint(model, tmp_path / name)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
