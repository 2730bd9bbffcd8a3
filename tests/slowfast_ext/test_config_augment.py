"""Augmentation that cannot be done stops a run at its start, by a sentence that names key and value."""

import re

import pytest

from slowfast_ext.host import get_host
from vtn import InputError

ON = ("AUG.ENABLE", "True")
MIXED = ("MIXUP.ENABLE", "True", "MODEL.LOSS_FUNC", "soft_cross_entropy")


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ("AUG.NUM_SAMPLE 0", "AUG.NUM_SAMPLE is 0: it must be at least 1"),
        ("AUG.AA_TYPE rand-m9-foo3", "AUG.AA_TYPE is 'rand-m9-foo3': timm does not take the policy"),
        ("AUG.AA_TYPE sharp", "AUG.AA_TYPE is 'sharp': timm does not take the policy"),
        ("AUG.INTERPOLATION cubic", "AUG.INTERPOLATION is 'cubic': it must be one of random, nearest"),
        ("AUG.RE_PROB 1.5", "AUG.RE_PROB is 1.5: it must be a probability"),
        ("AUG.RE_MODE black", "AUG.RE_MODE is 'black': it must be one of pixel, rand, const"),
        ("AUG.RE_COUNT 0", "AUG.RE_COUNT is 0: it must be at least 1"),
        ("AUG.COLOR_JITTER -0.1", "AUG.COLOR_JITTER is -0.1: it must be 0 or more"),
        ("AUG.RE_SPLIT True", "AUG.RE_SPLIT is True: it leaves the first of the AUG.NUM_SAMPLE clips"),
    ],
)
def test_clips(tiny_cfg, overrides, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        tiny_cfg(*ON, *overrides.split())
    assert tiny_cfg(*ON, *overrides.split(), "TRAIN.ENABLE", "False")  # a test is not augmented
    assert tiny_cfg(*ON).AUG.ENABLE


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ("MIXUP.PROB -0.1", "MIXUP.PROB is -0.1: it must be a probability"),
        ("MIXUP.SWITCH_PROB 2", "MIXUP.SWITCH_PROB is 2.0: it must be a probability"),
        ("MIXUP.LABEL_SMOOTH_VALUE 1", "MIXUP.LABEL_SMOOTH_VALUE is 1.0: it must be 0 or more and less"),
        ("MIXUP.ALPHA -1", "MIXUP.ALPHA is -1.0: it must be 0 or more"),
        ("MIXUP.ALPHA 0 MIXUP.CUTMIX_ALPHA 0", "MIXUP.ALPHA and MIXUP.CUTMIX_ALPHA are both 0"),
        ("MODEL.LOSS_FUNC cross_entropy", "MODEL.LOSS_FUNC is 'cross_entropy': it must be one of soft_cross"),
        ("TRAIN.BATCH_SIZE 1", "TRAIN.BATCH_SIZE is 1: with AUG.NUM_SAMPLE 1 a process has 1 clips"),
        (
            "TRAIN.BATCH_SIZE 4 TEST.BATCH_SIZE 4 VTN.CPU_PROCESSES 4",
            "TRAIN.BATCH_SIZE is 4: with AUG.NUM_SAMPLE 1 a process",
        ),
    ],
)
def test_mixup(tiny_cfg, overrides, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        tiny_cfg(*MIXED, *overrides.split())
    assert tiny_cfg(*MIXED, *overrides.split(), "TRAIN.ENABLE", "False")
    assert tiny_cfg(*MIXED).MIXUP.ENABLE


def test_mixup_of_one_class(tiny_cfg):
    with pytest.raises(InputError, match=r"MODEL\.NUM_CLASSES is 1: it must be 2 or more to mix them"):
        tiny_cfg(*MIXED, "MODEL.NUM_CLASSES", "1")


def test_odd_batches_can_be_mixed_by_main_and_made_even_by_samples(tiny_cfg):
    odd = (*MIXED, "TRAIN.BATCH_SIZE", "3")
    with pytest.raises(InputError, match="TRAIN.BATCH_SIZE is 3: .* needs an even number"):
        tiny_cfg(*odd, "ENGINE", "own")
    assert tiny_cfg(*odd, "ENGINE", "own", "AUG.NUM_SAMPLE", "2").TRAIN.BATCH_SIZE == 3
    assert tiny_cfg(*odd, "ENGINE", "own", "MIXUP.PROB", "0").TRAIN.BATCH_SIZE == 3
    if get_host().has_loops():
        assert tiny_cfg(*odd).TRAIN.BATCH_SIZE == 3


@pytest.mark.parametrize("policy", ["rand-m7-n4-mstd0.5-inc1", "augmix-m3", "original", "3a", ""])
def test_policies_of_timm_are_taken(tiny_cfg, policy):
    assert policy == tiny_cfg(*ON, "AUG.AA_TYPE", policy).AUG.AA_TYPE
