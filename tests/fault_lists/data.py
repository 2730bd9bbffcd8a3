"""Faults of the area `data`: the data set, and reading video beneath it."""

from fault_lists import Fault

DATASET = "slowfast_ext/data/dataset.py"
TRANSFORMS = "slowfast_ext/video/transforms.py"
SAMPLING = "slowfast_ext/video/sampling.py"
FRAMES = "slowfast_ext/data/frames.py"
LIST = "slowfast_ext/data/video_list.py"
LEDGER = "slowfast_ext/data/ledger.py"
SUPERVISOR = "slowfast_ext/data/supervisor.py"
TESTS = "tests/slowfast_ext/data"
OF_VIDEO = "tests/slowfast_ext/video"

SKIPPING = f"{OF_VIDEO}/test_skipping.py"
READER = "slowfast_ext/video/reader.py"

FAULTS = [
    Fault(
        "what a repair found out is forgotten",
        READER,
        "self.info = repair_video(self.video, self.info)",
        "repair_video(self.video, self.info)",
        f"{OF_VIDEO}/test_reader.py",
    ),
    Fault(
        "a file object is read from where it stands",
        "slowfast_ext/video/file.py",
        "        self._video.seek(0)\n        return self._video\n",
        "        return self._video\n",
        f"{OF_VIDEO}/test_file_objects.py",
    ),
    Fault(
        "the boxes of an MP4 are gone through at every opening",
        "slowfast_ext/video/file.py",
        "    @cached_property\n    def boxes",
        "    @property\n    def boxes",
        f"{OF_VIDEO}/test_file_objects.py",
    ),
    Fault(
        "a damaged video is not read again",
        READER,
        "            self._repair()\n            return work()\n",
        "            raise\n",
        f"{OF_VIDEO}/test_reader.py",
    ),
    Fault(
        "frames of HEVC that are marked as no reference are left out",
        "slowfast_ext/video/decoding.py",
        "can_skip = context.name in _FORMATS_WITH_TRUE_NON_REFERENCES",
        "can_skip = True",
        SKIPPING,
    ),
    Fault(
        "the second field of a frame is left out",
        "slowfast_ext/video/decoding.py",
        '"DEFAULT" if wanted or just_fed else "NONREF"',
        '"DEFAULT" if wanted else "NONREF"',
        SKIPPING,
    ),
    Fault(
        "a seek that leads too far is followed",
        "slowfast_ext/video/decoding.py",
        " and first.pts <= first_pts:",
        ":",
        SKIPPING,
    ),
    Fault(
        "TEST_CROP_SIZE ignored",
        DATASET,
        'cfg.DATA.TEST_CROP_SIZE if mode == "test" else cfg.DATA.TRAIN_CROP_SIZE',
        "cfg.DATA.TRAIN_CROP_SIZE",
        f"{TESTS}/test_dataset.py::test_multi_view",
    ),
    Fault(
        "validation crops as the test does",
        DATASET,
        'cfg.DATA.TEST_CROP_SIZE if mode == "test"',
        'cfg.DATA.TEST_CROP_SIZE if mode != "train"',
        f"{TESTS}/test_dataset.py::test_val_is_the_centre_clip",
    ),
    Fault(
        "evaluation scales to the largest of TRAIN_JITTER_SCALES",
        DATASET,
        "short_side=data.TRAIN_JITTER_SCALES[0]",
        "short_side=data.TRAIN_JITTER_SCALES[1]",
        f"{TESTS}/test_dataset.py::test_multi_view",
    ),
    Fault(
        "pixel aspect ignored",
        DATASET,
        "picture.shape[1] * reader.info.pixel_aspect",
        "picture.shape[1]",
        f"{TESTS}/test_dataset.py::test_pixels_that_are_not_square_are_shown_as_wide_as_they_are",
    ),
    Fault(
        "pixel aspect turned over",
        DATASET,
        "picture.shape[1] * reader.info.pixel_aspect",
        "picture.shape[1] / reader.info.pixel_aspect",
        f"{TESTS}/test_dataset.py::test_pixels_that_are_not_square_are_shown_as_wide_as_they_are",
    ),
    Fault(
        "clips and crops of a view mixed up",
        DATASET,
        "clip_index, position_index = divmod(view, len(self._positions))",
        "position_index, clip_index = divmod(view, len(self._starts))",
        f"{TESTS}/test_dataset.py::test_multi_view",
    ),
    Fault(
        "every epoch draws the same clips",
        DATASET,
        "[self.cfg.RNG_SEED, self.epoch, video]",
        "[self.cfg.RNG_SEED, video]",
        f"{TESTS}/test_dataset.py::test_train_augmentation",
    ),
    Fault(
        "a failed video counts as used",
        DATASET,
        "encode_outcome(FAILED, str(error))",
        "encode_outcome(USED, str(error))",
        f"{TESTS}/test_dataset.py::test_an_unreadable_video_says_so_and_is_not_replaced",
    ),
    Fault(
        "the next video is shown with the frames of the last",
        DATASET,
        "if self._last_decoded is not None and self._last_decoded[0] == video:",
        "if self._last_decoded is not None:",
        f"{TESTS}/test_dataset.py::test_multi_view",
    ),
    Fault(
        "RANDOM_FLIP ignored",
        TRANSFORMS,
        "bool(rng.random() < 0.5) and flip",
        "bool(rng.random() < 0.5)",
        f"{OF_VIDEO}/test_transforms.py",
    ),
    Fault(
        "the last column is never cropped",
        TRANSFORMS,
        "left = int(rng.integers(width - crop_size, endpoint=True))",
        "left = int(rng.integers(max(width - crop_size, 1)))",
        f"{OF_VIDEO}/test_transforms.py",
    ),
    Fault(
        "left and right crop swapped",
        TRANSFORMS,
        "(0, left, width - crop_size)[position]",
        "(width - crop_size, left, 0)[position]",
        f"{OF_VIDEO}/test_transforms.py",
    ),
    Fault(
        "mirrored top to bottom",
        TRANSFORMS,
        "return square.flip(2) if view.flip else square\n\n\ndef take_view",
        "return square.flip(1) if view.flip else square\n\n\ndef take_view",
        f"{OF_VIDEO}/test_transforms.py",
    ),
    Fault(
        "a clip's length ignores the video's frame rate",
        SAMPLING,
        "span = max(footprint * video_fps, 1.0)",
        "span = max(footprint * target_fps, 1.0)",
        f"{OF_VIDEO}/test_sampling.py",
    ),
    Fault(
        "the full video leaves out its last frame",
        SAMPLING,
        "* (num_video_frames - 1) // max(num_frames - 1, 1)",
        "* num_video_frames // num_frames",
        f"{OF_VIDEO}/test_sampling.py",
    ),
    Fault(
        "the slow pathway rounds down",
        SAMPLING,
        "math.ceil(num_frames / alpha)",
        "num_frames // alpha",
        f"{OF_VIDEO}/test_sampling.py {TESTS}/test_dataset.py::test_full_video_slow_pathway_rounds_up",
    ),
    Fault(
        "bytes are not scaled to [0, 1]",
        TRANSFORMS,
        "pixels.float().div_(255).sub_",
        "pixels.float().sub_",
        f"{TESTS}/test_frames.py",
    ),
    Fault(
        "a batch's clips all show the first one's frames",
        FRAMES,
        "index.append(frames.index + before)",
        "index.append(frames.index)",
        f"{TESTS}/test_frames.py",
    ),
    Fault(
        "a path with a space is split at the first one",
        LIST,
        "row.strip().rpartition(separator)",
        "row.strip().partition(separator)",
        f"{TESTS}/test_video_list.py",
    ),
    Fault(
        "a label equal to the number of classes passes",
        LIST,
        "int(label) >= num_classes:",
        "int(label) > num_classes:",
        f"{TESTS}/test_video_list.py",
    ),
    Fault(
        "a process that died is not given a second chance",
        SUPERVISOR,
        "_DEATHS = 2",
        "_DEATHS = 1",
        f"{TESTS}/test_tasks.py::test_one_that_died_gets_another_attempt",
    ),
    Fault(
        "Ctrl-C reaches a process that is half started",
        SUPERVISOR,
        "with interrupts_wait():",
        "with contextlib.nullcontext():",
        f"{TESTS}/test_tasks.py::test_an_interruption_waits_until_the_processes_have_started",
    ),
    Fault(
        "a task that hangs is noticed only when all others are done",
        SUPERVISOR,
        "                culprits += _find_culprits(watched, workers, timeout)\n    finally",
        "                pass\n    finally",
        f"{TESTS}/test_tasks.py::test_one_that_hangs_is_given_up_while_others_are_done",
    ),
    Fault(
        "a process that ended at no task ends the work",
        SUPERVISOR,
        "                    if loader.in_order and not dead:\n                        raise\n",
        "                    raise\n",
        f"{TESTS}/test_tasks.py::test_a_process_that_somebody_ends_between_tasks_costs_nothing",
    ),
    Fault(
        "a worker that was at no item ends the run when it is killed",
        SUPERVISOR,
        "if loader.in_order and not dead:",
        "if loader.in_order:",
        f"{TESTS}/test_loader.py -k idle",
    ),
    Fault(
        "a task waits behind a long one",
        "slowfast_ext/data/tasks.py",
        "prefetch_factor=1,",
        "prefetch_factor=4,",
        f"{TESTS}/test_tasks.py::test_no_task_waits_behind_a_long_one",
    ),
    Fault(
        "failed videos do not lower the bound of an accuracy",
        "slowfast_ext/host/metrics.py",
        "return 100.0 * correct / total,",
        "return 100.0 * correct / scored,",
        f"{TESTS}/test_ledger.py",
    ),
    Fault(
        "a hint for clips that fit most videos",
        "slowfast_ext/data/short_videos.py",
        "2 * self._short > self._seen",
        "self._short",
        "tests/slowfast_ext/data/test_short_videos.py -k where_clips_fit",
    ),
    Fault(
        "pictures that come too slowly count as the end of a video",
        "slowfast_ext/data/short_videos.py",
        " & ~same[:, 0]",
        "",
        "tests/slowfast_ext/data/test_short_videos.py -k where_clips_fit",
    ),
    Fault(
        "a run without its lists makes a folder",
        "slowfast_ext/run_net.py",
        "        require_lists(cfg)\n",
        "",
        "tests/slowfast_ext/data/test_short_videos.py -k makes_no_folder",
    ),
]
