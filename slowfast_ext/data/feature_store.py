"""A folder of frame features: which file holds those of a video, and why there is none that can be used."""

import hashlib
import json
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from slowfast_ext.data.feature_files import SUFFIX, VideoFeatures, read_features
from slowfast_ext.data.feature_settings import ALL_FRAMES, OF_WEIGHTS, FeatureSettings, of_weights
from slowfast_ext.data.video_list import normalize_path
from slowfast_ext.files import feed
from slowfast_ext.typed import as_typed
from vtn.errors import InputError

MANIFEST = "manifest.jsonl"
_OR_START_THERE = (
    ", and a training may start from the checkpoint that they are of: TRAIN.CHECKPOINT_FILE_PATH FILE "
    "TRAIN.CHECKPOINT_EPOCH_RESET True"
)


class Record(NamedTuple):
    """A line of the manifest.

    Attributes:
        path: The video, absolute.
        video: Fingerprint of its bytes.
        bytes, mtime_ns: Its size and the time of its last change, when that was taken.
        settings: FeatureSettings.to_text().
        file: Name of the file of its features; empty if there are none.
        file_bytes: Size of that.
        features, width: Frames with a feature, and numbers in each.
        num_frames: Of the video.
        missing: What the video lacks, in words; empty if nothing.
        error: Why there are no features; empty if there are.
    """

    path: str
    video: str
    bytes: int
    mtime_ns: int
    settings: str
    file: str = ""
    file_bytes: int = 0
    features: int = 0
    width: int = 0
    num_frames: int = 0
    missing: str = ""
    error: str = ""

    @property
    def key(self) -> str:
        """What its file must say that it is of."""
        return key_of(self.video, self.bytes, self.settings)

    def to_line(self) -> str:
        """JSON."""
        return json.dumps({**self._asdict(), "settings": json.loads(self.settings)})


class FeatureStore:
    """The features in a folder, by their videos.

    Args:
        folder: With a manifest, or none yet.

    Raises:
        InputError: If the manifest cannot be read or is none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._by_path: dict[str, list[Record]] = defaultdict(list)
        self._by_size: dict[int, list[Record]] = defaultdict(list)
        self._by_settings: dict[str, Record] = {}
        path = folder / MANIFEST
        try:
            lines = path.read_text("utf-8").split("\n") if path.exists() else []
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read: {error}.") from error
        for line in filter(None, lines):
            try:
                entry = json.loads(line)
                settings = sys.intern(json.dumps(entry["settings"], sort_keys=True))
                record = Record(**{**entry, "settings": settings})
                if record.file not in ("", file_of(record.key)):
                    raise KeyError(record.file)  # not one of this folder
                self.add(record)
            except json.JSONDecodeError:
                continue  # a command was killed while it wrote this line: its video is done again
            except (KeyError, TypeError):
                raise InputError(f"{path} is no list of features: name another folder.") from None

    def add(self, record: Record) -> None:
        """Take in a record; of equal ones the latest counts."""
        self._by_path[record.path].append(record)
        self._by_size[record.bytes].append(record)
        self._by_settings[record.settings] = record

    def find(self, path: str, wanted: Sequence[FeatureSettings]) -> Record | str:
        """The record of a video with one of some settings, the first of them if there are several.

        A video is the same if its path, size and time of change are, or else if its bytes are.

        Returns:
            The record, or a clause that says why there is none.
        """
        size, changed = identity(path)
        known = self._by_path.get(absolute(path), [])
        same = [record for record in known if (record.bytes, record.mtime_ns) == (size, changed)]
        if not same and (alike := self._by_size.get(size)):
            video = video_fingerprint(path)
            same = [record for record in alike if record.video == video]
        for settings in wanted:
            text = settings.to_text()
            for record in reversed(same):
                if record.settings == text:
                    return record
        if same:
            return f"its features were made with other settings: {_least(wanted, same)}"
        return "it has changed since its features were made" if known else "its features are not there"

    def find_all(self, paths: Sequence[str], wanted: Sequence[FeatureSettings], what: str) -> list[Record]:
        """The record of each video; those that could not be read when their features were made have one too.

        Args:
            paths: The videos.
            wanted: As for `find`.
            what: What they are, for the error: "videos of the test list".

        Raises:
            InputError: If features of any cannot be used; says of how many, and why of the first.
        """
        found = [self.find(path, wanted) for path in paths]
        reasons = [record if isinstance(record, str) else self.trouble(record) for record in found]
        bad = [(path, reason) for path, reason in zip(paths, reasons, strict=True) if reason]
        if bad:
            raise InputError(
                f"the features in {self.folder} do not serve for {len(bad)} of the {len(paths)} {what}, the "
                f"first of which is {bad[0][0]}: {bad[0][1]}; {_maker(wanted)} makes them"
                + (_OR_START_THERE if OF_WEIGHTS in bad[0][1] else "")
            )
        return found

    def require_some(self, wanted: Sequence[FeatureSettings]) -> None:
        """Refuse a folder in which nothing was made with such settings, whatever the weights were.

        Raises:
            InputError: Says what differs.
        """
        if not self._by_settings:
            raise InputError(f"{self.folder} holds no features: {_maker(wanted)} makes them")
        for settings in wanted:
            for record in self._by_settings.values():
                weights = json.loads(record.settings)["weights"]
                if record.settings == of_weights(settings, weights).to_text():
                    return
        raise InputError(
            f"the features in {self.folder} were made with other settings: "
            f"{_least(wanted, list(self._by_settings.values()), but='weights')}; {_maker(wanted)} makes them"
        )

    def trouble(self, record: Record) -> str:
        """What is wrong with the file of a record, as far as its size tells; empty if nothing is."""
        if record.error:
            return ""
        path = self.folder / record.file
        try:
            size = path.stat().st_size
        except OSError as error:
            return f"the file of its features, {path}, cannot be read ({error.strerror})"
        if size != record.file_bytes:
            return f"the file of its features, {path}, is damaged: {size:,} of {record.file_bytes:,} bytes"
        return ""

    def read(self, record: Record) -> VideoFeatures:
        """Read and check features.

        Raises:
            VideoError: If the file is gone or damaged.
        """
        return read_features(self.folder / record.file, record.key)


def absolute(path: str) -> str:
    """The path under which the manifest knows a video."""
    return os.path.abspath(normalize_path(path))


def identity(path: str) -> tuple[int, int]:
    """Size and time of the last change of a file; -1 of one that is not there."""
    try:
        status = os.stat(path)
        return status.st_size, status.st_mtime_ns
    except OSError:
        return -1, -1


def video_fingerprint(path: str) -> str:
    """What tells the bytes of a file from others: 32 hexadecimal digits; empty if it cannot be read."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        feed(digest, path)
    except OSError:
        return ""
    return digest.hexdigest()


def key_of(video: str, size: int, settings: str) -> str:
    """What features are of: the bytes of a video, and settings."""
    return json.dumps([video, size, settings])


def file_of(key: str) -> str:
    """Name of the file for it."""
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest() + SUFFIX


def _maker(wanted: Sequence[FeatureSettings]) -> str:
    """The command that makes what is wanted."""
    only_all = all(settings.frames == ALL_FRAMES for settings in wanted)
    return as_typed("extract_features") + (" --all-frames" if only_all else "")


def _least(wanted: Sequence[FeatureSettings], records: Sequence[Record], but: str = "") -> str:
    """The fewest differences between wanted and stored settings, in words."""
    ways: list[list[str]] = []
    for settings in wanted:
        for record in records:
            other: dict[str, Any] = json.loads(record.settings)
            if but:
                other |= {but: getattr(settings, but)}
            ways.append(settings.differences(other))
    return ", ".join(min(ways, key=len))
