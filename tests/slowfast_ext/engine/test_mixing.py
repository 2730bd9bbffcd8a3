"""Erasing, mixup and cutmix of a training's batches: by hand on small clips, and through a whole training."""

import random

import numpy as np
import pytest
import torch
from timm.loss import SoftTargetCrossEntropy

from slowfast_ext.data.build import construct_loader
from slowfast_ext.data.frames import Frames
from slowfast_ext.engine.batch import Batch
from slowfast_ext.engine.mixing import Mixing, comparable
from slowfast_ext.host import checkpoint, get_host
from slowfast_ext.plugin import loops

SOFT = ("MODEL.LOSS_FUNC", "soft_cross_entropy", "MIXUP.ENABLE", "True")
OWN = ("ENGINE", "own")
ALL = (
    *SOFT,
    *"AUG.ENABLE True AUG.NUM_SAMPLE 2 AUG.RE_PROB 0.5 TRAIN.BATCH_SIZE 2".split(),
)
SIDE = 8


@pytest.fixture
def loaded() -> list:
    """A batch as a loader gives it: four clips of three frames, one of which shows a frame twice."""
    generator = torch.Generator().manual_seed(5)
    pixels = torch.randint(0, 256, (11, SIDE, SIDE, 3), dtype=torch.uint8, generator=generator)
    index = torch.tensor([[0, 1, 2], [3, 3, 4], [5, 6, 7], [8, 9, 10]])
    return [[Frames((pixels,), index), index], torch.tensor([0, 1, 2, 3]), torch.tensor([6, 0, 3, 1]), 0, {}]


def mixed(cfg, loaded: list, *, epoch: int = 0, iteration: int = 0) -> Batch:
    return Mixing(cfg)(Batch(loaded, torch.device("cpu")), epoch, iteration)


def dense(cfg, loaded: list) -> torch.Tensor:
    return loaded[0][0].clips(cfg.DATA.MEAN, cfg.DATA.STD)


def test_nothing_asked_for_nothing_done(tiny_cfg, loaded):
    batch = mixed(tiny_cfg(*OWN), loaded)
    assert torch.equal(batch.inputs[0].pixels, loaded[0][0].pixels)
    assert torch.equal(batch.labels, loaded[1])
    model_of_tensors = Batch([[torch.rand(2, 4)], *loaded[1:]], torch.device("cpu"))
    assert Mixing(tiny_cfg(*OWN))(model_of_tensors, 0, 0).inputs[0].shape == (2, 4)


def test_mixup_adds_the_mirrored_clip_and_its_label(tiny_cfg, loaded):
    """One weight for all frames of all clips, which the labels tell: without smoothing they hold it."""
    cfg = tiny_cfg(*OWN, *SOFT, *"MIXUP.CUTMIX_ALPHA 0 MIXUP.LABEL_SMOOTH_VALUE 0".split())
    whole, weights = dense(cfg, loaded), set()
    for iteration in range(6):
        batch = mixed(cfg, loaded, iteration=iteration)
        weight = batch.labels[0, 0].item()
        weights.add(weight)
        expected = torch.zeros(4, 5)
        for clip in range(4):
            expected[clip, clip] += weight
            expected[clip, 3 - clip] += 1 - weight
            by_hand = weight * whole[clip] + (1 - weight) * whole[3 - clip]
            torch.testing.assert_close(batch.inputs[0][clip], by_hand, atol=1e-5, rtol=0)
        torch.testing.assert_close(batch.labels, expected)
        assert torch.equal(batch.inputs[1], loaded[0][1])
    assert len(weights) == 6


def test_cutmix_takes_one_box_of_all_frames(tiny_cfg, loaded):
    cfg = tiny_cfg(*OWN, *SOFT, *"MIXUP.ALPHA 0 MIXUP.LABEL_SMOOTH_VALUE 0".split())
    whole, shares = dense(cfg, loaded), set()
    for iteration in range(6):
        batch = mixed(cfg, loaded, iteration=iteration)
        clips = batch.inputs[0]
        taken = (clips != whole).flatten(0, 2).any(dim=0)  # (C, C)
        assert taken.sum() == taken.any(dim=0).sum() * taken.any(dim=1).sum()
        assert torch.equal(clips[..., taken], whole.flip(0)[..., taken])
        assert torch.equal(clips[..., ~taken], whole[..., ~taken])
        share = taken.float().mean().item()
        shares.add(share)
        assert batch.labels[0].tolist() == pytest.approx([1 - share, 0, 0, share, 0], abs=1e-6)
    assert len(shares) > 2


def test_probabilities_decide_what_is_done(tiny_cfg, loaded):
    """Of many steps about half are mixed, of those a quarter by cutmix, which leaves pixels as they are."""
    cfg = tiny_cfg(*OWN, *SOFT, *"MIXUP.PROB 0.5 MIXUP.SWITCH_PROB 0.25".split())
    whole, counts = dense(cfg, loaded), {"none": 0, "mixup": 0, "cutmix": 0}
    for iteration in range(300):
        clips = mixed(cfg, loaded, iteration=iteration).inputs[0]
        untouched = (clips == whole) | (clips == whole.flip(0))
        kind = "none" if torch.equal(clips, whole) else "cutmix" if untouched.all() else "mixup"
        counts[kind] += 1
    # A box of cutmix may be empty, which counts as none.
    assert 130 <= counts["none"] <= 190
    assert 15 <= counts["cutmix"] <= 55
    assert 85 <= counts["mixup"] <= 140


def test_labels_can_be_smoothed_alone(tiny_cfg, loaded):
    """With MIXUP.PROB 0, also in odd batches: 0.1 of five classes is 0.02 for each."""
    cfg = tiny_cfg(*OWN, *SOFT, "MIXUP.PROB", "0", "TRAIN.BATCH_SIZE", "1")
    batch = mixed(cfg, [loaded[0], torch.tensor([0, 4, 4]), *loaded[2:]])
    assert isinstance(batch.inputs[0], Frames)
    expected = torch.full((3, 5), 0.02)
    expected[[0, 1, 2], [0, 4, 4]] = 0.92
    torch.testing.assert_close(batch.labels, expected)


def test_random_numbers_depend_on_seed_epoch_and_iteration_only(tiny_cfg, loaded):
    cfg = tiny_cfg(*OWN, *SOFT, *"AUG.ENABLE True AUG.RE_PROB 1".split())

    def clips(cfg=cfg, **step) -> torch.Tensor:
        return mixed(cfg, loaded, **step).inputs[0]

    first, state = clips(epoch=1, iteration=2), random.getstate()
    np.random.seed(1)
    torch.manual_seed(1)
    expected = np.random.random(), torch.rand(1)
    np.random.seed(1)
    torch.manual_seed(1)
    assert torch.equal(clips(epoch=1, iteration=2), first)
    assert (np.random.random(), torch.rand(1)) == expected
    assert random.getstate() == state
    assert not torch.equal(clips(epoch=1, iteration=3), first)
    assert not torch.equal(clips(epoch=2, iteration=2), first)
    assert not torch.equal(clips(tiny_cfg(*OWN, *SOFT, "RNG_SEED", "9"), epoch=1, iteration=2), first)


def test_erased_clips_are_mixed(tiny_cfg, loaded):
    """Erasing comes first: in mixup an erased box holds the other clip, darkened."""
    erase = "AUG.ENABLE True AUG.RE_PROB 1 AUG.RE_MODE const".split()
    cfg = tiny_cfg(*OWN, *erase)
    alone = mixed(cfg, loaded).inputs[0]
    assert ((alone == 0) & (dense(cfg, loaded) != 0)).flatten(1).any(dim=1).all()
    cfg = tiny_cfg(*OWN, *erase, *SOFT, *"MIXUP.CUTMIX_ALPHA 0 MIXUP.LABEL_SMOOTH_VALUE 0".split())
    batch = mixed(cfg, loaded)
    weight = batch.labels[0, 0]
    torch.testing.assert_close(
        batch.inputs[0], weight * alone + (1 - weight) * alone.flip(0), atol=1e-5, rtol=0
    )


def test_both_pathways_of_slowfast_are_mixed(tiny_cfg, loaded):
    cfg = tiny_cfg(*OWN, *SOFT).clone()
    cfg.defrost()
    whole = mixed(cfg, loaded).inputs[0]
    cfg.MODEL.MODEL_NAME, cfg.MODEL.ARCH, cfg.SLOWFAST.ALPHA = "SlowFast", "slowfast", 2
    slow, fast = mixed(cfg, [loaded[0][:1], *loaded[1:]]).inputs
    assert torch.equal(fast, whole)
    assert torch.equal(slow, whole[:, :, [0, 2]])


def test_errors_are_those_of_mains_training(tiny_cfg):
    """Both classes of a mixed clip are right: 3 + 2 beats 4, 3 + 0 does not."""
    cfg = tiny_cfg(*OWN, *SOFT)
    logits = torch.tensor([[3.0, 2.0, 4.0, 0.0], [3.0, 2.0, 4.0, 0.0]])
    labels = torch.tensor([[0.7, 0.3, 0.0, 0.0], [0.6, 0.0, 0.0, 0.4]])
    found, classes = comparable(logits, labels, cfg)
    assert classes.tolist() == [0, 0]
    assert found.tolist() == [[5.0, 0.0, 4.0, 0.0], [3.0, 2.0, 4.0, 0.0]]
    assert [c.item() for c in get_host().topks_correct(found, classes, (1, 2))] == [1, 2]
    assert logits[0].tolist() == [3.0, 2.0, 4.0, 0.0]
    plain = comparable(logits, torch.tensor([2, 1]), cfg)
    assert plain[0] is logits
    assert plain[1].tolist() == [2, 1]
    smoothed = tiny_cfg(*OWN, *SOFT, "MIXUP.PROB", "0")
    same, classes = comparable(logits, torch.tensor([[0.1, 0.1, 0.7, 0.1], [0.1, 0.7, 0.1, 0.1]]), smoothed)
    assert torch.equal(same, logits)
    assert classes.tolist() == [2, 1]


def test_the_loss_of_soft_labels_is_timms():
    loss = get_host().get_loss_func("soft_cross_entropy")(reduction="mean")
    logits, labels = torch.randn(6, 5), torch.rand(6, 5).softmax(dim=1)
    torch.testing.assert_close(loss(logits, labels), SoftTargetCrossEntropy()(logits, labels))


def weights(output_dir: str, epoch: int) -> dict[str, torch.Tensor]:
    return torch.load(checkpoint.checkpoint_path(output_dir, epoch), weights_only=True)["model_state"]


def test_everything_at_once_whatever_the_workers_and_interrupted(tiny_cfg, tmp_path):
    """Two epochs with all of it; with a worker, stopped after the first epoch, the same bits come out."""
    whole = tiny_cfg(*OWN, *ALL)
    loops.train(whole)
    expected = weights(whole.OUTPUT_DIR, 2)
    other = (*OWN, *ALL, "OUTPUT_DIR", str(tmp_path / "other"))
    loops.train(tiny_cfg(*other, "SOLVER.MAX_EPOCH", "1", "DATA_LOADER.NUM_WORKERS", "1"))
    loops.train(tiny_cfg(*other))
    found = weights(str(tmp_path / "other"), 2)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    plain = tiny_cfg(*OWN, "TRAIN.BATCH_SIZE", "2", "OUTPUT_DIR", str(tmp_path / "plain"))
    loops.train(plain)
    assert any(not torch.equal(weights(plain.OUTPUT_DIR, 2)[name], tensor) for name, tensor in found.items())


@pytest.mark.parametrize("model", ["I3D", "SlowFast"])
def test_the_other_models_train_with_it(demo_cfg, model, data_dir):
    small = "TRAIN.ENABLE True TEST.ENABLE False SOLVER.MAX_EPOCH 1 LOG_PERIOD 1 DATA_LOADER.NUM_WORKERS 0"
    sizes = "DATA.TRAIN_JITTER_SCALES [64,72] DATA.NUM_FRAMES 8 BN.USE_PRECISE_STATS False"
    paths = ["DATA.PATH_TO_DATA_DIR", str(data_dir), "MODEL.NUM_CLASSES", "5"]
    cfg = demo_cfg(model, *OWN, *ALL, *small.split(), *sizes.split(), *paths)
    loops.train(cfg)
    assert weights(cfg.OUTPUT_DIR, 1)


@pytest.mark.skipif(not get_host().has_loops(), reason="this PySlowFast has no loops of its own")
@pytest.mark.parametrize("mixup", [True, False])
def test_it_works_in_mains_loops(tiny_cfg, mixup):
    """Their loader gives tensors, erased; main mixes them itself."""
    cfg = tiny_cfg(*(ALL if mixup else ALL[len(SOFT) :]), "SOLVER.MAX_EPOCH", "1")
    from slowfast.datasets import loader

    changed = []
    pairs = zip(loader.construct_loader(cfg, "train"), construct_loader(cfg, "train"), strict=True)
    for (inputs, labels, *_), ((frames, _), *_) in pairs:
        assert [tuple(x.shape) for x in (*inputs, labels)] == [(4, 3, 4, 32, 32), (4, 4), (4,)]
        whole = frames.clips(cfg.DATA.MEAN, cfg.DATA.STD)
        changed += (inputs[0] != whole).flatten(1).any(dim=1).tolist()
    assert 3 <= sum(changed) <= 13  # of 16, each with probability 0.5
    loops.train(cfg)
    assert weights(cfg.OUTPUT_DIR, 1)
