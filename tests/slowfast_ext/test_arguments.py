"""Arguments of the model and the keys that set them: one table, both ways."""

import inspect

import pytest

import vtn
from slowfast_ext.arguments import KEYS, in_keys, model_arguments, said_in_keys
from slowfast_ext.config import get_cfg
from vtn import InputError


def test_every_argument_has_a_key_that_exists():
    assert list(KEYS) == [name for name in inspect.signature(vtn.VTN).parameters if name in KEYS]
    assert set(KEYS) == set(inspect.signature(vtn.VTN).parameters)
    cfg = get_cfg()
    for key in KEYS.values():
        section, name = key.split(".")
        assert name in cfg[section]
    assert len(set(KEYS.values())) == len(KEYS)


def test_zero_lets_the_model_choose():
    cfg = get_cfg()
    cfg.VTN.ATTENTION_WINDOW, cfg.MODEL.DROPOUT_RATE = [8], 0.0
    arguments = model_arguments(cfg)
    assert "pretrained" not in arguments
    for name in ("num_heads", "ffn_dim", "mlp_dim", "sequence_encoder", "frames_per_chunk"):
        assert arguments[name] is None
    assert (arguments["attention_window"], arguments["head_dropout"], arguments["drop_rate"]) == (8, 0.0, 0.0)
    cfg.VTN.ATTENTION_WINDOW, cfg.VTN.INTERMEDIATE_SIZE, cfg.VTN.SEQUENCE_ENCODER = [8, 4, 8], 7, "bert"
    arguments = model_arguments(cfg)
    assert (arguments["attention_window"], arguments["ffn_dim"]) == ([8, 4, 8], 7)
    assert (arguments["sequence_encoder"], arguments["mlp_dim"]) == ("bert", None)


def test_only_the_named_words_are_replaced():
    text = "my.attention has attention_window 3 and attention 'flat': an attention"
    assert in_keys(InputError(text)) == text
    replaced = in_keys(InputError(text, arguments=("attention",)))
    assert replaced == "my.attention has attention_window 3 and VTN.ATTENTION 'flat': an attention"
    replaced = in_keys(InputError("2 > num_layers, so attention_window", arguments=KEYS))
    assert replaced == "2 > VTN.NUM_HIDDEN_LAYERS, so VTN.ATTENTION_WINDOW"


def test_an_error_keeps_its_cause_and_others_pass():
    with pytest.raises(InputError, match=r"^VTN\.MLP_DIM must be 1\.$") as raised, said_in_keys():
        raise InputError("mlp_dim must be 1.", arguments=("mlp_dim",)) from OSError("why")
    assert str(raised.value.__cause__) == "why"
    plain = InputError("mlp_dim")
    with pytest.raises(InputError) as raised, said_in_keys():
        raise plain
    assert raised.value is plain
    with pytest.raises(KeyError), said_in_keys():
        raise KeyError("mlp_dim")


# Every way to give a model a bad argument, with the arguments that the sentence must name.
BAD = [
    ({"backbone": "resnte"}, {"backbone"}),
    ({"backbone": "vgg11", "drop_path_rate": 0.1}, {"backbone", "drop_path_rate"}),
    ({"img_size": 8}, {"backbone", "img_size"}),
    ({"drop_rate": 2.0}, {"drop_rate"}),
    ({"num_classes": 0}, {"num_classes"}),
    ({"num_layers": 0}, {"num_layers"}),
    ({"num_heads": 5}, {"num_heads"}),
    ({"attention_window": [4]}, {"attention_window", "num_layers"}),
    ({"attention_window": 3}, {"attention_window"}),
    ({"attention_window": 300}, {"attention_window", "max_position_embeddings"}),
    ({"max_position_embeddings": 2}, {"max_position_embeddings"}),
    ({"ffn_dim": -1}, {"ffn_dim"}),
    ({"mlp_dim": -1}, {"mlp_dim"}),
    ({"position_embedding": "sine"}, {"position_embedding"}),
    ({"position_overflow": "cut"}, {"position_overflow"}),
    (
        {"position_embedding": "fixed", "position_overflow": "scale"},
        {"position_embedding", "position_overflow"},
    ),
    ({"sequence_encoder": "bert", "position_overflow": "none"}, {"sequence_encoder", "position_overflow"}),
    ({"attention": "flat"}, {"attention"}),
    ({"sequence_encoder": "brt"}, {"sequence_encoder"}),
    ({"sequence_encoder": "gpt2"}, {"sequence_encoder"}),
    ({"sequence_encoder": "bert", "attention": "uniform"}, {"sequence_encoder", "attention"}),
    ({"sequence_encoder": "bert", "num_heads": 5}, {"num_heads"}),
    ({"sequence_encoder": "bert", "max_position_embeddings": 2}, {"max_position_embeddings"}),
    ({"sequence_encoder": "bert", "attention_window": 300}, {"attention_window", "max_position_embeddings"}),
    ({"attention_dropout": -1.0}, {"attention_dropout"}),
    ({"hidden_dropout": 1.5}, {"hidden_dropout"}),
    ({"head_dropout": 1.5}, {"head_dropout"}),
    ({"frames_per_chunk": -2}, {"frames_per_chunk"}),
    ({"merge_tokens": -1}, {"merge_tokens"}),
    ({"merge_tokens": 8}, {"merge_tokens", "backbone"}),
    ({"backbone": "resnet10t", "merge_tokens": 8}, {"merge_tokens", "backbone"}),
    ({"reuse_frames": 1.5}, {"reuse_frames"}),
]


@pytest.mark.parametrize(("changed", "named"), BAD, ids=lambda value: str(value))
def test_the_model_names_what_it_speaks_of(changed, named):
    arguments = {"backbone": "test_vit", "num_classes": 3, "num_heads": 4, "img_size": 32} | changed
    with pytest.raises(InputError) as raised:
        vtn.VTN(**arguments)
    assert set(raised.value.arguments) == named
    sentence = in_keys(raised.value)
    for name in named:
        assert KEYS[name] in sentence
    value = list(changed.values())[-1]
    assert str(value) in sentence
