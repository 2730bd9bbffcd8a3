"""Faults of the area `config`."""

from fault_lists import Fault

CONFIG = "slowfast_ext/config.py"
CHECK = "slowfast_ext/config_check.py"
LIMITS = "slowfast_ext/config_limits.py"
ADAPT = "slowfast_ext/config_adapt.py"
TESTS = "tests/slowfast_ext/test_config.py"
FILES = "slowfast_ext/config_files.py"
FILES_TESTS = "tests/slowfast_ext/test_config_files.py"
PACKAGE_TESTS = "tests/test_package.py"
ADAPT_TESTS = "tests/slowfast_ext/test_config_adapt.py"

FAULTS = [
    Fault(
        "a key of the command line is switched off",
        ADAPT,
        " if key not in given}",
        "}",
        f"{ADAPT_TESTS} -k named",
        main=True,
    ),
    Fault(
        "a data set that is ours is replaced",
        ADAPT,
        "value_of(cfg, key) not in OWN_DATASETS",
        "True",
        f"{ADAPT_TESTS} -k our_own",
    ),
    Fault(
        "the GPUs that a file asks for are taken as given",
        ADAPT,
        "gpus < cfg.NUM_GPUS",
        "False",
        f"{ADAPT_TESTS} -k more_gpus",
    ),
    Fault(
        "detection is switched off",
        LIMITS,
        " if key not in _NEVER_SWITCHED_OFF}",
        "}",
        f"{ADAPT_TESTS} -k another_model",
        main=True,
    ),
    Fault(
        "the loss stays that of mixed labels",
        LIMITS,
        'cfg.MODEL.LOSS_FUNC == "soft_cross_entropy"',
        "False",
        f"{ADAPT_TESTS} -k takes_its_loss",
        main=True,
    ),
    Fault(
        "mixup of two pathways is switched off in our loops",
        LIMITS,
        "has_pathways and ours != uses_own_loops(cfg)",
        "has_pathways",
        f"{ADAPT_TESTS} -k takes_its_loss",
        main=True,
    ),
    Fault(
        "MViT is given a full video",
        CHECK,
        "cfg.TRAIN.EVAL_FULL_VIDEO and cfg.TRAIN.EVAL_NUM_FRAMES != data.NUM_FRAMES",
        "False",
        "tests/slowfast_ext/host/test_mains_configurations.py -k refuses",
        main=True,
    ),
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
        '    _merge(cfg, file, source=source)\n    _merge(cfg, command_line, source="the command line")\n',
        '    _merge(cfg, command_line, source="the command line")\n    _merge(cfg, file, source=source)\n',
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
    Fault(
        "the wheel has no configurations",
        "setup.py",
        '    package_data={"slowfast_ext.configs": ["*/*.yaml"]},\n',
        "",
        f"{PACKAGE_TESTS} -k every_module",
    ),
    Fault(
        "what pip installs looks for configurations in the checkout",
        FILES,
        '(_HERE / "configs", _HERE.parent / "configs")',
        '(_HERE.parent / "configs",)',
        f"{PACKAGE_TESTS} -k own_videos",
        slow=True,
    ),
    Fault(
        "a file in the working folder is passed over",
        FILES,
        "    if os.path.isfile(name):\n        return Path(name)\n",
        "",
        f"{FILES_TESTS} -k working_folder",
    ),
    Fault(
        "a base of the project hides the one beside the file",
        FILES,
        "    if os.path.isfile(path):\n        return Path(path)\n",
        "",
        f"{FILES_TESTS} -k based_on_one",
    ),
    Fault(
        "a misspelt name without its folder is not recognized",
        FILES,
        "        likely += [name for name in names if ends[name] == end]\n",
        "        pass\n",
        f"{FILES_TESTS} -k misspelt",
    ),
    Fault(
        "messages name a file of tools/ that only a checkout has",
        "slowfast_ext/typed.py",
        'script.suffix == ".py" and script.resolve().parent == _TOOLS',
        'script.suffix == ".py"',
        f"{FILES_TESTS} -k as_it_was_started",
    ),
]
