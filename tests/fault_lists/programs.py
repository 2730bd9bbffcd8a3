"""Faults of the area `programs`: what tools/export.py writes for other programs."""

from fault_lists import Fault

_CHECK = "slowfast_ext/programs/check.py"
_FILES = "slowfast_ext/files.py"
_WINDOW = "projects/vtn/window_attention.py"
_TEMPORAL = "projects/vtn/temporal_program.py"
_TESTS = "tests/slowfast_ext/programs/test_programs.py"
_GRAPH = "tests/projects/vtn/test_temporal_program.py"
_CONSUMER = "tests/slowfast_ext/programs/test_consumer.py"

FAULTS = [
    Fault(
        "a program that answers otherwise is kept",
        _CHECK,
        "        if not difference <= TOLERANCE:",
        "        if difference > 10:",
        f"{_TESTS} -k is_not_kept",
    ),
    Fault(
        "a program that answers with no numbers is kept",
        _CHECK,
        "        if not difference <= TOLERANCE:",
        "        if difference > TOLERANCE:",
        f"{_TESTS} -k answer_that_is_none",
    ),
    Fault(
        "an exported frame sees one frame less on each side",
        _WINDOW,
        ".abs() <= reach",
        ".abs() < reach",
        f"{_GRAPH} -k neighbours_once",
    ),
    Fault(
        "the last frame is seen twice",
        _WINDOW,
        "(frames < num_frames)",
        "(frames <= num_frames)",
        "tests/projects/vtn/test_window_attention.py",
    ),
    Fault(
        "a trace of long videos takes no short ones",
        _TEMPORAL,
        "(num_frames - 1) // block + 2",
        "(num_frames - 1) // block + 1",
        f"{_GRAPH} -k one_trace",
    ),
    Fault(
        "uniform attention is exported as learned",
        _TEMPORAL,
        "    if attention.uniform:\n",
        "    if False:\n",
        f"{_GRAPH} -k what_classify_gives",
    ),
    Fault(
        "an export removes what else is in its folder",
        _FILES,
        "if others := [name for name in before if name not in may_hold]:",
        "if others := []:",
        f"{_TESTS} -k nothing_else_is",
    ),
    Fault(
        "an export that fails takes what was there with it",
        _FILES,
        "        yield part\n        if before:\n            path.rename(old)\n",
        "        shutil.rmtree(path, ignore_errors=True)\n        yield part\n",
        f"{_TESTS} -k is_not_kept",
    ),
    Fault(
        "exported files hold paths of the machine that wrote them",
        "slowfast_ext/programs/forms.py",
        "            del described.metadata_props[:]  # files of this machine\n",
        "            pass\n",
        f"{_TESTS} -k path_of_this_machine",
    ),
    Fault(
        "the page's code takes blue for red",
        "docs/export.md",
        'format="rgb24"',
        'format="bgr24"',
        _CONSUMER,
        slow=True,
    ),
    Fault(
        "the page's code gives its frames the numbers of their places",
        "docs/export.md",
        "wanted[None]}",
        "np.arange(count)[None]}",
        _CONSUMER,
        slow=True,
    ),
]
