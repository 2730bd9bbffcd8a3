"""A folder of features that is written: one command at a time, and never half a file under its name."""

import contextlib
import fcntl
import os
from pathlib import Path

from slowfast_ext.data.feature_files import SUFFIX, unfinished
from slowfast_ext.data.feature_store import MANIFEST, FeatureStore, Record
from vtn.errors import InputError


class FeatureFolder:
    """The manifest of a folder, which is made and locked.

    Attributes:
        store: What is there.

    Raises:
        InputError: If the folder cannot be written, another command is writing it, or its manifest is none.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / MANIFEST
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a+", encoding="utf-8")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in folder.glob(unfinished(Path(f"*{SUFFIX}")).name):
                left.unlink()  # of a command that was killed
            self._end_last_line()
        except BlockingIOError:
            raise InputError(f"another command is writing into {folder}: wait for it or end it") from None
        except OSError as error:
            raise InputError(f"cannot write {self._path}: {error.strerror}.") from error
        try:
            self.store = FeatureStore(folder)
        except InputError:
            self.close()
            raise

    def add(self, record: Record) -> None:
        """Write down what became of a video.

        Raises:
            InputError: If that is not possible, as when the disk is full.
        """
        try:
            self._file.write(record.to_line() + "\n")
            self._file.flush()
        except OSError as error:
            raise InputError(f"cannot write {self._path}: {error.strerror}.") from error
        self.store.add(record)

    def close(self) -> None:
        """Let other commands write."""
        with contextlib.suppress(OSError):  # what could not be written was told
            self._file.close()

    def _end_last_line(self) -> None:
        """Half a line of a command that was killed while it wrote must not swallow the next one."""
        size = self._file.seek(0, os.SEEK_END)
        if size:
            with self._path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                if file.read() != b"\n":
                    self._file.write("\n")
                    self._file.flush()
