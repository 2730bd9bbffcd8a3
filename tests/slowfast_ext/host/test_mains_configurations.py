"""PySlowFast main's own configurations, as they lie in its checkout, on our data set.

Runs where SLOWFAST_HOME names a checkout.
"""

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from slowfast_ext.config import load_config
from slowfast_ext.config_adapt import on_our_data
from slowfast_ext.flops import count_flops, count_parameters, example_inputs, load_on_meta, view_shape
from slowfast_ext.host import get_host, get_installation
from slowfast_ext.models import make_model
from slowfast_ext.plugin import loops
from vtn import InputError

host = get_host()
pytestmark = pytest.mark.skipif(host.NAME != "git", reason="SLOWFAST_HOME names no checkout of main")

OURS = Path(__file__).resolve().parents[3] / "configs" / "Kinetics"
NAMES = ("X3D_M", "MVITv2_S_16x4", "SLOWFAST_8x8_R50", "I3D_8x8_R50")
FULL_VIDEO = "TRAIN.EVAL_FULL_VIDEO True TEST.NUM_ENSEMBLE_VIEWS 1 TEST.NUM_SPATIAL_CROPS 1".split()
PROTOCOLS = {
    "clip": "TRAIN.EVAL_FULL_VIDEO False TEST.NUM_ENSEMBLE_VIEWS 1 TEST.NUM_SPATIAL_CROPS 1".split(),
    "multi-view": "TRAIN.EVAL_FULL_VIDEO False TEST.NUM_ENSEMBLE_VIEWS 2 TEST.NUM_SPATIAL_CROPS 3".split(),
    "full-video": FULL_VIDEO,
}
SMALL = [
    *"MODEL.NUM_CLASSES 5 TRAIN.BATCH_SIZE 4 TEST.BATCH_SIZE 6 DATA_LOADER.NUM_WORKERS 0".split(),
    *"SOLVER.MAX_EPOCH 1 LOG_PERIOD 1 BN.NUM_BATCHES_PRECISE 1 TRAIN.EVAL_NUM_FRAMES 20".split(),
    *"DATA.TRAIN_JITTER_SCALES [64,72] DATA.TRAIN_CROP_SIZE 64 DATA.TEST_CROP_SIZE 64".split(),
]


def mains(name: str) -> Path:
    return get_installation().root / "configs" / "Kinetics" / f"{name}.yaml"


def count(path: Path, *overrides: str, train: bool = False):
    """Its multiply-adds, and its parameters in millions; counted where the project counts, on no device."""
    cfg, model = load_on_meta(path, [*overrides, *on_our_data(path, overrides)[0]])
    shape = view_shape(cfg, train=train)
    return count_flops(model, example_inputs(cfg, *shape, device="meta")), count_parameters(model) / 1e6


@pytest.mark.parametrize(
    ("name", "gflops", "parameters"),
    [  # PySlowFast's model zoo; the paper of MViTv2, table 5 (64.5, 34.5)
        ("X3D_M", 4.73, 3.79),
        ("MVITv2_S_16x4", 64.5, 34.5),
    ],
)
def test_counts_of_x3d_and_mvit_are_the_published_ones(name, gflops, parameters):
    found, size = count(mains(name), train=True)
    assert found.total == pytest.approx(gflops, rel=0.01)
    assert size == pytest.approx(parameters, rel=0.01)


@pytest.mark.parametrize("protocol", [(), FULL_VIDEO], ids=["clip", "full-video"])
@pytest.mark.parametrize("name", ["SLOWFAST_8x8_R50", "I3D_8x8_R50"])
def test_mains_baselines_cost_what_ours_cost(name, protocol):
    same = ["DATA.TEST_CROP_SIZE", "224", *protocol]
    found, expected = count(mains(name), *same), count(OURS / f"{name}.yaml", *same)
    assert found == expected
    assert found[0].conv_linear > 10


def test_full_video_costs_x3d_as_many_clips_as_it_holds():
    """250 frames cost 250/16 of 16 frames, except behind a pool over all frames.

    What lies there uses a parameter at four places at most: the last pool's window has four in a crop of 256.
    """
    clip, _ = count(mains("X3D_M"), "TEST.NUM_SPATIAL_CROPS", "1")
    full, _ = count(mains("X3D_M"), *FULL_VIDEO)
    behind_a_pool = 4 * 3.79e-3
    assert 0 <= 250 / 16 * clip.conv_linear - full.conv_linear < 250 / 16 * behind_a_pool


@pytest.fixture
def x3d(tmp_path):
    small = ["X3D.DEPTH_FACTOR", "1.0", "OUTPUT_DIR", str(tmp_path), *SMALL]
    return make_model(load_config(mains("X3D_M"), [*small, *on_our_data(mains("X3D_M"))[0]])).eval()


@pytest.mark.parametrize("frames", [7, 16, 40])
@torch.no_grad()
def test_x3d_averages_over_all_frames(x3d, frames):
    """A clip shorter than the trained 16 frames, one of that length, and a longer one."""
    head, seen = x3d.head, []
    handle = head.conv_5_relu.register_forward_hook(lambda *call: seen.append(call[2].clone()))
    scores = x3d([torch.randn(1, 3, frames, 64, 64)])
    handle.remove()
    assert seen[0].shape[2:] == (frames, 2, 2)
    features = F.relu(head.lin_5.weight.flatten(1) @ seen[0].mean(dim=(0, 2, 3, 4)))
    expected = head.projection(features).softmax(dim=0)
    torch.testing.assert_close(scores[0], expected)


def test_mvit_refuses_full_video_and_another_crop_before_anything_starts(tmp_path):
    path = mains("MVITv2_S_16x4")
    base = ["OUTPUT_DIR", str(tmp_path), *on_our_data(path)[0]]
    sentence = (
        r"TRAIN\.EVAL_FULL_VIDEO is True: MViT takes clips of 16 frames \(DATA\.NUM_FRAMES\) and no full "
        r"video of 250; test it with TRAIN\.EVAL_FULL_VIDEO False"
    )
    with pytest.raises(InputError, match=sentence):
        load_config(path, [*base, *FULL_VIDEO])
    assert load_config(path, [*base, *FULL_VIDEO, "TRAIN.EVAL_NUM_FRAMES", "16"]).TRAIN.EVAL_FULL_VIDEO
    with pytest.raises(InputError, match=r"DATA\.TEST_CROP_SIZE is 256: .* 224, the one size that MViT is"):
        load_config(path, [*base, "DATA.TEST_CROP_SIZE", "256"])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_trains_and_is_tested_under_every_protocol(name, data_dir, tmp_path):
    """At its own depth and number of frames, on small pictures; from its folder in the checkout."""
    paths = ["DATA.PATH_TO_DATA_DIR", str(data_dir), "OUTPUT_DIR", str(tmp_path), *SMALL]
    given = [*paths, *on_our_data(mains(name), paths)[0]]
    loops.train(load_config(mains(name), given))
    for protocol, keys in PROTOCOLS.items():
        if name.startswith("MVIT") and protocol == "full-video":
            continue
        cfg = load_config(mains(name), [*given, *keys])
        loops.test(cfg)
        found = json.loads((tmp_path / "test_results.json").read_text())
        views = 6 if protocol == "multi-view" else 1
        assert (found["num_videos"], found["num_failed"], found["num_views"]) == (7, 0, views)
        assert found["frames_per_view"] == (20 if protocol == "full-video" else cfg.DATA.NUM_FRAMES)
