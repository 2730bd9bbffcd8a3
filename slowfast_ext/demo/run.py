"""The demonstration from end to end: data, three models trained and tested two ways, tables and pictures.

Everything goes through the commands that a user would type; this program types them, in order, and can be
stopped and started again at any point.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from slowfast_ext.demo.dataset import DatasetSettings, make_dataset
from slowfast_ext.demo.steps import Step, run_step
from slowfast_ext.demo.summary import Result, read_result, write_summary

MODELS = ("VTN", "I3D", "SlowFast")


@dataclass(frozen=True)
class Protocol:
    """One way to test.

    Attributes:
        name: For tables, and as a folder with _ for the hyphen.
        overrides: Configuration keys and values in turn.
    """

    name: str
    overrides: tuple[str, ...]


PROTOCOLS = (
    Protocol(
        "multi-view",
        ("TRAIN.EVAL_FULL_VIDEO", "False", "TEST.NUM_ENSEMBLE_VIEWS", "10", "TEST.NUM_SPATIAL_CROPS", "3"),
    ),
    Protocol(
        "full-video",
        ("TRAIN.EVAL_FULL_VIDEO", "True", "TEST.NUM_ENSEMBLE_VIEWS", "1", "TEST.NUM_SPATIAL_CROPS", "1"),
    ),
)


def run_demo(
    root: Path, out: Path, *, settings: DatasetSettings | None = None, overrides: tuple[str, ...] = (),
    say: Callable[[str], None] = print,
) -> list[Result]:
    """Do whatever is not done yet, then write the summary.

    Args:
        root: The project's folder, with tools/run_net.py and configs/Demo.
        out: Folder for everything that is made.
        settings: Size and seed of the data set; the default if None.
        overrides: Configuration keys and values for training and testing, e.g. ("SOLVER.MAX_EPOCH", "1").
        say: Receives what a person at the screen should read.

    Returns:
        One result for each model and protocol, in that order.

    Raises:
        InputError: If `out` holds something else.
        StepError: If a command fails.
    """
    started = time.perf_counter()
    out = out.resolve()
    data = out / "data"
    say(f"Data set: {data}")
    make_dataset(data, settings or DatasetSettings(), say=say)
    results = []
    for model in MODELS:
        train = _training(root, out, model, overrides)
        train_seconds = run_step(train, cwd=root, say=say)
        for protocol in PROTOCOLS:
            test = _testing(root, out, model, protocol, overrides)
            test_seconds = run_step(test, cwd=root, say=say)
            results.append(
                read_result(test.folder, test.log, model=model, protocol=protocol.name,
                            train_seconds=train_seconds, test_seconds=test_seconds)
            )  # fmt: skip
    say("Tables and pictures")
    write_summary(results, root, out, MODELS, overrides, say=say)
    say(f"This run of the demo took {time.perf_counter() - started:.0f} s.")
    return results


def _command(root: Path, out: Path, model: str, folder: Path, *overrides: str) -> list[str]:
    return [
        sys.executable, str(root / "tools" / "run_net.py"), "--cfg", str(config_of(root, model)),
        "DATA.PATH_TO_DATA_DIR", str(out / "data"), "OUTPUT_DIR", str(folder), *overrides,
    ]  # fmt: skip


def config_of(root: Path, model: str) -> Path:
    """The model's YAML file."""
    return root / "configs" / "Demo" / f"{model}.yaml"


def training_folder(out: Path, model: str) -> Path:
    """OUTPUT_DIR of the model's training: checkpoints and log."""
    return out / model / "train"


def _inputs(root: Path, out: Path, model: str) -> list[Path]:
    return [config_of(root, model), config_of(root, "Base"), out / "data" / "annotations.json"]


def _training(root: Path, out: Path, model: str, overrides: tuple[str, ...]) -> Step:
    folder = training_folder(out, model)
    command = _command(root, out, model, folder, *overrides)
    return Step(f"{model}, training", folder, command, _inputs(root, out, model))


def _testing(root: Path, out: Path, model: str, protocol: Protocol, overrides: tuple[str, ...]) -> Step:
    folder = out / model / protocol.name.replace("-", "_")
    command = _command(
        root, out, model, folder, *overrides, "TRAIN.ENABLE", "False", "TEST.ENABLE", "True", *protocol.overrides,
        "TEST.CHECKPOINT_FILE_PATH", str(newest_checkpoint(training_folder(out, model))),
    )  # fmt: skip
    return Step(f"{model}, {protocol.name} test", folder, command, _inputs(root, out, model))
