"""Configurations: every YAML loads and builds, and every bad value is named."""

import os
import re
from pathlib import Path

import pytest
import torch
import yaml

from slowfast_ext.config import add_vtn_config, get_cfg, load_config
from slowfast_ext.flops import count_parameters
from slowfast_ext.host import get_host
from slowfast_ext.models import build_on_meta
from vtn import InputError

ROOT = Path(__file__).resolve().parents[2]
# A Base.yaml holds what its variants share and names no model of its own.
CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.yaml") if path.name != "Base.yaml")
VTN_VIT_B = ROOT / "configs" / "Kinetics" / "VTN_ViT_B.yaml"

# The authors' released VIT_B_VTN.yaml (github.com/bomri/SlowFast), key by key.
AUTHORS_YAML = """
TRAIN: {ENABLE: True, DATASET: kinetics, BATCH_SIZE: 16, EVAL_PERIOD: 1, CHECKPOINT_PERIOD: 1,
        AUTO_RESUME: True, EVAL_FULL_VIDEO: True, EVAL_NUM_FRAMES: 250}
DATA: {NUM_FRAMES: 16, SAMPLING_RATE: 8, TARGET_FPS: 25, TRAIN_JITTER_SCALES: [256, 320],
       TRAIN_CROP_SIZE: 224, TEST_CROP_SIZE: 224, INPUT_CHANNEL_NUM: [3]}
SOLVER: {BASE_LR: 0.001, LR_POLICY: steps_with_relative_lrs, STEPS: [0, 13, 24], LRS: [1, 0.1, 0.01],
         MAX_EPOCH: 25, MOMENTUM: 0.9, OPTIMIZING_METHOD: sgd}
MODEL: {NUM_CLASSES: 400, ARCH: VIT, MODEL_NAME: VTN, LOSS_FUNC: cross_entropy, DROPOUT_RATE: 0.5}
VTN: {PRETRAINED: True, MLP_DIM: 768, DROP_PATH_RATE: 0.0, DROP_RATE: 0.0, HIDDEN_DIM: 768,
      MAX_POSITION_EMBEDDINGS: 288, NUM_ATTENTION_HEADS: 12, NUM_HIDDEN_LAYERS: 3,
      ATTENTION_MODE: 'sliding_chunks', PAD_TOKEN_ID: -1, ATTENTION_WINDOW: [18, 18, 18],
      INTERMEDIATE_SIZE: 3072, ATTENTION_PROBS_DROPOUT_PROB: 0.1, HIDDEN_DROPOUT_PROB: 0.1}
TEST: {ENABLE: True, DATASET: kinetics, BATCH_SIZE: 16, NUM_ENSEMBLE_VIEWS: 1, NUM_SPATIAL_CROPS: 1}
DATA_LOADER: {NUM_WORKERS: 8, PIN_MEMORY: True}
NUM_GPUS: 4
NUM_SHARDS: 1
RNG_SEED: 0
OUTPUT_DIR: .
LOG_MODEL_INFO: False
"""


def load(path: Path, tmp_path: Path, *overrides: str):
    return load_config(path, ["NUM_GPUS", "0", "OUTPUT_DIR", str(tmp_path), *overrides])


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_config_loads_and_builds(path, tmp_path):
    model = build_on_meta(load(path, tmp_path))
    assert count_parameters(model) > 0


# Paper table 3, in millions; SlowFast-16x8-R101 is left out: its 60 is of the non-local variant.
@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("VTN_ViT_B", 114),
        ("VTN_ViT_B_1layer", 96),
        ("VTN_DeiT_Ti", 10),
        ("VTN_R50", 168),
        ("VTN_R101", 187),
        ("I3D_8x8_R50", 28),
        ("SLOWFAST_8x8_R50", 35),
    ],
)
def test_parameters_equal_the_paper(name, millions, tmp_path):
    model = build_on_meta(load(ROOT / "configs" / "Kinetics" / f"{name}.yaml", tmp_path))
    assert round(count_parameters(model) / 1e6) == millions


@pytest.mark.parametrize("path", [p for p in CONFIGS if "_BASE_" in p.read_text()], ids=lambda p: p.name)
def test_variant_states_only_what_differs(path):
    own = yaml.safe_load(path.read_text())
    base = _resolved(path.parent / own.pop("_BASE_"))
    for key, value in _leaves(own):
        assert base.get(key, "absent") != value, f"{key} repeats its base"


def _resolved(path: Path) -> dict:
    tree = yaml.safe_load(path.read_text())
    base = _resolved(path.parent / tree.pop("_BASE_")) if "_BASE_" in tree else {}
    return base | dict(_leaves(tree))


def _leaves(tree: dict, prefix: str = ""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def test_authors_yaml_runs_as_it_is(tmp_path):
    path = tmp_path / "VIT_B_VTN.yaml"
    path.write_text(AUTHORS_YAML)
    cfg = load(path, tmp_path)
    assert cfg.TRAIN.DATASET == cfg.TEST.DATASET == "vtnkinetics"
    assert list(cfg.VTN.ATTENTION_WINDOW) == [18, 18, 18]
    assert count_parameters(build_on_meta(cfg)) == 113_502_352  # counted on the authors' code


@pytest.mark.parametrize(
    ("backbone", "width", "heads"),
    [("resnet18", 512, 8), ("convnext_tiny", 768, 12), ("vit_small_patch16_224", 384, 12)],
)
def test_another_backbone_takes_one_key(backbone, width, heads, tmp_path):
    """Heads and widths follow, and a checkpoint's recipe holds the numbers themselves."""
    model = build_on_meta(load(VTN_VIT_B, tmp_path, "VTN.BACKBONE", backbone))
    assert model.temporal_encoder.layers[0].attention.num_heads == heads
    assert model.temporal_encoder.layers[0].ffn_in.weight.shape == (4 * width, width)
    assert model.mlp_head[1].weight.shape == (width, width)
    recipe = model.recipe.model
    assert (recipe["num_heads"], recipe["ffn_dim"], recipe["mlp_dim"]) == (heads, 4 * width, width)


def test_keys_of_the_model_still_choose(tmp_path):
    sizes = "VTN.NUM_ATTENTION_HEADS 4 VTN.INTERMEDIATE_SIZE 64 VTN.MLP_DIM 32".split()
    model = build_on_meta(load(VTN_VIT_B, tmp_path, "VTN.BACKBONE", "resnet18", *sizes))
    recipe = model.recipe.model
    assert (recipe["num_heads"], recipe["ffn_dim"], recipe["mlp_dim"]) == (4, 64, 32)
    assert model.temporal_encoder.layers[0].attention.num_heads == 4


def test_no_configuration_pins_a_machine():
    """NUM_GPUS is what is there; the demo alone is the same everywhere."""
    pinned = {path.name for path in (ROOT / "configs").rglob("*.yaml") if "NUM_GPUS" in path.read_text()}
    assert pinned == {"Base.yaml"}
    assert not [path for path in (ROOT / "configs").rglob("*.yaml") if "NUM_SHARDS" in path.read_text()]


def test_keys_are_added_once():
    cfg = get_cfg()
    cfg.VTN.BACKBONE = "resnet50"
    add_vtn_config(cfg)
    assert cfg.VTN.BACKBONE == "resnet50"


def test_values_are_given_the_type_of_the_key(tmp_path):
    overrides = (
        "SOLVER.BASE_LR 1 SOLVER.WARMUP_EPOCHS 3 VTN.ATTENTION_WINDOW 8 VTN.NUM_HIDDEN_LAYERS 2".split()
    )
    cfg = load(VTN_VIT_B, tmp_path, *overrides, "SOLVER.WEIGHT_DECAY", "1e-4", "SOLVER.CLIP_GRAD_VAL", "None")
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.WARMUP_EPOCHS, cfg.SOLVER.WEIGHT_DECAY) == (1.0, 3.0, 1e-4)
    assert list(cfg.VTN.ATTENTION_WINDOW) == [8]
    assert not cfg.SOLVER.CLIP_GRAD_VAL  # None in main, 0 in the wheel


BAD = [
    (
        "VTN.ATENTION_WINDOW 8",
        "VTN.ATENTION_WINDOW (in the command line) is not a key of this configuration; did you "
        "mean VTN.ATTENTION_WINDOW?",
    ),
    ("DATA.NUM_FRAMES 0", "DATA.NUM_FRAMES is 0: it must be at least 1"),
    ("TRAIN.EVAL_NUM_FRAMES -3", "TRAIN.EVAL_NUM_FRAMES is -3: it must be at least 1"),
    ("VTN.ATTENTION_WINDOW 7", "VTN.ATTENTION_WINDOW must be even (half on each side), not 7"),
    ("VTN.ATTENTION_WINDOW [8,[4],8]", "VTN.ATTENTION_WINDOW must be a positive integer, not [4]"),
    ("VTN.ATTENTION_WINDOW []", "VTN.ATTENTION_WINDOW [] has 0 entries, but VTN.NUM_HIDDEN_LAYERS is 3"),
    (
        "VTN.ATTENTION_WINDOW [8,8]",
        "VTN.ATTENTION_WINDOW [8, 8] has 2 entries, but VTN.NUM_HIDDEN_LAYERS is 3",
    ),
    (
        "VTN.NUM_ATTENTION_HEADS 7",
        "VTN.NUM_ATTENTION_HEADS is 7: it must be a divisor of the width of the frame features, 768",
    ),
    (
        "VTN.BACKBONE convnext_atto VTN.NUM_ATTENTION_HEADS 12",
        "VTN.NUM_ATTENTION_HEADS is 12: it must be a divisor of the width of the frame features, 320",
    ),
    (
        "VTN.HIDDEN_DIM 512",
        "VTN.HIDDEN_DIM is 512: it must be 0 or the width of the features of VTN.BACKBONE vit_base_patch16",
    ),
    (
        "VTN.BACKBONE vit_bse_patch16_224",
        "VTN.BACKBONE is 'vit_bse_patch16_224', which timm does not have; close names are vit_base_patch16",
    ),
    (
        "DATA.TRAIN_CROP_SIZE 8 DATA.TEST_CROP_SIZE 8",
        "VTN.BACKBONE vit_base_patch16_224 fails on an image of 8 x 8 pixels",
    ),
    (
        "VTN.BACKBONE vgg11 VTN.DROP_PATH_RATE 0.1",
        "VTN.BACKBONE vgg11 has no option VTN.DROP_PATH_RATE (0.1)",
    ),
    (
        "DATA.TEST_CROP_SIZE 240",
        "DATA.TEST_CROP_SIZE is 240: it must be DATA.TRAIN_CROP_SIZE, 224, the one size that VTN.BACKBONE",
    ),
    ("DATA.MEAN [0.5]", "DATA.MEAN is [0.5]: it must be three numbers"),
    (
        "DATA.STD [0.5,0,0.5]",
        "DATA.STD is [0.5, 0, 0.5]: it must be three numbers, those of DATA.STD above 0",
    ),
    ("VTN.ATTENTION flat", "VTN.ATTENTION must be one of learned, uniform, not 'flat'"),
    (
        "VTN.BACKBONE resnet50 VTN.MERGE_TOKENS 8",
        "VTN.MERGE_TOKENS 8: VTN.BACKBONE resnet50 is no ViT with global attention",
    ),
    (
        "VTN.MERGE_TOKENS 17",
        "VTN.MERGE_TOKENS 17: VTN.BACKBONE vit_base_patch16_224 has 196 patches and 12 layers, so at most 16",
    ),
    ("VTN.MERGE_TOKENS -1", "VTN.MERGE_TOKENS must be an integer of 0 or more, not -1"),
    ("VTN.REUSE_FRAMES 2", "VTN.REUSE_FRAMES must be a number from 0 to 1, the range of pixels, not 2.0"),
    (
        "VTN.ATTENTION_WINDOW [32,300,32]",
        "VTN.ATTENTION_WINDOW 300 is wider than the table of positions: of VTN.MAX_POSITION_EMBEDDINGS 288 "
        "the frames have 286",
    ),
    (
        "VTN.SEQUENCE_ENCODER brt",
        "VTN.SEQUENCE_ENCODER is 'brt', which transformers does not have; close names are",
    ),
    (
        "VTN.SEQUENCE_ENCODER gpt2",
        "VTN.SEQUENCE_ENCODER 'gpt2' cannot be used: its first token, CLS, does not see the frames after it",
    ),
    (
        "VTN.SEQUENCE_ENCODER bert VTN.POSITION_EMBEDDING fixed",
        "VTN.POSITION_EMBEDDING 'fixed' cannot be had with VTN.SEQUENCE_ENCODER 'bert', which has its own",
    ),
    ("VTN.POSITION_EMBEDDING sine", "VTN.POSITION_EMBEDDING must be one of learned, fixed, none, not 'sine'"),
    ("VTN.POSITION_OVERFLOW cut", "VTN.POSITION_OVERFLOW must be one of wrap, scale, none, not 'cut'"),
    (
        "VTN.POSITION_EMBEDDING fixed VTN.POSITION_OVERFLOW scale",
        "VTN.POSITION_OVERFLOW 'scale' has nothing to do with VTN.POSITION_EMBEDDING 'fixed', which has no",
    ),
    ("VTN.MAX_POSITION_EMBEDDINGS 2", "VTN.MAX_POSITION_EMBEDDINGS must be at least 3"),
    ("VTN.NUM_HIDDEN_LAYERS 0", "VTN.NUM_HIDDEN_LAYERS must be a positive integer, not 0"),
    ("VTN.MLP_DIM -1", "VTN.MLP_DIM must be a positive integer, not -1"),
    ("MODEL.DROPOUT_RATE 1.5", "MODEL.DROPOUT_RATE must be a probability from 0 to 1, not 1.5"),
    (
        "DATA.NUM_FRAMES many",
        "DATA.NUM_FRAMES is 'many' (in the command line): it takes a value like 16, of type int",
    ),
    # YAML's True is Python's 1 for isinstance.
    ("SOLVER.BASE_LR True", "SOLVER.BASE_LR is True (in the command line): it takes a value like 0."),
    ("DATA.NUM_FRAMES True", "DATA.NUM_FRAMES is True (in the command line): it takes a value like"),
    ("VTN.ATTENTION_WINDOW True", "VTN.ATTENTION_WINDOW is True (in the command line): it takes a value"),
    ("VTN.BACKBONE True", "VTN.BACKBONE is True (in the command line): it takes a value like 'vit_base"),
    ("TRAIN.EVAL_FULL_VIDEO 1", "TRAIN.EVAL_FULL_VIDEO is 1 (in the command line): it takes a value like"),
    ("DATA 5", "DATA (in the command line) is a section"),
    ("LOG_PERIOD.x 5", "LOG_PERIOD (in the command line) is a value, not a section"),
    ("DATA.NUM_FRAMES", "overrides come as KEY VALUE pairs; 'DATA.NUM_FRAMES' has no partner"),
    ("MODEL.MODEL_NAME X4D", "MODEL.MODEL_NAME is 'X4D': PySlowFast "),
    ("TRAIN.BATCH_SIZE 0", "TRAIN.BATCH_SIZE is 0: it must be a positive multiple of the 1 processes"),
    (
        "VTN.CPU_PROCESSES 2 TRAIN.BATCH_SIZE 3",
        "TRAIN.BATCH_SIZE is 3: it must be a positive multiple of the 2",
    ),
    ("TEST.NUM_SPATIAL_CROPS 2", "TEST.NUM_SPATIAL_CROPS is 2: it must be 1 or 3"),
    (
        "TEST.NUM_ENSEMBLE_VIEWS 10",
        "TEST.NUM_ENSEMBLE_VIEWS is 10: it must be 1 when TRAIN.EVAL_FULL_VIDEO is True",
    ),
    (
        "DATA.TEST_CROP_SIZE 300",
        "DATA.TEST_CROP_SIZE is 300: it must be at most DATA.TRAIN_JITTER_SCALES[0], 256",
    ),
    (
        "TRAIN.DATASET ssv3",
        "TRAIN.DATASET is 'ssv3': the data sets are vtnkinetics, vtnmit, vtnsegments and the host's own",
    ),
    (
        "TRAIN.DATASET vtnsegments TRAIN.EVAL_FULL_VIDEO False",
        "TRAIN.EVAL_FULL_VIDEO is False: it must be True with TRAIN.DATASET vtnsegments",
    ),
    (
        "TEST.DATASET vtnsegments VTN.AUTHORS_PROTOCOL True",
        "VTN.AUTHORS_PROTOCOL is True: it must be False with TEST.DATASET vtnsegments",
    ),
    (
        "MODEL.MODEL_NAME ResNet MODEL.ARCH i3d DATA.TRAIN_CROP_SIZE 48",
        "DATA.TRAIN_CROP_SIZE is 48: it must be a multiple of 32 for ResNet",
    ),
    ("SOLVER.LR_POLICY linear", "SOLVER.LR_POLICY is 'linear': PySlowFast "),
    ("SOLVER.LRS [1]", "SOLVER.LRS is [1]: it must be as long as SOLVER.STEPS"),
    ("SOLVER.OPTIMIZING_METHOD lion", "SOLVER.OPTIMIZING_METHOD is 'lion': PySlowFast "),
    ("TEST.CHECKPOINT_FILE_PATH no.pyth", "TEST.CHECKPOINT_FILE_PATH is 'no.pyth': no such file"),
]


@pytest.mark.parametrize(("overrides", "message"), BAD, ids=[overrides for overrides, _ in BAD])
def test_bad_value_is_named(overrides, message, tmp_path):
    with pytest.raises(InputError, match=re.escape(message)):
        load(VTN_VIT_B, tmp_path, *overrides.split())


@pytest.mark.skipif(get_host().NAME != "wheel", reason="main has other backends, which its own data sets use")
def test_the_wheel_decodes_with_pyav_only(tmp_path):
    with pytest.raises(InputError, match="DATA.DECODING_BACKEND is 'torchvision': it must be pyav"):
        load(VTN_VIT_B, tmp_path, "DATA.DECODING_BACKEND", "torchvision")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_missing_gpu_says_what_to_type(tmp_path):
    with pytest.raises(InputError, match="NUM_GPUS is 4 but PyTorch sees 0 CUDA devices: add `NUM_GPUS 0`"):
        load_config(VTN_VIT_B, ["NUM_GPUS", "4", "OUTPUT_DIR", str(tmp_path)])


def test_output_dir_that_is_a_file(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match=r"OUTPUT_DIR .*taken' is not writable: File exists"):
        load_config(VTN_VIT_B, ["NUM_GPUS", "0", "OUTPUT_DIR", str(tmp_path / "taken")])


def test_a_new_output_dir_is_not_made_to_see_whether_it_can_be_written(tmp_path, monkeypatch):
    """Two processes of torchrun look at the same time: one would remove what the other is about to use."""
    monkeypatch.setattr(os, "rmdir", pytest.fail)
    load_config(VTN_VIT_B, ["NUM_GPUS", "0", "OUTPUT_DIR", str(tmp_path / "new" / "run")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("a: [", "not a readable YAML config"),
        ("- 1", "holds no keys"),
        ("", "not a readable YAML config"),
    ],
)
def test_bad_file_is_named(content, message, tmp_path):
    path = tmp_path / "x.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=f"x.yaml: .*{message}"):
        load(path, tmp_path)
