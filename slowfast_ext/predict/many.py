"""Predictions of very many videos, as a job."""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import torch

from slowfast_ext.jobs.driver import HowToRun
from slowfast_ext.jobs.lists import require_parquet
from slowfast_ext.jobs.merge import LinesOutput
from slowfast_ext.jobs.options import run_and_tell
from slowfast_ext.jobs.work import DONE, FAILED, REPAIRED, VideoJob, VideoResult
from slowfast_ext.predict.answers import LEAST_SCORE, TOP, Prediction
from slowfast_ext.predict.output import json_line
from slowfast_ext.video import VideoError
from vtn.errors import InputError

if TYPE_CHECKING:
    from slowfast_ext.predict.loading import FrameReader, ReadVideo
    from slowfast_ext.predict.predictor import Predictor

_ROWS = 4096  # of Parquet, at once


class PredictionReader:
    """The half of PredictionWork that needs no model.

    Args:
        reader: Predictor.reader.
    """

    def __init__(self, reader: "FrameReader") -> None:
        self._reader = reader

    def read(self, path: str, name: str, state: tuple[int, int]) -> "ReadVideo":
        """As ReadingWork."""
        try:
            return self._reader(path)
        except VideoError as error:
            raise VideoError(str(error).replace(path, name)) from None


class PredictionWork:
    """What a predictor says of a video, as a row of JSON. Each video is a batch of its own.

    Args:
        predictor: Ready.
        windows: Keywords of Predictor.predict_files.
        show: Keywords of json_line: `top` and `least_score`.
        model: Fingerprint.
    """

    def __init__(
        self, predictor: "Predictor", windows: dict[str, Any], show: dict[str, Any], model: str
    ) -> None:
        self._predictor, self._windows, self._show, self._model = predictor, windows, show, model
        reader = predictor.reader(**windows)
        self.reader = None if reader is None else PredictionReader(reader)

    def do(self, path: str, name: str, state: tuple[int, int]) -> VideoResult:
        """As VideoWork."""
        if self.reader is not None:
            return self.answer(self.reader.read(path, name, state), name, state)
        (found,) = self._predictor.predict_files([path], num_workers=0, **self._windows)
        return self._result(found, path, name, state)

    def answer(self, found: "ReadVideo", name: str, state: tuple[int, int]) -> VideoResult:
        """As StagedWork."""
        return self._result(self._predictor.answer(found), found.path, name, state)

    def _result(self, found: Prediction, path: str, name: str, state: tuple[int, int]) -> VideoResult:
        found = replace(
            found,
            path=name,
            error=found.error.replace(path, name),
            missing=found.missing.replace(path, name),
        )
        kind = FAILED if found.error else REPAIRED if found.missing else DONE
        return VideoResult(self._row(found, state), kind, found.error or found.missing, found.seconds)

    def fail(self, name: str, state: tuple[int, int], why: str) -> VideoResult:
        """As VideoWork."""
        found = Prediction(name, self._predictor.class_names, error=why)
        return VideoResult(self._row(found, state), FAILED, why)

    def _row(self, found: Prediction, state: tuple[int, int]) -> str:
        return json_line(found, self._model, state, **self._show)


class PredictionTable(LinesOutput):
    """Rows as a Parquet file.

    Args:
        path: The file.

    Raises:
        InputError: If pyarrow is not installed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._pyarrow, self._parquet = require_parquet()

    def _put(self, file: BinaryIO, rows: Iterator[str]) -> None:
        schema, table = _schema(self._pyarrow), self._pyarrow.Table
        with self._parquet.ParquetWriter(file, schema) as writer:
            while some := list(islice(rows, _ROWS)):
                writer.write_table(table.from_pylist([json.loads(row) for row in some], schema=schema))


def predict_many(
    make: Callable[[], "Predictor"],
    args: argparse.Namespace,
    videos: list[str],
    how: HowToRun,
    say: Callable[[str], None],
) -> int:
    """Predict into a folder, as the command line asks.

    Args:
        make: Makes the predictor; can be pickled.
        args: Of tools/predict.py.
        videos: Paths of the command line.
        how: What this command does of the job.
        say: Receives lines for a person.

    Returns:
        The exit status.
    """
    name = "predictions.parquet" if args.parquet else "predictions.jsonl"
    output = (PredictionTable if args.parquet else LinesOutput)(args.out / name)
    torch.set_num_threads(1)  # the processes of a job have one each, and forking wants no others here
    make_work = _Maker(make, args)
    work, settings, model = make_work.all()
    job = VideoJob(
        folder=args.out / "job",
        settings=settings,
        model=model,
        make=make_work,
        work=work,
        output=output,
        manifest=args.out / "videos.jsonl",
        reader=work.reader,
    )
    return run_and_tell(job, args, videos, how, say)


class _Maker:
    """Makes the work of a command line, in any process."""

    def __init__(self, make: Callable[[], "Predictor"], args: argparse.Namespace) -> None:
        self._make, self._args = make, args

    def __call__(self) -> PredictionWork:
        return self.all()[0]

    def all(self) -> tuple[PredictionWork, dict[str, Any], str]:
        """Also the settings that rows depend on, and the fingerprint."""
        predictor = self._make()
        windows, show, seen = what_is_asked(self._args, predictor)
        model = predictor.fingerprint(**seen)
        return (
            PredictionWork(predictor, windows, show, model),
            {"command": "predict", **windows, **show},
            model,
        )


def what_is_asked(
    args: argparse.Namespace, predictor: "Predictor"
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What a command line asks of a predictor, with a job and without.

    Returns:
        Keywords of Predictor.predict_files, of json_line, and of Predictor.fingerprint.

    Raises:
        InputError: If there is a least score of segments for a model that finds none.
    """
    windows = {"window": args.window, "every": args.every}
    show = {"top": args.top or TOP, "least_score": args.least_score or LEAST_SCORE}
    if args.least_score is not None and not predictor.finds_segments:
        raise InputError(
            "--least-score is of segments, and this model finds none: it has no localization head"
        )
    least = {"least_score": show["least_score"]} if predictor.finds_segments else {}
    return windows, show, windows | least


def _schema(pyarrow: Any) -> Any:
    """Of what json_line writes."""
    whole, real, text = pyarrow.int64(), pyarrow.float64(), pyarrow.string()
    scores, times = pyarrow.list_(real), [("begin", real), ("end", real)]
    label = [("class", whole), ("name", text), ("score", real)]
    labels = pyarrow.list_(pyarrow.struct(label))
    window = pyarrow.struct([*times, ("labels", labels), ("scores", scores)])
    return pyarrow.schema(
        [
            *(("path", text), ("labels", labels), ("frames", whole), ("frames_read", whole)),
            *(("seconds", real), ("views", whole), ("missing", text), ("error", text), ("scores", scores)),
            ("windows", pyarrow.list_(window)),
            ("segments", pyarrow.list_(pyarrow.struct([*times, *label]))),
            *(("model", text), ("bytes", whole), ("mtime_ns", whole)),
        ]
    )
