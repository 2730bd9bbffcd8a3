"""Each configuration trains with the learning rate per video of its source: the paper, or PySlowFast.

A rate says something only together with the batch, because one step is taken for each batch. This table is
written by hand from the sources, so a new configuration needs a line here.
"""

from pathlib import Path
from typing import NamedTuple

import pytest
from fvcore.common.config import CfgNode

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


class Source(NamedTuple):
    """Batch, learning rate, and the rate with which its warm-up starts; no warm-up is None."""

    batch: int
    rate: float
    warmup_start: float | None = None


# Section 5.1 of the paper: "a batch size of 16 for the ViT-VTN ... and a batch size of 32 for the R50/101-VTN
# ... an initial learning rate of 10^-3".
PAPER_VIT, PAPER_RESNET = Source(16, 0.001), Source(32, 0.001)
# configs/Kinetics of PySlowFast main: I3D_8x8_R50, I3D_NLN_8x8_R50, SLOWFAST_8x8_R50 and
# c2/SLOWFAST_16x8_R101_50_50 from random weights; I3D_8x8_R50_IN1K, I3D_NLN_8x8_R50_IN1K and C2D_8x8_R50_IN1K
# from ImageNet.
PYSLOWFAST, PYSLOWFAST_IN1K = Source(64, 0.1, warmup_start=0.01), Source(64, 0.01)
# The paper gives none for fine-tuning non-local I3D on Moments in Time: a tenth of that for Kinetics.
OURS = Source(64, 0.01, warmup_start=0.001)

SOURCES = {
    "Kinetics/C2D_8x8_R50_IN1K": PYSLOWFAST_IN1K,
    "Kinetics/I3D_8x8_R50": PYSLOWFAST,
    "Kinetics/I3D_8x8_R50_IN1K": PYSLOWFAST_IN1K,
    "Kinetics/I3D_NLN_32x2_R50": PYSLOWFAST,
    "Kinetics/I3D_NLN_32x2_R50_IN1K": PYSLOWFAST_IN1K,
    "Kinetics/I3D_NLN_32x2_R50_full_video": PYSLOWFAST,
    "Kinetics/SLOWFAST_16x8_R101": PYSLOWFAST,
    "Kinetics/SLOWFAST_8x8_R50": PYSLOWFAST,
    "Kinetics/SLOWFAST_8x8_R50_full_video": PYSLOWFAST,
    "Kinetics/VTN_DeiT_B": PAPER_VIT,
    "Kinetics/VTN_DeiT_BD": PAPER_VIT,
    "Kinetics/VTN_DeiT_Ti": PAPER_VIT,
    "Kinetics/VTN_R101": PAPER_RESNET,
    "Kinetics/VTN_R50": PAPER_RESNET,
    "Kinetics/VTN_ViT_B": PAPER_VIT,
    "Kinetics/VTN_ViT_B_1layer": PAPER_VIT,
    "Kinetics/VTN_ViT_B_aug": PAPER_VIT,
    "Kinetics/VTN_ViT_B_authors": PAPER_VIT,
    "Kinetics/VTN_ViT_B_multi_view": PAPER_VIT,
    "MiT/I3D_NLN_32x2_R50": OURS,
    "MiT/VTN_ViT_B": PAPER_VIT,
}


def test_every_configuration_has_a_source():
    files = [path for folder in ("Kinetics", "MiT") for path in (CONFIGS / folder).rglob("*.yaml")]
    assert {str(path.relative_to(CONFIGS).with_suffix("")) for path in files} == SOURCES.keys()


@pytest.mark.parametrize("name", SOURCES)
def test_the_rate_per_video_is_that_of_the_source(name):
    source = SOURCES[name]
    keys = CfgNode.load_yaml_with_base(str(CONFIGS / f"{name}.yaml"))
    solver, batch = keys["SOLVER"], keys["TRAIN"]["BATCH_SIZE"]
    assert solver["BASE_LR"] / batch == pytest.approx(source.rate / source.batch)
    assert bool(solver.get("WARMUP_EPOCHS")) == (source.warmup_start is not None)
    if source.warmup_start is not None:
        assert solver["WARMUP_START_LR"] / batch == pytest.approx(source.warmup_start / source.batch)
    relative = solver["LRS"] if solver["LR_POLICY"] == "steps_with_relative_lrs" else [1]
    assert relative[0] == 1  # else the first rate is another than BASE_LR


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # PySlowFast's steps at 44 and 88 of 118 epochs.
        ("I3D_8x8_R50_IN1K", {0: 0.01, 43.5: 0.01, 44: 0.001, 87.5: 0.001, 88: 0.0001, 117.9: 0.0001}),
        # Those in the paper's 50 epochs, 18.6 and 37.3.
        ("I3D_NLN_32x2_R50_IN1K", {0: 0.01, 18.5: 0.01, 19: 0.001, 36.5: 0.001, 37: 0.0001, 49.9: 0.0001}),
    ],
)
def test_the_schedule_from_imagenet_is_pyslowfasts(name, expected, tmp_path):
    from slowfast_ext.config import load_config
    from slowfast_ext.host import get_host

    options = ["NUM_GPUS", "0", "OUTPUT_DIR", str(tmp_path)]
    cfg = load_config(CONFIGS / "Kinetics" / f"{name}.yaml", options)
    assert int(max(expected)) + 1 == cfg.SOLVER.MAX_EPOCH
    found = {epoch: get_host().get_epoch_lr(epoch, cfg) for epoch in expected}
    assert found == pytest.approx(expected)
