"""The checkpoint of a run is enough to use its model: classes, normalisation, frames, sizes, scores."""

import importlib.util
import logging
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import ROOT, TINY
from videos import paint

import vtn
from slowfast_ext import recipe as bridge
from slowfast_ext.config import load_config
from slowfast_ext.demo.videos import write_video
from slowfast_ext.host import checkpoint, get_host
from slowfast_ext.models import make_model
from slowfast_ext.plugin import loops

host = get_host()
NAMES = ["jump", "run fast", "sit", "wave", "swim"]
MEAN, STD = [0.1, 0.6, 0.3], [0.2, 0.3, 0.4]
SETTINGS = (
    "SOLVER.BASE_LR 0.005 SOLVER.MAX_EPOCH 1 TEST.SAVE_RESULTS_PATH scores.npz "
    "TRAIN.EVAL_NUM_FRAMES 12 DATA.TARGET_FPS 20 DATA.TRAIN_JITTER_SCALES [40,48]"
).split()


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """OUTPUT_DIR of a run with classes.txt, an unusual normalisation and saved scores of the test."""
    folder = tmp_path_factory.mktemp("trained")
    rows = [f"{_coloured(folder, number)} {number % 5}\n" for number in range(8)]
    for split, part in (("train", rows), ("val", rows[:7]), ("test", rows[:7])):
        (folder / f"{split}.csv").write_text("".join(part))
    (folder / "classes.txt").write_text("\n".join(NAMES) + "\n")
    (folder / "tiny.yaml").write_text(TINY)
    where = ["DATA.PATH_TO_DATA_DIR", str(folder), "OUTPUT_DIR", str(folder / "out")]
    cfg = load_config(folder / "tiny.yaml", [*where, "DATA.MEAN", str(MEAN), "DATA.STD", str(STD), *SETTINGS])
    with torch.random.fork_rng():
        loops.train(cfg)
        _sharpen(checkpoint.checkpoint_path(cfg.OUTPUT_DIR, 1))
        loops.test(cfg)
    return folder / "out"


def _coloured(folder: Path, number: int) -> str:
    """Write a video of a colour, size and length of its own; returns its name."""
    colour = np.array([40 * number % 256, 255 - 30 * number, 90 * number % 256], np.uint8)
    width, height = ((64, 48), (48, 72))[number % 2]
    frames = (
        np.where((picture := paint(frame, (width, height))) == 128, colour, picture)
        for frame in range(15 + 4 * number)
    )
    write_video(folder / f"{number}.mp4", frames, fps=25, width=width, height=height)
    return f"{number}.mp4"


def _sharpen(path: str) -> None:
    """Let the scores depend on the pixels, which after two steps of training they hardly do."""
    content = torch.load(path, weights_only=True)
    content["model_state"]["mlp_head.4.weight"] *= 10
    torch.save(content, path)


def test_what_the_file_says(trained):
    content = torch.load(checkpoint.checkpoint_path(str(trained), 1), weights_only=True)
    entry = content["vtn"]
    model = entry.pop("model")
    assert entry == {
        "format": 1,
        "mean": tuple(MEAN),
        "std": tuple(STD),
        "num_frames": 4,
        "sampling_rate": 4,
        "target_fps": 20,
        "full_video_frames": 12,
        "short_side": 40,
        "crop_size": 32,
        "class_names": tuple(NAMES),
        "authors_protocol": False,
    }
    assert model["backbone"] == "test_vit"
    assert (model["num_classes"], model["num_layers"], model["attention_window"]) == (5, 2, 4)


def test_main_reads_the_file_without_our_cures(trained):
    """Main's checkpoint module, as it is in its files, takes all weights of a file of ours."""
    if host.NAME != "git":
        pytest.skip("SLOWFAST_HOME names no checkout of main")
    from slowfast.utils import checkpoint as cured

    spec = importlib.util.spec_from_file_location("uncured_checkpoint", cured.__file__)
    uncured = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(uncured)
    path = checkpoint.checkpoint_path(str(trained), 1)
    source = vtn.create_model(checkpoint=path)
    target = vtn.VTN(**source.recipe.model)
    assert uncured.load_checkpoint(path, target, data_parallel=False) == 0
    for name, weight in target.state_dict().items():
        assert torch.equal(weight, source.state_dict()[name]), name


def example() -> str:
    """The example of docs/python.md that starts from a checkpoint, as it stands there."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL)
    (code,) = [block for block in blocks if "checkpoint=" in block]
    return code


def test_the_example_of_the_page_gives_the_scores_of_the_test(trained, tmp_path, monkeypatch, capsys):
    code = example()
    assert len([line for line in code.splitlines() if line.strip() and "import" not in line]) <= 12
    assert not re.search(r"\b_\w|\._", code)  # public names only
    file, video = re.findall(r'"([^"]+\.(?:pyth|mp4))"', code)
    monkeypatch.chdir(tmp_path)
    for path in (file, video):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(checkpoint.checkpoint_path(str(trained), 1), file)
    with np.load(trained / "scores.npz") as saved:
        paths, expected = saved["paths"], saved["scores"]
    shown = set()
    for path, row in zip(paths, expected, strict=True):
        shutil.copy(path, video)
        names: dict = {}
        exec(code, names)
        np.testing.assert_allclose(names["scores"].numpy(), row, atol=1e-5, err_msg=str(path))
        assert names["attention"].shape == (1, 2, 4, 12)
        printed = capsys.readouterr().out
        assert printed.index(NAMES[row.argmax()]) == min(
            printed.index(name) for name in NAMES if name in printed
        )
        assert f"{row.max():.2f}" in printed
        shown.add(os.path.basename(path))
    assert len(shown) == 7
    assert np.ptp(expected, axis=0).max() > 1e-3  # the videos differ, so the scores say which one was read


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("a\nb\nc\n", "it has 3 lines, but MODEL.NUM_CLASSES is 5"), ("a\n\nb\nc\nd\n", "line 2 is empty")],
)
def test_a_list_of_classes_that_does_not_fit_is_told(tiny_cfg, data_dir, tmp_path, text, complaint, caplog):
    (tmp_path / "classes.txt").write_text(text)
    logging.getLogger("slowfast_ext.recipe").propagate = True
    with caplog.at_level(logging.WARNING):
        recipe = bridge.recipe_of(tiny_cfg("DATA.PATH_TO_DATA_DIR", str(tmp_path)))
    assert recipe.class_names is None
    assert f"{tmp_path / 'classes.txt'}: {complaint}" in caplog.text


def test_fine_tuning_tells_its_own_recipe(trained, tiny_cfg):
    """A run that starts from the file of another normalises and names classes as it is told itself."""
    path = checkpoint.checkpoint_path(str(trained), 1)
    given = ("TRAIN.CHECKPOINT_FILE_PATH", path, "TRAIN.CHECKPOINT_EPOCH_RESET", "True")
    cfg = tiny_cfg(*given, "SOLVER.MAX_EPOCH", "1", "DATA.MEAN", "[0.5, 0.5, 0.5]", "DATA.STD", str(STD))
    loops.train(cfg)
    model = vtn.create_model(checkpoint=checkpoint.checkpoint_path(cfg.OUTPUT_DIR, 1))
    assert model.normalization == ((0.5, 0.5, 0.5), tuple(STD))
    assert model.class_names is None


def test_models_of_the_host_have_no_entry(tiny_cfg):
    cfg = tiny_cfg(
        *"MODEL.MODEL_NAME ResNet MODEL.ARCH i3d RESNET.WIDTH_PER_GROUP 8 SOLVER.MAX_EPOCH 1".split(),
        *"TRAIN.EVAL_FULL_VIDEO False BN.USE_PRECISE_STATS False".split(),
    )
    model = make_model(cfg)
    checkpoint_path = checkpoint.save_checkpoint(
        cfg.OUTPUT_DIR, model, torch.optim.SGD(model.parameters()), 0, cfg
    )
    assert "vtn" not in torch.load(checkpoint_path, weights_only=True)
    with pytest.raises(vtn.InputError, match="does not record what its model was trained with"):
        vtn.create_model(checkpoint=checkpoint_path)
