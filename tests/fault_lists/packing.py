"""Faults of the area `packing`."""

from fault_lists import Fault

PACKING = "slowfast_ext/data/packing.py"
TESTS = "tests/slowfast_ext/data/test_packing.py"

FAULTS = [
    Fault(
        "mean and std swapped for I3D and SlowFast",
        PACKING,
        "clips(cfg.DATA.MEAN, cfg.DATA.STD)",
        "clips(cfg.DATA.STD, cfg.DATA.MEAN)",
        f"{TESTS}::test_a_single_pathway_gets_the_normalised_clips",
    ),
    Fault(
        "slow and fast pathway swapped",
        PACKING,
        "return [torch.stack(slow, dim=-3), clip]",
        "return [clip, torch.stack(slow, dim=-3)]",
        f"{TESTS}::test_two_pathways_get_the_normalised_clips_and_some_of_their_frames",
    ),
    Fault(
        "the slow pathway takes the first frames",
        PACKING,
        "torch.stack(slow, dim=-3)",
        "clip[..., : len(slow), :, :]",
        f"{TESTS}::test_two_pathways_get_the_normalised_clips_and_some_of_their_frames",
    ),
    Fault(
        "a model that takes frames gets tensors",
        PACKING,
        'if not getattr(model, "takes_frames", False):',
        "if True:",
        f"{TESTS}::test_a_model_that_takes_frames_gets_them",
    ),
    Fault(
        "other arguments of a model are dropped",
        PACKING,
        "cfg.DATA.STD)), *rest)",
        "cfg.DATA.STD)),)",
        f"{TESTS}::test_a_single_pathway_gets_the_normalised_clips",
    ),
]
