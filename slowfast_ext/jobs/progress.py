"""How far a job is, from its folder: over all processes of all machines."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from slowfast_ext.jobs.plan import JobPlan
from slowfast_ext.jobs.records import BucketMark, JobRecords

_SAY_EVERY = 30.0


class JobProgress:
    """Counts of finished buckets, and what is said of them.

    Args:
        folder: Of the job.
        plan: Its videos.
        records: What was done.
        say: Receives lines where there is no terminal.
    """

    def __init__(self, folder: Path, plan: JobPlan, records: JobRecords, say: Callable[[str], None]) -> None:
        self._finished, self._plan, self._records, self._say = folder / "finished", plan, records, say
        self._marks: dict[str, tuple[int, BucketMark | None]] = {}
        self.look()
        self._before, self._begun = self.done, time.monotonic()
        self._said = self._begun
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=plan.num_videos, initial=self.done, unit="video", smoothing=0.05)

    def look(self) -> None:
        """Count anew; only marks that have changed are read."""
        size, marks = self._records.sizes(), {}
        for path in self._finished.iterdir():
            if path.name in self._plan.buckets:
                try:
                    changed = path.stat().st_mtime_ns
                except FileNotFoundError:
                    continue
                known = self._marks.get(path.name)
                if known is None or known[0] != changed:
                    known = changed, self._records.mark_of(path.name, self._plan, size)
                marks[path.name] = known
        self._marks = marks

    def forget(self) -> None:
        """Read all marks again."""
        self._marks = {}
        self.look()

    @property
    def marks(self) -> dict[str, BucketMark]:
        """Of the buckets that are finished."""
        return {bucket: mark for bucket, (_, mark) in self._marks.items() if mark is not None}

    @property
    def done(self) -> int:
        """Videos of finished buckets."""
        return sum(mark.videos for mark in self.marks.values())

    @property
    def failed(self) -> int:
        """Of these, those that failed."""
        return sum(mark.failed for mark in self.marks.values())

    def is_complete(self) -> bool:
        """Whether all buckets are finished."""
        return len(self.marks) == len(self._plan.buckets)

    def tell(self) -> None:
        """Look, and say how far it is if it is time to."""
        now = time.monotonic()
        if self._bar is None and now - self._said < _SAY_EVERY:
            return
        self._said = now
        self.look()
        done, failed, total = self.done, self.failed, self._plan.num_videos
        if self._bar is not None:
            self._bar.n = done
            self._bar.set_postfix(failed=failed)
            return
        new, seconds = done - self._before, now - self._begun
        pace = f", {new / seconds:.2f} videos/s" if new > 0 else ""
        left = f", about {(total - done) * seconds / new:.0f} s to go" if new > 0 else ""
        self._say(f"{done} of {total} videos done ({failed} failed){pace}{left}")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
