"""The demonstration from end to end: make a data set, compare four models on it, look where VTN looked.

It can be stopped and started again at any point.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from slowfast_ext.compare.command import compare_models
from slowfast_ext.compare.rows import OK, ResultRow
from slowfast_ext.compare.run import Comparison
from slowfast_ext.config_files import CONFIGS
from slowfast_ext.demo.attention import look_at_validation_videos
from slowfast_ext.demo.dataset import DatasetSettings, make_dataset
from slowfast_ext.files import write_text
from slowfast_ext.report.attention import plot_strips
from slowfast_ext.report.page import Picture, Section
from slowfast_ext.typed import as_typed

MODELS = ("VTN", "I3D", "I3D_NLN", "SlowFast")
_NEXT = (
    "--cfg configs/Kinetics/VTN_ViT_B.yaml DATA.PATH_TO_DATA_DIR /path/to/kinetics "
    "OUTPUT_DIR outputs/vtn_vit_b"
)


def run_demo(
    out: Path,
    *,
    settings: DatasetSettings,
    overrides: Sequence[str] = (),
    say: Callable[[str], None] | None = None,
) -> list[ResultRow]:
    """Do what is not done yet, and write tables, pictures and the page.

    Args:
        out: Folder for everything that is made.
        settings: Size and seed of the data set.
        overrides: Configuration keys and values for training and testing, e.g. ("SOLVER.MAX_EPOCH", "1").
        say: Receives what a person at the screen should read; by default it is printed.

    Returns:
        A row for each model and protocol.

    Raises:
        InputError: If `out` holds something else.
    """
    started, tell = time.perf_counter(), say or print
    data, keys = out.resolve() / "data", tuple(overrides)
    tell(f"Data set: {data}")
    make_dataset(data, settings, say=tell)
    keys += ("DATA.PATH_TO_DATA_DIR", str(data))
    configs = [CONFIGS / "Demo" / f"{model}.yaml" for model in MODELS]
    # What does the same when it is typed.
    names = [f"configs/Demo/{config.name}" for config in configs]
    typed = ["compare", "--train", "--cfg", *names, "--out", str(out), *keys]
    rows = compare_models(
        configs,
        keys,
        out=out,
        command=as_typed("benchmark", *typed),
        train=True,
        look_closer=lambda comparison, rows: _attention(comparison, rows, data, tell),
        say=say,
    )
    python = os.path.relpath(sys.executable) if sys.prefix != sys.base_prefix else "python"
    tell(f"\nAll of it is in {out.resolve()}; this run took {time.perf_counter() - started:.0f} s.")
    program = as_typed("run_net").replace("python ", f"{python} ", 1)
    tell("Next, on your own folder with train.csv, val.csv and test.csv (`path label` lines):")
    tell(f"  {program} {_NEXT}")
    return rows


def _attention(
    comparison: Comparison, rows: Sequence[ResultRow], data: Path, say: Callable[[str], None]
) -> list[Section]:
    """Where VTN looked in three videos, and how much of it was at the action; nothing if VTN failed."""
    (vtn,) = [contender for contender in comparison.contenders if contender.is_vtn]
    if not any(row.model == vtn.name and row.status == OK for row in rows):
        return []
    strips, report = look_at_validation_videos(vtn, comparison.checkpoint(vtn), data)
    picture = comparison.out / "attention.png"
    plot_strips(strips, picture, title="Attention of the CLS token over the video: warm is high")
    write_text(comparison.out / "attention.json", json.dumps(report, indent=1) + "\n")
    sentence = (
        f"VTN puts {report['attention_on_action']:.0%} of its attention on the action, which fills "
        f"{report['time_of_action']:.0%} of the time (mean of {report['num_videos']} validation videos)."
    )
    say(f"\n{sentence}\n  {picture}")
    return [
        Section(
            "Where VTN looked",
            sentence,
            pictures=[Picture(picture, "Frames of three videos over the attention")],
        )
    ]
