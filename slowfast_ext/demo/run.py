"""The demonstration from end to end: data, three models trained and tested two ways, tables and pictures.

Everything goes through the commands that a user would type; this program types them, in order, and can be
stopped and started again at any point.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from slowfast_ext.demo.dataset import ANNOTATIONS, DatasetSettings, make_dataset
from slowfast_ext.demo.layout import MODELS, PROTOCOLS, Layout, Protocol
from slowfast_ext.demo.steps import Step, run_step
from slowfast_ext.demo.summary import Result, read_result, write_summary

_NEXT = (
    "tools/run_net.py --cfg configs/Kinetics/VTN_ViT_B.yaml DATA.PATH_TO_DATA_DIR /path/to/kinetics "
    "OUTPUT_DIR outputs/vtn_vit_b"
)


def run_demo(
    root: Path,
    out: Path,
    *,
    settings: DatasetSettings,
    overrides: tuple[str, ...] = (),
    say: Callable[[str], None] = print,
) -> list[Result]:
    """Do the steps that are not done yet, then write the summary.

    Args:
        root: The project's folder, with tools/run_net.py and configs/Demo.
        out: Folder for everything that is made.
        settings: Size and seed of the data set.
        overrides: Configuration keys and values for training and testing, e.g. ("SOLVER.MAX_EPOCH", "1").
        say: Receives what a person at the screen should read.

    Returns:
        One result for each model and protocol, in that order.

    Raises:
        InputError: If `out` holds something else.
        StepError: If a command fails.
    """
    started = time.perf_counter()
    layout = Layout(root.resolve(), out.resolve())
    say(f"Data set: {layout.data}")
    make_dataset(layout.data, settings, say=say)
    results = []
    for model in MODELS:
        training = _training(layout, model, overrides)
        train_seconds = run_step(training, cwd=layout.root, say=say)
        for protocol in PROTOCOLS:
            test = _testing(layout, model, protocol, overrides)
            seconds = {
                "train_seconds": train_seconds,
                "test_seconds": run_step(test, cwd=layout.root, say=say),
            }
            results.append(read_result(test, model=model, protocol=protocol.name, **seconds))
    say("Tables and pictures …")
    write_summary(layout, results, overrides, say=say)
    python = os.path.relpath(sys.executable) if sys.prefix != sys.base_prefix else "python"
    say(f"\nAll of it is in {layout.out}; this run took {time.perf_counter() - started:.0f} s.")
    say("Next, on your own folder with train.csv, val.csv and test.csv (`path label` lines):")
    say(f"  {python} {_NEXT}")
    return results


def _step(layout: Layout, name: str, model: str, folder: Path, *overrides: str) -> Step:
    program = (sys.executable, str(layout.root / "tools" / "run_net.py"))
    paths = ("DATA.PATH_TO_DATA_DIR", str(layout.data), "OUTPUT_DIR", str(folder))
    inputs = (layout.config(model), layout.config("Base"), layout.data / ANNOTATIONS)
    command = (*program, "--cfg", str(layout.config(model)), *paths, *overrides)
    return Step(f"{model}, {name}", folder, command, inputs)


def _training(layout: Layout, model: str, overrides: tuple[str, ...]) -> Step:
    return _step(layout, "training", model, layout.training(model), *overrides)


def _testing(layout: Layout, model: str, protocol: Protocol, overrides: tuple[str, ...]) -> Step:
    checkpoint = ("TEST.CHECKPOINT_FILE_PATH", str(layout.checkpoint(model)))
    switches = ("TRAIN.ENABLE", "False", "TEST.ENABLE", "True")
    folder = layout.test(model, protocol)
    return _step(
        layout,
        f"{protocol.name} test",
        model,
        folder,
        *overrides,
        *switches,
        *checkpoint,
        *protocol.overrides,
    )
