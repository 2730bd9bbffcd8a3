"""What a job is: a folder, what its rows depend on, and what is done with one video."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

DONE, REPAIRED, FAILED = "done", "repaired", "failed"


class VideoResult(NamedTuple):
    """What became of a video.

    Attributes:
        row: A line of the output, without its end. It says nothing of who made it, where or when.
        state: DONE, REPAIRED or FAILED.
        why: What the video lacks, or why it failed; in words.
        seconds: Length of the video; 0 if it is not known.
    """

    row: str
    state: str
    why: str = ""
    seconds: float = 0.0


class VideoWork(Protocol):
    """What is done with a video. The same video gives the same row, whatever came before it."""

    def do(self, path: str, name: str, state: tuple[int, int]) -> VideoResult:
        """The result of a video.

        Args:
            path: A file of this machine, which is only read.
            name: By which it is known.
            state: file_state(name).

        Raises:
            InputError: If the job cannot go on, as when the disk is full. What is wrong with the video is in
                the result.
        """

    def fail(self, name: str, state: tuple[int, int], why: str) -> VideoResult:
        """The result of a video that `do` never gave one of."""


class ReadingWork(Protocol):
    """The half of a StagedWork that needs no model; it can be pickled."""

    def read(self, path: str, name: str, state: tuple[int, int]) -> Any:
        """What `answer` needs of a video; it can be pickled. As VideoWork.do otherwise.

        Returns:
            None if that would be too much memory: `do` then looks at the file by itself.

        Raises:
            VideoError: If the video cannot be read.
            InputError: As VideoWork.do.
        """


class StagedWork(VideoWork, Protocol):
    """Work in two halves, for processes of two kinds; `do` is one after the other, so rows are the same."""

    reader: ReadingWork

    def answer(self, found: Any, name: str, state: tuple[int, int]) -> VideoResult:
        """The result of a video of which `reader` has given something."""


class JobOutput(Protocol):
    """Where the rows of a job go when all are there."""

    path: Path

    def write(self, rows: Iterator[str]) -> None:
        """Write what is at `path` anew, from one row for each video.

        Raises:
            InputError: If that is not possible.
        """

    def is_current(self) -> bool:
        """Whether what was written of the same rows may stay."""

    def is_sound(self, row: str) -> bool:
        """Whether what a row speaks of is there."""


@dataclass(frozen=True)
class VideoJob:
    """A command's settings and what it does; the videos are a JobPlan.

    Attributes:
        folder: Where the job keeps its files.
        settings: All that rows depend on but the video: plain values.
        model: Fingerprint of what looks at the videos.
        make: Makes the work in a new process; can be pickled.
        work: As `make` makes it, for processes that are forked.
        output: Of all rows.
        manifest: File that says of each video what became of it.
        reader: Half of the work, if it is a StagedWork whose videos are worth handing over.
    """

    folder: Path
    settings: dict[str, Any]
    model: str
    make: Callable[[], VideoWork]
    work: VideoWork
    output: JobOutput
    manifest: Path
    reader: ReadingWork | None = None

    @property
    def report(self) -> Path:
        """The page at the end; its picture has the same name. A folder may have a report.md of a data set."""
        return self.manifest.with_name("job_report.md")
