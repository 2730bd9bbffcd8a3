"""Faults of the area `prepare`."""

from fault_lists import Fault

PREPARE = "slowfast_ext/prepare"
TESTS = "tests/slowfast_ext/prepare"

FAULTS = [
    Fault(
        "a class is left without training videos",
        f"{PREPARE}/folders.py",
        "if num_test + num_val >= len(files)",
        "if num_test + num_val > len(files)",
        f"{TESTS}/test_split_plans.py::test_folders_are_split_by_a_hash",
    ),
    Fault(
        "a small class gets no validation video",
        f"{PREPARE}/folders.py",
        "max(1, round(count * fraction))",
        "round(count * fraction)",
        f"{TESTS}/test_split_plans.py::test_folders_are_split_by_a_hash",
    ),
    Fault(
        "videos are split in the order of their names",
        f"{PREPARE}/folders.py",
        'hashlib.sha256(file.encode("utf-8", "surrogateescape")).digest()',
        "file",
        f"{TESTS}/test_split_plans.py::test_folders_are_split_by_a_hash",
    ),
    Fault(
        "copies of another size count as done",
        f"{PREPARE}/run.py",
        'settings={"command": "prepare_dataset", **settings.work.settings},',
        'settings={"command": "prepare_dataset"},',
        f"{TESTS}/test_prepare_job.py -k another_job",
    ),
    Fault(
        "a copy that is gone counts as done",
        f"{PREPARE}/many.py",
        "        except OSError:\n            return False\n",
        "        except OSError:\n            return True\n",
        f"{TESTS}/test_prepare_job.py -k not_done_again",
    ),
    Fault(
        "the copy of a file counts wherever it is",
        f"{PREPARE}/many.py",
        'return (copy, entry["copy_bytes"]) == (self._copies.name(path), found)',
        'return entry["copy_bytes"] == found',
        f"{TESTS}/test_prepare_job.py -k other_originals",
    ),
    Fault(
        "lists stay when the annotations have changed",
        f"{PREPARE}/many.py",
        "        return False\n\n    def is_sound",
        "        return self.path.exists()\n\n    def is_sound",
        f"{TESTS}/test_prepare_job.py -k written_anew",
    ),
    Fault(
        "parts of copies of processes that were killed stay",
        f"{PREPARE}/copies.py",
        "                if _is_left(part):\n",
        "                if False:\n",
        f"{TESTS}/test_prepare_job.py -k kills_its_reader",
    ),
    Fault(
        "times of a Kinetics name are rounded",
        f"{PREPARE}/kinetics.py",
        "(int(time) for time in self.times)",
        "(round(time) for time in self.times)",
        f"{TESTS}/test_plans.py::test_kinetics_splits_missing_videos_and_lists_without_classes",
    ),
    Fault(
        "the file of another class is taken",
        f"{PREPARE}/find.py",
        "best = max(map(fit, candidates))",
        "best = fit(candidates[0])",
        f"{TESTS}/test_plans.py::test_kinetics_prefers_the_folder_of_class_and_split",
    ),
    Fault(
        "videos from a Mac's hidden copies are listed",
        f"{PREPARE}/find.py",
        'if name.startswith("."):',
        "if False:",
        f"{TESTS}/test_split_plans.py::test_folders_with_splits",
    ),
    Fault(
        "full verification reads packets only",
        f"{PREPARE}/process.py",
        'if work.verify == "full":',
        'if work.verify == "all":',
        f"{TESTS}/test_run.py::test_full_verification_finds_what_quick_does_not",
    ),
    Fault(
        "small videos are enlarged",
        f"{PREPARE}/reencode.py",
        "scale = min(1.0, short_side / min(width, height))",
        "scale = short_side / min(width, height)",
        f"{TESTS}/test_reencode.py",
    ),
    Fault(
        "a copy has a keyframe at its start only",
        f"{PREPARE}/reencode.py",
        "_KEYFRAME_SECONDS = 1\n",
        "_KEYFRAME_SECONDS = 1000\n",
        f"{TESTS}/test_reencode.py",
    ),
    Fault(
        "a list that an earlier run left stays",
        f"{PREPARE}/lists.py",
        '(out / f"{split}.csv").unlink(missing_ok=True)',
        "pass",
        f"{TESTS}/test_run.py::test_repeated_files_are_counted",
    ),
    Fault(
        "the class of a video with segments is that of the first",
        f"{PREPARE}/segments.py",
        "label = main_class(found.segments)",
        "label = found.segments[0].label",
        f"{TESTS}/test_segment_plans.py::test_activitynet",
    ),
    Fault(
        "a video that is shorter than its segments is listed",
        f"{PREPARE}/lists.py",
        "if late is not None and not outcome.missing:",
        "if False:",
        f"{TESTS}/test_segment_plans.py -k from_the_command",
    ),
    Fault(
        "a bad annotation of segments is left out unasked",
        f"{PREPARE}/segments.py",
        "if problems and not leave_out_bad:",
        "if False:",
        f"{TESTS}/test_segment_plans.py -k named",
    ),
]
