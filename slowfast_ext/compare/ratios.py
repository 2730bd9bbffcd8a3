"""The paper's headline for every pair: how much less VTN takes than a baseline (tables 3 and 4)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from slowfast_ext.compare.rows import FAILED, ResultRow
from slowfast_ext.report.paper_numbers import TABLE_3, TABLE_4


@dataclass(frozen=True)
class Ratio:
    """What a baseline takes, divided by what VTN takes; None where one of the two was not measured.

    Attributes:
        vtn, vtn_protocol, baseline, baseline_protocol: The two rows.
        training: Wall time of the training to its end.
        validation: Wall time of the pass over the test list.
        video: Median time of one video, from the file to the scores.
        gflops: Of all views.
        paper_training, paper_validation, paper_gflops: The same from the paper's tables, where both rows
            are in them. Training is minutes of an epoch times epochs.
    """

    vtn: str
    vtn_protocol: str
    baseline: str
    baseline_protocol: str
    training: float | None
    paper_training: float | None
    validation: float | None
    paper_validation: float | None
    video: float | None
    gflops: float | None
    paper_gflops: float | None

    def as_row(self) -> dict[str, str | float | None]:
        """For tables."""
        return asdict(self)


def make_ratios(rows: Sequence[ResultRow], vtn_names: Sequence[str]) -> list[Ratio]:
    """Every row of a VTN against every row of another model, failed rows left out."""
    good = [row for row in rows if row.status != FAILED]
    vtns = [row for row in good if row.model in vtn_names]
    others = [row for row in good if row.model not in vtn_names]
    return [_compare(vtn, other) for vtn in vtns for other in others]


def _compare(vtn: ResultRow, other: ResultRow) -> Ratio:
    return Ratio(
        vtn=vtn.model,
        vtn_protocol=vtn.protocol,
        baseline=other.model,
        baseline_protocol=other.protocol,
        training=_divide(other.train_seconds, vtn.train_seconds),
        paper_training=_divide(_paper_training(other), _paper_training(vtn)),
        validation=_divide(other.test_seconds, vtn.test_seconds),
        paper_validation=_divide(_paper_validation(other), _paper_validation(vtn)),
        video=_divide(other.video_ms_median, vtn.video_ms_median),
        gflops=_divide(other.gflops, vtn.gflops),
        paper_gflops=_divide(_paper_gflops(other), _paper_gflops(vtn)),
    )


def _divide(baseline: float | None, vtn: float | None) -> float | None:
    return baseline / vtn if baseline is not None and vtn else None


def _config(row: ResultRow) -> str:
    """The configuration that the paper's tables are given for: weights to start from change no cost."""
    return row.model.removesuffix("_IN1K")


def _paper_training(row: ResultRow) -> float | None:
    """Minutes of the whole training, the same for every protocol; of two recipes the table's first."""
    found = [each for each in TABLE_3 if each.config == _config(row)]
    return found[0].train_minutes * found[0].epochs if found and found[0].epochs else None


def _paper_validation(row: ResultRow) -> float | None:
    found = [each for each in TABLE_3 if (each.config, each.inference) == (_config(row), row.protocol)]
    return found[0].val_minutes if found else None


def _paper_gflops(row: ResultRow) -> float | None:
    found = [each for each in TABLE_4 if (each.config, each.inference) == (_config(row), row.protocol)]
    return found[0].gflops if found else None
