"""Of a checkpoint's configuration little is believed, and nothing of it names a file."""

from pathlib import Path

import pytest
import torch
import yaml
from predictions import FULL, NAMES
from tiny_runs import ROOT

from slowfast_ext.host import get_host
from slowfast_ext.models import make_model
from slowfast_ext.predict import Predictor
from vtn.errors import InputError


@pytest.fixture
def with_text(trained, tmp_path):
    """A checkpoint whose configuration is this text, or has these keys in place of its own."""
    _, path = trained(*FULL)
    content = torch.load(path, weights_only=True)

    def make(text: str | None = None, **sections: dict) -> Path:
        if text is None:
            tree = yaml.safe_load(content["cfg"])
            for section, keys in sections.items():
                tree[section] = tree[section] | keys if isinstance(keys, dict) else keys
            text = yaml.safe_dump(tree)
        torch.save(content | {"cfg": text}, tmp_path / "changed.pyth")
        return tmp_path / "changed.pyth"

    return make


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("!!python/object/apply:os.mkdir [made]", "could not determine a constructor"),
        ("[" * 100_000, "."),
        ("MODEL: [", "."),
        ("just words", "it holds no keys"),
        ("x" * 2**19, "it is no text of at most"),
        ("MODEL: {NUM_CLASSES: 2020-01-01}", "MODEL.NUM_CLASSES is no plain value"),
        ("MODEL: {ARCH: " + "x" * 300 + "}", "MODEL.ARCH is a text of 300 characters"),
        ("DATA: {MEAN: [" + "1, " * 2000 + "]}", "DATA.MEAN has more than 1000 values"),
    ],
)
def test_a_configuration_that_cannot_be_used(with_text, text, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf"(?s)has a configuration that cannot be used \(.*{says}"):
        Predictor(with_text(text))
    assert not Path("made").exists()


def test_aliases_of_aliases_take_no_memory(with_text):
    bomb = ["DATA:", "  a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    bomb += [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    with pytest.raises(InputError, match="DATA.MEAN is no plain value"):
        Predictor(with_text("\n".join([*bomb, "  MEAN: *a29"])))


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("MODEL", "NUM_CLASSES", 10**9),
        ("MODEL", "NUM_CLASSES", str(10**9)),
        ("VTN", "NUM_HIDDEN_LAYERS", 10**5),
        ("VTN", "INTERMEDIATE_SIZE", float("inf")),
        ("DATA", "TEST_CROP_SIZE", 10**5),
        ("DATA", "TRAIN_JITTER_SCALES", [10**5, 10**5]),
        ("TEST", "NUM_ENSEMBLE_VIEWS", 10**6),
    ],
)
def test_absurd_sizes(with_text, section, key, value):
    with pytest.raises(InputError, match=rf"{section}.{key} is no number up to"):
        Predictor(with_text(**{section: {key: value}}))


def test_sizes_that_the_weights_do_not_have_are_refused_before_memory_is_taken(with_text):
    with pytest.raises(InputError, match="is of another model, which differs in feed-forward width"):
        Predictor(with_text(VTN={"INTERMEDIATE_SIZE": 2**20}))


def test_no_file_of_the_configuration_is_opened_and_no_folder_made(with_text, tmp_path, clips):
    away = tmp_path / "away"
    changed = with_text(
        _BASE_=str(away / "base.yaml"),
        OUTPUT_DIR=str(away / "out"),
        DATA={"PATH_TO_DATA_DIR": str(away)},
        TRAIN={"CHECKPOINT_FILE_PATH": str(away / "x.pyth"), "DATASET": "kinetics"},
        TEST={"CHECKPOINT_FILE_PATH": str(away / "x.pyth")},
        RESNET={"INFLATE_FROM": str(away / ("deep/" * 50) / "x.safetensors")},
        VTN={"PRETRAINED": True, "COMPILE": True, "CPU_PROCESSES": 7, "FEATURES": str(away / "features")},
    )
    predictor = Predictor(changed)
    assert predictor(clips[0]).top(1)[0][0] in NAMES
    assert not away.exists()
    assert not predictor.cfg.VTN.COMPILE


def test_views_are_full_or_multi(trained):
    _, path = trained(*FULL)
    with pytest.raises(InputError, match="views is 'all'"):
        Predictor(path, views="all")


@pytest.mark.parametrize("name", ["SlowFast", "I3D"])
def test_other_models_know_their_classes_and_score_as_tested(trained, tested, clips, name):
    keys = "MODEL.NUM_CLASSES 5 NUM_GPUS 0 DATA_LOADER.NUM_WORKERS 0 DATA.TRAIN_JITTER_SCALES [40,48]".split()
    keys += "DATA.TRAIN_CROP_SIZE 32 DATA.TEST_CROP_SIZE 32 TRAIN.EVAL_FULL_VIDEO False".split()
    keys += "TEST.NUM_ENSEMBLE_VIEWS 2 TEST.NUM_SPATIAL_CROPS 3".split()
    cfg, path = trained(*keys, config=ROOT / "configs" / "Demo" / f"{name}.yaml", name=name)
    wanted, predictor = tested(cfg, path), Predictor(path, batch_size=4)
    assert tuple(predictor.class_names) == NAMES
    video = str(clips[4])
    (loaded,) = predictor.predict_files([video], num_workers=0)
    for prediction in (loaded, predictor(video)):
        torch.testing.assert_close(
            torch.tensor(prediction.scores), torch.tensor(wanted[video]), rtol=0, atol=1e-5
        )
    windows = predictor(video, window=1.0, every=0.5).windows
    assert len(windows) == 5


@pytest.mark.parametrize("names", [["a"] * 4, ["a"] * 4 + [""], ["a"] * 4 + ["\x1b[31m"], "abcde", [1] * 5])
def test_names_that_cannot_be_used(trained, names, tmp_path):
    keys = "MODEL.NUM_CLASSES 5 NUM_GPUS 0 DATA.TRAIN_JITTER_SCALES [40,48]".split()
    keys += "DATA.TRAIN_CROP_SIZE 32 DATA.TEST_CROP_SIZE 32".split()
    _, path = trained(*keys, config=ROOT / "configs" / "Demo" / "I3D.yaml")
    content = torch.load(path, weights_only=True)
    assert content["class_names"] == list(NAMES)
    torch.save(content | {"class_names": names}, tmp_path / "changed.pyth")
    with pytest.raises(InputError, match="has an entry 'class_names' that cannot be used"):
        Predictor(tmp_path / "changed.pyth")


def test_pyslowfasts_own_loops_write_the_names_too(trained, tmp_path):
    from slowfast.utils import checkpoint as their_checkpoint

    keys = "MODEL.NUM_CLASSES 5 NUM_GPUS 0 DATA.TRAIN_JITTER_SCALES [40,48]".split()
    keys += "DATA.TRAIN_CROP_SIZE 32 DATA.TEST_CROP_SIZE 32".split()
    cfg, ours = trained(*keys, config=ROOT / "configs" / "Demo" / "I3D.yaml")
    model = make_model(cfg)
    optimizer = get_host().construct_optimizer(model, cfg)
    theirs = their_checkpoint.save_checkpoint(str(tmp_path / "theirs"), model, optimizer, 0, cfg)
    assert Path(theirs).name == Path(ours).name
    content = torch.load(theirs, weights_only=True)
    assert content["class_names"] == list(NAMES)
    assert content.keys() == torch.load(ours, weights_only=True).keys()
    assert tuple(Predictor(theirs).class_names) == NAMES
