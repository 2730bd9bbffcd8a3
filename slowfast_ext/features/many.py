"""Features of very many videos, as a job. Its folder is in that of the features."""

import argparse
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from slowfast_ext.data.feature_files import VideoFeatures, read_features, write_features
from slowfast_ext.data.feature_store import MANIFEST, Record, absolute, file_of, key_of, video_fingerprint
from slowfast_ext.features.folder import FeatureFolder
from slowfast_ext.jobs.driver import HowToRun
from slowfast_ext.jobs.names import is_url
from slowfast_ext.jobs.options import run_and_tell
from slowfast_ext.jobs.work import DONE, FAILED, REPAIRED, VideoJob, VideoResult
from slowfast_ext.video import VideoError
from vtn.errors import InputError

if TYPE_CHECKING:
    from slowfast_ext.features.extract import FeatureExtractor, ItemReader

_TRIES = 3


class _Read(NamedTuple):
    """A video on its way to the backbone.

    Attributes:
        path: The file that was read.
        video: Its fingerprint.
        size: Bytes; of a URL too.
        stored: Features that are there already.
        loaded: A batch for FeatureExtractor.of_item; None if it is to be read a few frames at a time.
        error: Why it cannot be read.
    """

    path: str
    video: str
    size: int
    stored: VideoFeatures | None = None
    loaded: Any = None
    error: str = ""


class FeatureReading:
    """The half of FeatureWork that needs no model.

    Args:
        reader: FeatureExtractor.reader.
        folder: Of the features.
        settings: Of the features, as text.
    """

    def __init__(self, reader: "ItemReader", folder: Path, settings: str) -> None:
        self._reader, self._folder, self._settings = reader, folder, settings

    def read(self, path: str, name: str, state: tuple[int, int]) -> _Read | None:
        """As ReadingWork."""
        found = self.look(path, name, state)
        return found if found.stored or found.loaded or found.error else None

    def look(self, path: str, name: str, state: tuple[int, int]) -> _Read:
        """As `read`, of a video that is too large as well."""
        video, size = video_fingerprint(path), state[0]
        if size < 0 and os.path.exists(path):
            size = os.stat(path).st_size  # of a URL
        key = key_of(video, size, self._settings)
        if (stored := _stored(self._folder / file_of(key), key)) is not None:
            return _Read(path, video, size, stored)
        try:
            return _Read(path, video, size, loaded=self._reader(path))
        except VideoError as error:  # its row has the fingerprint too
            return _Read(path, video, size, error=str(error).replace(path, name))


class FeatureWork:
    """The features of a video in a file, and a line of the manifest of a feature store as row.

    Args:
        extractor: Ready.
        folder: Of the features.
    """

    def __init__(self, extractor: "FeatureExtractor", folder: Path) -> None:
        self._extractor, self._folder = extractor, folder
        self._settings = extractor.settings.to_text()
        self.reader = FeatureReading(extractor.reader(), folder, self._settings)

    def do(self, path: str, name: str, state: tuple[int, int]) -> VideoResult:
        """As VideoWork."""
        return self.answer(self.reader.look(path, name, state), name, state)

    def answer(self, read: _Read, name: str, state: tuple[int, int]) -> VideoResult:
        """As StagedWork."""
        record = Record(_known_as(name), read.video, read.size, state[1], self._settings)
        if read.error:
            return self._failed(record, read.error)
        key = key_of(read.video, read.size, self._settings)
        file, found = self._folder / file_of(key), read.stored
        if found is None:
            if read.loaded is None:
                ((_, found),) = self._extractor.extract([read.path])
            else:
                found = self._extractor.of_item(read.path, read.loaded)
            if isinstance(found, VideoError):
                return self._failed(record, str(found).replace(read.path, name))
            self._write(file, found, key)
        record = record._replace(
            file=file.name,
            file_bytes=file.stat().st_size,
            features=len(found.features),
            width=found.features.shape[1],
            num_frames=found.num_frames,
            missing=found.missing,
        )
        kind = REPAIRED if found.missing else DONE
        return VideoResult(record.to_line(), kind, found.missing, found.seconds)

    def fail(self, name: str, state: tuple[int, int], why: str) -> VideoResult:
        """As VideoWork."""
        path = _known_as(name)
        video = "" if is_url(name) else video_fingerprint(path)
        return self._failed(Record(path, video, *state, self._settings), why)

    def _failed(self, record: Record, why: str) -> VideoResult:
        return VideoResult(record._replace(error=why).to_line(), FAILED, why)

    def _write(self, file: Path, found: VideoFeatures, key: str) -> None:
        """Another process may write the same, of another video with the same bytes."""
        for turn in range(_TRIES):
            try:
                write_features(file, found, key)
                return
            except InputError:
                if _stored(file, key) is not None:
                    return
                if turn == _TRIES - 1:
                    raise


class FeatureRows:
    """Rows as lines of the manifest of a feature store, beside what it has of other settings and videos.

    Args:
        folder: Of the features.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self.path = folder, folder / MANIFEST

    def write(self, rows: Iterator[str]) -> None:
        """As JobOutput; a row that is there is not written again."""
        folder = FeatureFolder(self._folder)
        try:
            with self.path.open(encoding="utf-8") as file:
                known = {hash(line.rstrip("\n")) for line in file}
            for row in rows:
                if hash(row) not in known:
                    entry = json.loads(row)
                    folder.add(Record(**entry | {"settings": json.dumps(entry["settings"], sort_keys=True)}))
        finally:
            folder.close()

    def is_current(self) -> bool:
        """As JobOutput."""
        return self.path.exists()

    def is_sound(self, row: str) -> bool:
        """As JobOutput: by the size of the file of features."""
        entry = json.loads(row)
        try:
            return (
                bool(entry["error"]) or (self._folder / entry["file"]).stat().st_size == entry["file_bytes"]
            )
        except OSError:
            return False


def extract_many(
    make: Callable[[], "FeatureExtractor"],
    args: argparse.Namespace,
    videos: list[str],
    how: HowToRun,
    say: Callable[[str], None],
) -> int:
    """Store features of very many videos, as the command line asks; see predict_many."""
    torch.set_num_threads(1)  # the processes of a job have one each, and forking wants no others here
    extractor = make()
    settings = extractor.settings.to_text()
    work = FeatureWork(extractor, args.out)
    job = VideoJob(
        folder=args.out / "job",
        settings={"command": "extract_features", **json.loads(settings)},
        model=extractor.settings.weights[:16],
        make=_Maker(make, args.out),
        work=work,
        output=FeatureRows(args.out),
        manifest=args.out / "videos.jsonl",
        reader=work.reader,
    )
    return run_and_tell(job, args, videos, how, say)


class _Maker:
    """Makes the work in any process."""

    def __init__(self, make: Callable[[], "FeatureExtractor"], folder: Path) -> None:
        self._make, self._folder = make, folder

    def __call__(self) -> FeatureWork:
        return FeatureWork(self._make(), self._folder)


def _stored(file: Path, key: str) -> VideoFeatures | None:
    try:
        return read_features(file, key) if file.exists() else None
    except VideoError:
        return None


def _known_as(name: str) -> str:
    """A video's path in the manifest."""
    return name if is_url(name) else absolute(name)
