"""The ablations of the project page: each row is a configuration that does what it says, and trains."""

import re
from pathlib import Path

import pytest
import torch

from slowfast_ext.config import load_config
from slowfast_ext.flops import load_on_meta
from slowfast_ext.models import VTN
from slowfast_ext.video.sampling import temporal_footprint

ROOT = Path(__file__).resolve().parents[2]
VTN_VIT_B = ROOT / "configs" / "Kinetics" / "VTN_ViT_B.yaml"
ROWS = re.findall(
    r"^\| (2[abcd]|fig\. 4) \| (.*?) \| `(.*?)` \|",
    (ROOT / "projects/vtn/README.md").read_text(),
    re.MULTILINE,
)


def rows_of(table: str) -> list[tuple[str, list[str]]]:
    return [(what, add.split()) for name, what, add in ROWS if name == table]


def load(add: list[str], tmp_path, *more: str):
    fixed = ["NUM_GPUS", "0", "OUTPUT_DIR", str(tmp_path), "VTN.PRETRAINED", "False"]
    return load_config(VTN_VIT_B, [*fixed, *add, *more])


def test_the_page_has_every_row_of_the_paper():
    assert [len(rows_of(table)) for table in ("2a", "2b", "2c", "2d", "fig. 4")] == [4, 6, 5, 2, 2]


@pytest.mark.parametrize(("what", "add"), rows_of("2a"))
def test_depth(what, add):
    _, model = load_on_meta(VTN_VIT_B, add)
    assert what in ("1 layer", f"{len(model.temporal_encoder.layers)} layers")
    assert model.temporal_encoder.layers[0].attention.num_heads == 12


@pytest.mark.parametrize(("what", "add"), rows_of("2b"))
def test_positions_and_shuffling(what, add):
    cfg, model = load_on_meta(VTN_VIT_B, add)
    kind = {
        "learned": "LearnedPositions",
        "fixed": "FixedPositions",
        "no": "NoPositions",
        "none": "NoPositions",
    }
    assert type(model.temporal_encoder.positions).__name__ == kind[re.split(r"[ ,]", what)[0]]
    assert model.shuffle_frames == ("shuffled" in what) == (not cfg.TRAIN.ENABLE)


@pytest.mark.parametrize(("what", "add"), rows_of("2c"))
def test_temporal_footprint(what, add, tmp_path):
    cfg = load(add, tmp_path)
    seconds, frames = re.fullmatch(r"([\d.]+) s, (\d+) frames", what).groups()
    assert int(frames) == cfg.DATA.NUM_FRAMES
    assert cfg.VTN.NUM_HIDDEN_LAYERS == 1  # sec. 5.1: with one attention layer
    found = temporal_footprint(
        num_frames=cfg.DATA.NUM_FRAMES, sampling_rate=cfg.DATA.SAMPLING_RATE, target_fps=cfg.DATA.TARGET_FPS
    )
    assert found == pytest.approx(float(seconds))


@pytest.mark.parametrize(("what", "add"), rows_of("2d"))
def test_frozen_backbone(what, add):
    _, model = load_on_meta(VTN_VIT_B, add)
    assert any(p.requires_grad for p in model.backbone.parameters()) == ("frozen" not in what)


@pytest.mark.parametrize(("what", "add"), rows_of("fig. 4"))
def test_uniform_attention(what, add):
    _, model = load_on_meta(VTN_VIT_B, add)
    for layer in model.temporal_encoder.layers:
        assert layer.attention.num_heads == 1
        assert layer.attention.uniform == ("uniform" in what)


@pytest.mark.parametrize("add", [add for _, _, add in ROWS], ids=lambda add: add)
def test_every_row_trains(add, tmp_path):
    """At the size of a toy: the row's keys, but a tiny backbone and small frames."""
    tiny = (
        "VTN.BACKBONE test_vit MODEL.NUM_CLASSES 3 "
        "DATA.TRAIN_JITTER_SCALES [32,32] DATA.TRAIN_CROP_SIZE 32 DATA.TEST_CROP_SIZE 32"
    ).split()
    cfg = load(add.split(), tmp_path, *tiny)
    model = VTN(cfg)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    clip = torch.randn(2, 3, cfg.DATA.NUM_FRAMES, 32, 32)
    inputs = [clip, torch.arange(cfg.DATA.NUM_FRAMES).expand(2, -1) * 10]
    optimizer = torch.optim.Adam(trained, lr=1e-3)
    before = [parameter.detach().clone() for parameter in trained]
    for _ in range(2):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), torch.tensor([0, 2])).backward()
        optimizer.step()
    # The last row of a learned table is never read; key biases cannot change a softmax.
    moved = [not torch.equal(old, new) for old, new in zip(before, trained, strict=True)]
    assert sum(moved) > 0.9 * len(moved)
    torch.testing.assert_close(model.eval()(inputs).sum(1), torch.ones(2))
