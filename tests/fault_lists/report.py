"""Faults of the area `report`."""

from fault_lists import Fault

REPORT = "slowfast_ext/report"
TESTS = "tests/slowfast_ext/test_report.py"
TESTS_OF_CLASSES = "tests/slowfast_ext/test_classes.py"
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
        "axes.plot(point.cost, point.top1, ",
        "axes.plot(point.top1, point.cost, ",
        f"{TESTS}::test_scatter_places_points",
    ),
    Fault(
        "names of points lie on each other",
        f"{REPORT}/scatter.py",
        "if inside and not box.count_overlaps(taken):",
        "if inside:",
        f"{TESTS}::test_names_in_a_scatter_do_not_overlap",
    ),
    Fault(
        "the confusions are turned over",
        f"{REPORT}/classes.py",
        "labels * num_classes + predicted",
        "predicted * num_classes + labels",
        f"{TESTS_OF_CLASSES}::test_confusions_by_hand",
    ),
    Fault(
        "a class without a video has 0 %",
        f"{REPORT}/classes.py",
        "np.maximum(videos, 1), np.nan)",
        "np.maximum(videos, 1), 0.0)",
        f"{TESTS_OF_CLASSES}::test_confusions_by_hand",
    ),
    Fault(
        "the mean over classes is that over videos",
        f"{REPORT}/classes.py",
        "float(known.mean()) if known.size",
        "float(100 * np.trace(matrix) / matrix.sum()) if known.size",
        f"{TESTS_OF_CLASSES}::test_confusions_by_hand",
    ),
    Fault(
        "of many classes the best are drawn",
        f"{REPORT}/class_pictures.py",
        "lowest - highest if compared else lowest))",
        "highest - lowest if compared else -lowest))",
        f"{TESTS_OF_CLASSES}::test_of_many_classes_those_that_tell_most_are_drawn",
    ),
    Fault(
        "the map of confusions is turned over",
        f"{REPORT}/class_pictures.py",
        "axes.imshow(_shares(matrix), ",
        "axes.imshow(_shares(matrix).T, ",
        f"{TESTS_OF_CLASSES}::test_the_map_shows_the_true_class_down_and_the_predicted_across",
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
