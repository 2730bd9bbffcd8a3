"""Faults of the area `report`."""

from fault_lists import Fault

REPORT = "slowfast_ext/report"
TESTS = "tests/slowfast_ext/test_report.py"

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
        "an epoch that was run twice counts as it began",
        f"{REPORT}/curves.py",
        '(train if kind == "train_epoch" else val)[epoch] = stats',
        '(train if kind == "train_epoch" else val).setdefault(epoch, stats)',
        f"{TESTS}::test_read_curves_of_an_interrupted_run",
    ),
    Fault(
        "training curves come from single steps",
        f"{REPORT}/curves.py",
        'if kind in ("train_epoch", "val_epoch"):',
        'if kind in ("train_iter", "train_epoch", "val_epoch"):',
        f"{TESTS}::test_read_curves_of_an_interrupted_run",
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
