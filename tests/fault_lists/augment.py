"""Faults of the area `augment`: RandAugment, erasing, mixup, repeated augmentation."""

from fault_lists import Fault

AUGMENT = "slowfast_ext/video/augment.py"
DENSE = "slowfast_ext/data/dense.py"
MIXING = "slowfast_ext/engine/mixing.py"
DATASET = "slowfast_ext/data/dataset.py"
LOADER = "slowfast_ext/data/loader.py"
OF_CLIPS = "tests/slowfast_ext/video/test_augment.py"
OF_DATA = "tests/slowfast_ext/data/test_augmented.py"
OF_MIXING = "tests/slowfast_ext/engine/test_mixing.py"

FAULTS = [
    Fault(
        "each frame of a clip is augmented by a draw of its own",
        AUGMENT,
        "            with seeded(seed):\n                changed =",
        "            with seeded(seed + int(frame.float().sum()) + id(frame)):\n                changed =",
        f"{OF_CLIPS}::test_equal_frames_stay_equal_and_are_changed",
    ),
    Fault(
        "NumPy's generator is not given the clip's seed",
        AUGMENT,
        "        np.random.seed(seed)\n",
        "",
        f"{OF_CLIPS}::test_what_is_done_to_a_frame_depends_on_the_seed_alone",
    ),
    Fault(
        "drawing for a clip changes the numbers of all else",
        AUGMENT,
        "        generator.set_state(before[2])\n",
        "",
        f"{OF_CLIPS}::test_the_global_generators_go_on_as_if_nothing_had_been_drawn",
    ),
    Fault(
        "each frame is erased in a box of its own",
        AUGMENT,
        "                    erase(_Erased(clip))",
        "                    for frame in clip:\n                        erase(_Erased(frame[None]))",
        f"{OF_CLIPS}::test_one_box_is_erased_in_all_frames",
    ),
    Fault(
        "the same operations in every epoch",
        DATASET,
        "seed_of(Draw.OPERATIONS, self.cfg.RNG_SEED, self.epoch, video, sample)",
        "seed_of(Draw.OPERATIONS, self.cfg.RNG_SEED, video, sample)",
        f"{OF_DATA}::test_an_epoch_draws_anew_and_the_same_epoch_the_same",
    ),
    Fault(
        "all samples of a video are augmented alike",
        DATASET,
        "self.epoch, video, sample)",
        "self.epoch, video, 0)",
        f"{OF_DATA}::test_samples_of_a_video_are_augmented_differently",
    ),
    Fault(
        "validation is augmented",
        DATASET,
        '_augmentation(cfg) if mode == "train" else None',
        "_augmentation(cfg)",
        f"{OF_DATA}::test_switched_off_not_a_byte_changes",
    ),
    Fault(
        "all samples show the first one's frames",
        DATASET,
        "index + len(distinct) * torch.arange",
        "index + 0 * torch.arange",
        f"{OF_DATA}::test_samples_are_clips_of_one_decoding",
    ),
    Fault(
        "a batch holds as many clips as without samples",
        LOADER,
        "self.batch_size * self._num_samples",
        "self.batch_size",
        f"{OF_DATA}::test_a_failed_video_takes_all_its_samples_with_it",
    ),
    Fault(
        "erasing depends on the place in the batch",
        DENSE,
        "self._seed_of_clip(epoch, item, place % samples)",
        "self._seed_of_clip(epoch, item, place)",
        f"{OF_DATA}::test_erasing_depends_on_the_item_and_the_epoch_not_on_its_batch",
    ),
    Fault(
        "the second sample stays whole in place of the first",
        DENSE,
        "RE_SPLIT and not sample",
        "RE_SPLIT and sample",
        f"{OF_DATA}::test_the_first_sample_stays_whole_if_asked_for",
    ),
    Fault(
        "mixup and cutmix are mixed up",
        MIXING,
        "mixup_alpha=mixup.ALPHA,\n            cutmix_alpha=mixup.CUTMIX_ALPHA,",
        "mixup_alpha=mixup.CUTMIX_ALPHA,\n            cutmix_alpha=mixup.ALPHA,",
        f"{OF_MIXING}::test_cutmix_takes_one_box_of_all_frames",
    ),
    Fault(
        "every step of an epoch is mixed alike",
        MIXING,
        "self._cfg.RNG_SEED, epoch, iteration)",
        "self._cfg.RNG_SEED, epoch)",
        f"{OF_MIXING}::test_random_numbers_depend_on_seed_epoch_and_iteration_only",
    ),
    Fault(
        "clips are mixed before they are erased",
        MIXING,
        "if travelled and (self._mixes or erases(self._cfg)):",
        "if travelled and self._mixes:",
        f"{OF_MIXING}::test_erased_clips_are_mixed",
    ),
    Fault(
        "the other class of a mixed clip is wrong",
        MIXING,
        "logits[rows, greater] + logits[rows, lesser]",
        "logits[rows, greater]",
        f"{OF_MIXING}::test_errors_are_those_of_mains_training",
    ),
    Fault(
        "odd batches reach timm's mixup",
        "slowfast_ext/config_augment.py",
        "clips % 2 if uses_own_loops(cfg) else clips < 2",
        "clips < 2",
        "tests/slowfast_ext/test_config_augment.py",
    ),
    Fault(
        "the picture shows normalised numbers as pixels",
        "slowfast_ext/report/augmented.py",
        "clips[clip] * std + mean",
        "clips[clip]",
        "tests/slowfast_ext/test_show_augmentation.py::test_each_thing_has_its_row",
    ),
    Fault(
        "a GPU is waited for to fill an erased box",
        AUGMENT,
        "filling.to(device, non_blocking=True)",
        "filling.to(device)",
        "tests/slowfast_ext/engine/test_no_waiting.py -k mixing_and_erasing",
    ),
    Fault(
        "what fills an erased box is not in pinned memory",
        AUGMENT,
        "filling = filling.pin_memory()",
        "pass",
        "tests/slowfast_ext/engine/test_no_waiting.py -k mixing_and_erasing",
    ),
    Fault(
        "what fills an erased box is drawn on the device",
        AUGMENT,
        'RandomErasing(**self._options, device="cpu")',
        "RandomErasing(**self._options, device=clips.device)",
        "tests/slowfast_ext/engine/test_no_waiting.py -k mixing_and_erasing",
    ),
]
