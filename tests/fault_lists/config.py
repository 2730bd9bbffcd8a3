"""Faults of the area `config`."""

from fault_lists import Fault

CONFIG = "slowfast_ext/config.py"
CHECK = "slowfast_ext/config_check.py"
TESTS = "tests/slowfast_ext/test_config.py"

FAULTS = [
    Fault(
        "True becomes 1.0",
        CONFIG,
        "isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool)",
        "isinstance(default, float) and isinstance(value, int)",
        f"{TESTS}::test_bad_value_is_named -k True",
    ),
    Fault(
        "True becomes [True]",
        CONFIG,
        "        if isinstance(value, int) and not isinstance(value, bool):\n",
        "        if isinstance(value, int):\n",
        f"{TESTS}::test_bad_value_is_named -k True",
    ),
    Fault(
        "True becomes a name",
        CONFIG,
        "isinstance(value, (int, float)) and not isinstance(value, bool)",
        "isinstance(value, (int, float))",
        f"{TESTS}::test_bad_value_is_named -k True",
    ),
    Fault(
        "the file goes over the command line",
        CONFIG,
        '    _merge(cfg, file, source=str(path))\n    _merge(cfg, command_line, source="the command line")\n',
        '    _merge(cfg, command_line, source="the command line")\n    _merge(cfg, file, source=str(path))\n',
        f"{TESTS}::test_values_are_given_the_type_of_the_key",
    ),
    Fault(
        "DATA.MEAN of the user is replaced by the backbone's",
        CONFIG,
        "        if key not in given:\n",
        "        if True:\n",
        "tests/slowfast_ext/test_protocols.py",
    ),
    Fault(
        "an unknown key is made",
        CONFIG,
        "            if key not in node:\n",
        "            if key not in node and False:\n",
        f"{TESTS}::test_bad_value_is_named -k ATENTION",
    ),
    Fault(
        "a batch may be no multiple of the processes",
        CHECK,
        "size > 0 and size % workers == 0",
        "size > 0",
        f"{TESTS}::test_bad_value_is_named -k BATCH_SIZE",
    ),
    Fault(
        "an odd window passes",
        "projects/vtn/window_attention.py",
        "    if attention_window % 2:\n",
        "    if False:\n",
        f"{TESTS}::test_bad_value_is_named -k ATTENTION_WINDOW",
    ),
    Fault(
        "several views of the full video pass",
        CHECK,
        "_require(views == 1,",
        "_require(views >= 1,",
        f"{TESTS}::test_bad_value_is_named -k NUM_ENSEMBLE_VIEWS",
    ),
    Fault(
        "a window wider than the table of positions passes",
        "projects/vtn/positions.py",
        "if widest > frame_rows:",
        "if widest > frame_rows + 20:",
        f"{TESTS}::test_bad_value_is_named -k ATTENTION_WINDOW",
    ),
    Fault(
        "what the model says of its arguments is not said of keys",
        CHECK,
        "    with said_in_keys():\n",
        "    if True:\n",
        f"{TESTS}::test_bad_value_is_named -k HEADS",
    ),
    Fault(
        "a checkpoint's recipe leaves the sizes to whoever reads it",
        "slowfast_ext/recipe.py",
        " | chosen",
        "",
        f"{TESTS}::test_another_backbone_takes_one_key",
    ),
]
