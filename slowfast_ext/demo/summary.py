"""Results of the demonstration: a table and three pictures, and where they are."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from slowfast_ext.demo.attention import look_at_validation_videos
from slowfast_ext.demo.layout import MODELS, Layout
from slowfast_ext.demo.scenes import CLASS_NAMES
from slowfast_ext.demo.steps import Step, StepError
from slowfast_ext.report.attention import plot_strips
from slowfast_ext.report.curves import plot_curves, read_curves
from slowfast_ext.report.scatter import Point, plot_scatter
from slowfast_ext.report.tables import Column, to_markdown, write_tables


@dataclass(frozen=True)
class Result:
    """One model under one protocol.

    Attributes:
        model: Its name.
        protocol: multi-view or full-video.
        params_M: Parameters, millions.
        frames: Frames of one view.
        views: Views of one video.
        gflops_per_view: Multiply-adds of convolutions and linear layers, 1e9.
        gflops: Those of a whole video, views included.
        train_seconds: Wall time of the training command, validation included.
        test_seconds: Wall time of the test command, start-up included.
        top1: Percent of the videos that were counted.
        top5: The same; None where five classes or fewer make it meaningless.
        num_videos: Videos that were counted.
        num_failed: Videos that could not be read.
    """

    model: str
    protocol: str
    params_M: float
    frames: int
    views: int
    gflops_per_view: float
    gflops: float
    train_seconds: float
    test_seconds: float
    top1: float
    top5: float | None
    num_videos: int
    num_failed: int


_COLUMNS = (
    Column("model", "model"),
    Column("protocol", "inference"),
    Column("params_M", "params, M", ".2f"),
    Column("frames", "frames per view"),
    Column("views", "views"),
    Column("gflops_per_view", "GFLOPs per view", ".3f"),
    Column("gflops", "GFLOPs x views", ".2f"),
    Column("train_seconds", "training wall, s", ".0f"),
    Column("test_seconds", "test wall, s", ".0f"),
    Column("top1", "top-1, %", ".1f"),
    Column("top5", "top-5, %", ".1f"),
    Column("num_videos", "videos"),
    Column("num_failed", "unreadable"),
)

_NEEDED = ("parameters", "gflops_per_view", "frames_per_view")


def read_result(
    step: Step, *, model: str, protocol: str, train_seconds: float, test_seconds: float
) -> Result:
    """Read what a finished test wrote into its results file.

    Raises:
        StepError: If the file lacks what the table needs.
    """
    path = step.folder / "test_results.json"
    stats = json.loads(path.read_text())
    missing = [name for name in _NEEDED if name not in stats]
    if missing:
        raise StepError(f"{path} does not give {', '.join(missing)}: run the test with LOG_MODEL_INFO True.")
    views = stats["num_views"]
    return Result(
        model=model,
        protocol=protocol,
        params_M=stats["parameters"] / 1e6,
        frames=stats["frames_per_view"],
        views=views,
        gflops_per_view=stats["gflops_per_view"],
        gflops=stats["gflops_per_view"] * views,
        train_seconds=train_seconds,
        test_seconds=test_seconds,
        top1=float(stats["top1_acc"]),
        top5=float(stats["top5_acc"]) if "top5_acc" in stats else None,
        num_videos=stats["num_videos"],
        num_failed=stats["num_failed"],
    )


def write_summary(
    layout: Layout, results: Sequence[Result], overrides: tuple[str, ...], *, say: Callable[[str], None]
) -> None:
    """Write the table (Markdown, CSV, JSON) and the pictures, show the table, and list the files.

    Args:
        layout: Where things are.
        results: Rows, in the order of the table.
        overrides: Configuration keys and values that the models were trained with.
        say: Receives the table and the list.
    """
    rows = [asdict(result) for result in results]
    columns = [column for column in _COLUMNS if any(row[column.key] is not None for row in rows)]
    files = write_tables(rows, columns, layout.out / "results")
    say("\n" + to_markdown(rows, columns))

    files.append(layout.out / "accuracy_vs_gflops.png")
    points = [Point(result.model, result.protocol, result.gflops, result.top1) for result in results]
    plot_scatter(points, files[-1], chance=100 / len(CLASS_NAMES), title="What an answer costs")

    files.append(layout.out / "learning_curves.png")
    plot_curves({model: read_curves(layout.training(model)) for model in MODELS}, files[-1])

    strips, report = look_at_validation_videos(layout, overrides)
    files.append(layout.out / "attention.png")
    plot_strips(strips, files[-1], title="Attention of the CLS token over the video: warm is high")
    files.append(layout.out / "attention.json")
    files[-1].write_text(json.dumps(report, indent=1) + "\n")
    say(
        f"VTN puts {report['attention_on_action']:.0%} of its attention on the action, which fills "
        f"{report['time_of_action']:.0%} of the time (mean of {report['num_videos']} validation videos).\n"
    )
    for file in files:
        say(f"  {file}")
