"""SlowFast and I3D of the host, on clips of the trained length and on whole videos."""

import pytest
import torch

from slowfast_ext.data.packing import pack_pathways
from slowfast_ext.host import get_host
from slowfast_ext.host.heads import AnyLengthAvgPool3d

host = get_host()


def build(cfg):
    return host.bare_model(cfg).eval()


@pytest.mark.skipif(host.NAME != "wheel", reason="compares with the wheel's own classes")
@pytest.mark.parametrize("name", ["I3D", "SlowFast"])
@pytest.mark.parametrize("times", [1, 2])
@torch.no_grad()
def test_at_the_trained_length_nothing_changes(name, times, demo_cfg):
    """Nor where the crop is larger: the head then looks at every place of it and takes the mean."""
    from slowfast.models import video_model_builder

    cfg = demo_cfg(name)
    ours = build(cfg)
    cfg.defrost()
    cfg.DATA.CROP_SIZE = cfg.DATA.TRAIN_CROP_SIZE
    theirs = getattr(video_model_builder, f"{cfg.MODEL.MODEL_NAME}Model")(cfg).eval()
    theirs.load_state_dict(ours.state_dict())
    crop = times * cfg.DATA.TRAIN_CROP_SIZE
    clip = torch.randn(3, cfg.DATA.NUM_FRAMES, crop, crop)
    inputs = [x[None] for x in pack_pathways(cfg, clip)]
    expected = theirs(list(inputs))
    torch.testing.assert_close(ours(inputs), expected, atol=1e-6, rtol=1e-5)
    assert expected.sum().item() == pytest.approx(1.0, abs=1e-5)  # scores, not logits
    assert ours(inputs).equal(ours(inputs))  # the caller's list is left as it was


@pytest.mark.parametrize("name", ["I3D", "SlowFast"])
@pytest.mark.parametrize("num_frames", [2, 7, 62, 250])
@torch.no_grad()
def test_any_length_runs(name, num_frames, demo_cfg):
    cfg = demo_cfg(name)
    clip = torch.randn(3, num_frames, 32, 32)
    inputs = [x[None] for x in pack_pathways(cfg, clip)]
    if name == "SlowFast":
        assert inputs[0].shape[2] == -(-num_frames // cfg.SLOWFAST.ALPHA)
    assert build(cfg)(inputs).shape == (1, cfg.MODEL.NUM_CLASSES)


def test_the_window_of_the_pool_moves_cell_by_cell():
    """A row of four cells in two frames, windows of two: the means of neighbours, over both frames."""
    cells = torch.tensor([[1.0, 3.0, 5.0, 9.0], [3.0, 5.0, 7.0, 11.0]]).reshape(1, 1, 2, 1, 4)
    pooled = AnyLengthAvgPool3d((1, 2))(cells)
    torch.testing.assert_close(pooled, torch.tensor([3.0, 5.0, 8.0]).reshape(1, 1, 1, 1, 3))


@torch.no_grad()
def test_non_local_i3d_runs_on_a_whole_video(demo_cfg):
    cfg = demo_cfg("I3D_NLN")
    model = build(cfg)
    assert sum("nonlocal" in name and name.endswith("conv_theta") for name, _ in model.named_modules()) == 5
    assert model([torch.randn(1, 3, 250, 32, 32)]).shape == (1, cfg.MODEL.NUM_CLASSES)


@torch.no_grad()
def test_all_frames_count(demo_cfg):
    """A change at the very end of a long video changes the scores."""
    cfg = demo_cfg("SlowFast")
    model = build(cfg)
    clip = torch.randn(3, 250, 32, 32)
    changed = clip.clone()
    changed[:, 249] += 3
    scores = [model([x[None] for x in pack_pathways(cfg, c)]) for c in (clip, changed)]
    assert not torch.allclose(*scores, atol=1e-6)
