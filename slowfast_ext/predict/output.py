"""Files of predictions, written video by video: JSON lines, CSV, WebVTT."""

import csv
import fcntl
import html
import json
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

from slowfast_ext.data.feature_store import identity
from slowfast_ext.predict.answers import Prediction, WindowScores, best_classes
from vtn.errors import InputError

SUFFIXES = (".jsonl", ".csv", ".vtt")
_DIGITS = 8
_BEGINNING = '{"path": '  # of every line of JSON
_CSV = ("path", "begin", "end", "rank", "class", "name", "score", "missing", "error")


def require_writable(path: Path, num_videos: int) -> None:
    """Refuse a file that cannot be written, before any work, and leave nothing behind.

    Args:
        path: The file.
        num_videos: How many it is for.

    Raises:
        InputError: Names the file.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"--out {path}: its name must end with {', '.join(SUFFIXES)}")
    if path.suffix == ".vtt" and num_videos > 1:
        raise InputError(f"--out {path}: subtitles are of one video, not of {num_videos}: name a .jsonl")
    _require_writable(path)


def require_page(path: Path, num_videos: int) -> None:
    """The same for a page.

    Raises:
        InputError: Names the file.
    """
    if path.suffix not in (".html", ".htm"):
        raise InputError(f"--page {path}: its name must end with .html")
    if num_videos > 1:
        raise InputError(
            f"--page {path}: a page is of one video, not of {num_videos}: type the command once for each"
        )
    _require_writable(path)


def _require_writable(path: Path) -> None:
    there = path.exists()
    try:
        with path.open("a"):
            pass
        if not there:
            path.unlink()
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}.") from error


class PredictionFile:
    """A file that holds what was predicted so far at any time.

    Args:
        path: Ends with one of SUFFIXES. A .jsonl file is continued; the others begin anew.
        model: Fingerprint of what predicts.
        top: Classes named for each video or window.
        least_score: Of segments that are written.

    Attributes:
        done: Of a file of JSON lines, by path: the error, or none, of each video that is in it, was seen by
            this model and has not changed.

    Raises:
        InputError: If it cannot be written, another command is writing it, or it holds something else.
    """

    def __init__(self, path: Path, model: str, top: int, least_score: float = 0.0) -> None:
        self._path, self._model, self._top, self._least_score = path, model, top, least_score
        self.done: dict[str, str] = {}
        continued = path.suffix == ".jsonl"
        try:
            self._file: TextIO = path.open("a+", encoding="utf-8", newline="")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if continued:
                self._read()
            else:
                self._file.truncate(0)
                head = "WEBVTT\n" if path.suffix == ".vtt" else ",".join(_CSV) + "\n"
                self._put(head)
        except BlockingIOError:
            raise InputError(f"another command is writing into {path}: wait for it or end it") from None
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}.") from error

    def add(self, prediction: Prediction) -> None:
        """Write down one video.

        Raises:
            InputError: If that is not possible, as when the disk is full.
        """
        write = {".jsonl": self._json, ".csv": self._rows, ".vtt": self._cues}[self._path.suffix]
        try:
            self._put("".join(write(prediction)))
        except OSError as error:
            raise InputError(f"cannot write {self._path}: {error.strerror}.") from error

    def close(self) -> None:
        """Let other commands write."""
        self._file.close()

    def _put(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()

    def _read(self) -> None:
        """Take in earlier lines; half a line, of a command that was killed while it wrote, is cut off."""
        self._file.seek(0)
        begin = 0
        while line := self._file.readline():
            if not line.endswith("\n") and line.startswith(_BEGINNING):
                self._file.truncate(begin)
                break
            begin += len(line.encode())
            try:
                record = json.loads(line)
                path, error, known = record["path"], record["error"], (record["bytes"], record["mtime_ns"])
                same = record["model"] == self._model and known == identity(os.fspath(path))
            except (ValueError, KeyError, TypeError):
                raise InputError(
                    f"{self._path} holds something else than predictions: name another file"
                ) from None
            if same:
                self.done[path] = error
        self._file.seek(0, os.SEEK_END)

    def _json(self, prediction: Prediction) -> Iterator[str]:
        of_file = identity(prediction.path)
        yield json_line(prediction, self._model, of_file, self._top, self._least_score) + "\n"

    def _rows(self, prediction: Prediction) -> Iterator[str]:
        row = {"path": prediction.path, "missing": prediction.missing, "error": prediction.error}
        parts = prediction.windows or (WindowScores(0.0, prediction.seconds, prediction.scores),)
        for part in parts:
            times = {"begin": round(part.begin, 3), "end": round(part.end, 3)}
            for rank, label in enumerate(_labels(prediction, part, self._top), start=1):
                yield _csv_line(row | times | {"rank": rank} | label)
        for segment in prediction.best_segments(self._least_score):
            times = {"begin": round(segment.begin, 3), "end": round(segment.end, 3)}
            yield _csv_line(row | times | _label(prediction, segment.label, segment.score))
        if prediction.error:
            yield _csv_line(row)

    def _cues(self, prediction: Prediction) -> Iterator[str]:
        """One for each segment; else a moment gets the best class of the window whose middle is nearest."""
        if prediction.error:
            yield f"\nNOTE {_one_line(prediction.error).replace('-->', '->')}\n"
            return
        if prediction.segments is not None:
            for segment in prediction.best_segments(self._least_score):
                yield _cue(segment.begin, segment.end, prediction.name(segment.label), segment.score)
            return
        parts = prediction.windows or (WindowScores(0.0, prediction.seconds, prediction.scores),)
        middles = [(part.begin + part.end) / 2 for part in parts]
        borders = [(one + other) / 2 for one, other in pairwise(middles)]
        for part, begin, end in zip(parts, [0.0, *borders], [*borders, prediction.seconds], strict=True):
            (label, *_) = best_classes(part.scores, 1)
            yield _cue(begin, end, prediction.name(label), part.scores[label])


def json_line(
    prediction: Prediction, model: str, identity: tuple[int, int], top: int, least_score: float
) -> str:
    """One video as a line of JSON, without its end.

    Args:
        prediction: Of the video.
        model: Fingerprint of what predicted.
        identity: Size and time of the last change of the file.
        top: Classes named for the video or for each window.
        least_score: Of segments that are written.
    """
    size, changed = identity
    record = {
        "path": prediction.path,
        "labels": _labels(prediction, prediction, top),
        "frames": prediction.num_frames,
        "frames_read": prediction.frames_read,
        "seconds": round(prediction.seconds, 3),
        "views": prediction.views,
        "missing": prediction.missing,
        "error": prediction.error,
        "scores": _rounded(prediction.scores),
    }
    if prediction.windows:
        record["windows"] = [
            {
                "begin": round(part.begin, 3),
                "end": round(part.end, 3),
                "labels": _labels(prediction, part, top),
                "scores": _rounded(part.scores),
            }
            for part in prediction.windows
        ]
    if prediction.segments is not None:
        record["segments"] = [
            {"begin": round(segment.begin, 3), "end": round(segment.end, 3)}
            | _label(prediction, segment.label, segment.score)
            for segment in prediction.best_segments(least_score)
        ]
    record |= {"model": model, "bytes": size, "mtime_ns": changed}
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def _labels(prediction: Prediction, part: Prediction | WindowScores, top: int) -> list[dict[str, Any]]:
    if part.scores is None:
        return []
    return [_label(prediction, label, part.scores[label]) for label in best_classes(part.scores, top)]


def _label(prediction: Prediction, label: int, score: float) -> dict[str, Any]:
    return {"class": label, "name": prediction.name(label), "score": round(float(score), _DIGITS)}


class _Line:
    """A file for the csv module that keeps one line."""

    text = ""

    def write(self, text: str) -> None:
        self.text += text


def _csv_line(row: dict[str, Any]) -> str:
    line = _Line()
    csv.DictWriter(line, _CSV, lineterminator="\n").writerow(row)
    return line.text


def _cue(begin: float, end: float, name: str, score: float) -> str:
    return f"\n{_clock(begin)} --> {_clock(end)}\n{html.escape(name, quote=False)} {score:.2f}\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _rounded(scores: Any) -> list[float] | None:
    return None if scores is None else [round(float(score), _DIGITS) for score in scores]


def _clock(seconds: float) -> str:
    """Seconds as WebVTT writes them: 00:01:02.500."""
    thousandths = round(seconds * 1000)
    minutes, thousandths = divmod(thousandths, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{thousandths // 1000:02}.{thousandths % 1000:03}"
