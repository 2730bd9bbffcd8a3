"""The pictures of a comparison, in sections for its page: cost, learning, classes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from slowfast_ext.compare.contenders import class_names
from slowfast_ext.compare.rows import OK, ResultRow, read_confusions
from slowfast_ext.compare.run import Comparison
from slowfast_ext.protocols import in_file_names
from slowfast_ext.report.class_pictures import plot_class_accuracy, plot_confusion
from slowfast_ext.report.classes import class_accuracy
from slowfast_ext.report.curves import plot_curves, read_curves
from slowfast_ext.report.page import Picture, Section
from slowfast_ext.report.scatter import Point, plot_scatter

PICTURES = "pictures"  # folder in that of the comparison
_COSTS = {
    "gflops": ("accuracy_vs_gflops.png", "gflops", "Accuracy against GFLOPs of all views"),
    "milliseconds": ("accuracy_vs_time.png", "video_ms_median", "Accuracy against the time for one video"),
}


def draw_pictures(comparison: Comparison, rows: Sequence[ResultRow]) -> list[Section]:
    """Draw what there are results for; returns the sections with the pictures."""
    folder = comparison.out / PICTURES
    tested = [row for row in rows if row.status == OK]
    sections = [
        Section("What an answer costs", pictures=list(_scatters(folder, tested))),
        Section(
            "Learning",
            "Top-1 accuracy: solid in training, dashed in validation.",
            pictures=_curves(comparison, folder),
        ),
        Section("Classes", pictures=list(_classes(comparison, folder, tested))),
    ]
    return [section for section in sections if section.pictures]


def _scatters(folder: Path, tested: Sequence[ResultRow]) -> Iterator[Picture]:
    for cost, (name, key, text) in _COSTS.items():
        known = [row for row in tested if getattr(row, key)]
        if known:
            points = [Point(row.model, row.protocol, getattr(row, key), row.top1) for row in known]
            plot_scatter(points, folder / name, cost=cost)
            yield Picture(folder / name, text)


def _curves(comparison: Comparison, folder: Path) -> list[Picture]:
    trained = [comparison.training(each) for each in comparison.contenders if each.train]
    runs = {path.parent.name: read_curves(path) for path in trained if _has_epochs(path)}
    if not runs:
        return []
    by_epoch, by_time = folder / "curves_by_epoch.png", folder / "curves_by_time.png"
    plot_curves(runs, by_epoch, by="epoch")
    plot_curves(runs, by_time, by="seconds")
    return [Picture(by_epoch, "Learning curves by epoch"), Picture(by_time, "Learning curves by wall time")]


def _has_epochs(training: Path) -> bool:
    log = training / "stdout.log"
    return log.is_file() and '"train_epoch"' in log.read_text(encoding="utf-8", errors="replace")


def _classes(comparison: Comparison, folder: Path, tested: Sequence[ResultRow]) -> Iterator[Picture]:
    """Accuracy of each class and confusions, a picture for each protocol and for each row."""
    matrices = {
        (row.protocol, row.model): read_confusions(comparison.test(row.model, row.protocol)) for row in tested
    }
    names = _names(comparison, max((len(matrix) for matrix in matrices.values()), default=0))
    for protocol in comparison.protocols:
        own = {model: matrix for (there, model), matrix in matrices.items() if there == protocol}
        if own:
            path = folder / f"classes_{in_file_names(protocol)}.png"
            plot_class_accuracy({model: class_accuracy(matrix) for model, matrix in own.items()}, names, path)
            yield Picture(path, f"Accuracy of each class, {protocol}")
        for model, matrix in own.items():
            path = folder / f"confusions_{model}_{in_file_names(protocol)}.png"
            plot_confusion(matrix, names, path, title=f"{model}, {protocol}")
            yield Picture(path, f"What {model} took the videos of each class for, {protocol}")


def _names(comparison: Comparison, count: int) -> list[str]:
    listed = class_names(comparison.contenders[0].cfg.DATA.PATH_TO_DATA_DIR)
    return [*listed[:count], *(f"class {number}" for number in range(len(listed), count))]
