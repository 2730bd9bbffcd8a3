"""Faults of the area `compare`."""

from fault_lists import Fault

COMPARE = "slowfast_ext/compare"
TESTS = "tests/slowfast_ext/compare"

FAULTS = [
    Fault(
        "a changed list leaves a finished row as it was",
        f"{COMPARE}/contenders.py",
        '    return decides | {f"{split}.csv": digest(list_file(contender, split)) for split in splits}\n',
        "    return decides\n",
        f"{TESTS}/test_contenders.py::test_what_decides",
    ),
    Fault(
        "a test key makes a training anew",
        f"{COMPARE}/contenders.py",
        "        cfg.TEST = CfgNode()\n",
        "        pass\n",
        f"{TESTS}/test_contenders.py::test_what_decides",
    ),
    Fault(
        "a checkpoint of other classes is found out in the test",
        f"{COMPARE}/contenders.py",
        "        if here[0] == classes and there[1:] == here[1:]:\n",
        "        if False:\n",
        f"{TESTS}/test_contenders.py::test_a_checkpoint_of_other_classes_or_of_another_model",
    ),
    Fault(
        "an earlier training is deleted",
        f"{COMPARE}/steps.py",
        "    if not step.keeps:\n",
        "    if True:\n",
        f"{TESTS}/test_steps.py::test_a_step_is_done_anew_if_what_it_depends_on_has_changed",
    ),
    Fault(
        "a command outlives the comparison that was killed",
        f"{COMPARE}/steps.py",
        "    end_with(parent)\n",
        "",
        f"{TESTS}/test_steps.py::test_a_killed_comparison_leaves_no_process",
    ),
    Fault(
        "only the last attempt's time counts",
        f"{COMPARE}/steps.py",
        'self._before, self._started, self._written = record["seconds"],',
        "self._before, self._started, self._written = 0.0,",
        f"{TESTS}/test_steps.py::test_an_interrupted_step_keeps_its_time_and_is_not_finished",
    ),
    Fault(
        "videos that were not scored count as wrong",
        f"{COMPARE}/rows.py",
        '        scored = saved["scored"]\n',
        "        scored = slice(None)\n",
        f"{TESTS}/test_rows.py::test_a_row_of_a_test",
    ),
    Fault(
        "a ratio is upside down",
        f"{COMPARE}/ratios.py",
        "    return baseline / vtn if",
        "    return vtn / baseline if",
        f"{TESTS}/test_rows.py::test_our_ratios",
    ),
    Fault(
        "a step that was finished earlier counts as fast work",
        f"{COMPARE}/progress.py",
        "        self._done += estimate\n",
        "        self._done += estimate\n        self._worked += estimate\n",
        f"{TESTS}/test_progress.py::test_what_is_left_follows_from_the_steps_so_far",
    ),
]
