"""Faults of the area `report`."""

from fault_lists import Fault

REPORT = "slowfast_ext/report"
TESTS = "tests/slowfast_ext/test_report.py"
TESTS_OF_CURVES = "tests/slowfast_ext/test_curves.py"

FAULTS = [
    Fault(
        "a table is not written whole or not at all",
        "slowfast_ext/files.py",
        '        part.write_text(text, encoding="utf-8")\n        part.replace(path)\n',
        '        path.write_text(text, encoding="utf-8")\n',
        f"{TESTS}::test_a_table_is_written_whole_or_not_at_all",
    ),
    Fault(
        "a table that could not be written leaves a part behind",
        "slowfast_ext/files.py",
        "part.unlink()",
        "pass",
        f"{TESTS}::test_a_table_is_written_whole_or_not_at_all",
    ),
    Fault(
        "a bar in a cell makes a column",
        f"{REPORT}/tables.py",
        'value.replace("|", "\\\\|")',
        "value",
        f"{TESTS}::test_markdown",
    ),
    Fault(
        "a validation counts for the epoch that was run again",
        f"{REPORT}/curves.py",
        "            _forget(val, epoch)\n",
        "            pass\n",
        f"{TESTS_OF_CURVES}::test_the_epochs_that_training_went_back_over_are_forgotten",
    ),
    Fault(
        "curves come from single steps too",
        f"{REPORT}/curves.py",
        'in ("train_epoch", "val_epoch"):',
        'in ("train_iter", "train_epoch", "val_epoch"):',
        f"{TESTS_OF_CURVES}::test_wall_time_of_an_interrupted_run",
    ),
    Fault(
        "epochs that were given up stay in the curve",
        f"{REPORT}/curves.py",
        "number >= epoch]",
        "number == epoch]",
        f"{TESTS_OF_CURVES}::test_the_epochs_that_training_went_back_over_are_forgotten",
    ),
    Fault(
        "a continued run begins at second 0",
        f"{REPORT}/curves.py",
        "            before += last\n",
        "            pass\n",
        f"{TESTS_OF_CURVES}::test_wall_time_of_an_interrupted_run",
    ),
    Fault(
        "a process is only new if its clock goes back",
        f"{REPORT}/curves.py",
        'stats["run_seconds"] - took < last',
        'stats["run_seconds"] < last',
        f"{TESTS_OF_CURVES}::test_wall_time_of_an_interrupted_run",
    ),
    Fault(
        "the best epoch is the last that reached the best score",
        f"{REPORT}/curves.py",
        "key=lambda i: curves.val_top1[i], default",
        "key=lambda i: (curves.val_top1[i], i), default",
        f"{TESTS_OF_CURVES}::test_summary",
    ),
    Fault(
        "curves by wall time are drawn by epoch",
        f"{REPORT}/curves.py",
        "    if unit_seconds is None:\n        train_at",
        "    if True:\n        train_at",
        f"{TESTS_OF_CURVES}::test_by_wall_time_the_slower_run_is_the_longer",
    ),
    Fault(
        "the scatter's axes are swapped",
        f"{REPORT}/scatter.py",
        "                point.gflops,\n                point.top1,\n",
        "                point.top1,\n                point.gflops,\n",
        f"{TESTS}::test_scatter_places_points",
    ),
    Fault(
        "the share of attention is taken of all frames but the marked",
        f"{REPORT}/attention.py",
        "weights[inside].sum() / weights.sum()",
        "weights[~inside].sum() / weights.sum()",
        f"{TESTS}::test_attention_inside",
    ),
    Fault(
        "the attention bar shows the pictures only",
        f"{REPORT}/attention.py",
        "        strip.weights[None] / strip.weights.max(),\n",
        "        strip.weights[strip.frame_indices][None] * 0,\n",
        f"{TESTS}::test_strip_is_warm_where_the_weights_are",
    ),
    Fault(
        "an empty cell of a CSV says None",
        "slowfast_ext/files.py",
        "    writer.writerows(rows)\n",
        "    writer.writerows([{k: str(v) for k, v in row.items()} for row in rows])\n",
        f"{TESTS}::test_csv_keeps_all_digits",
    ),
]
