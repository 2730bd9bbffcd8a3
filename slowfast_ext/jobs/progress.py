"""How far a job is, from its folder: over all processes of all machines."""

import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from slowfast_ext.jobs.claims import AtWork, Member
from slowfast_ext.jobs.plan import JobPlan
from slowfast_ext.jobs.records import BucketMark, JobRecords

# Seconds between lines, and between looks where there is a bar.
_SAY_EVERY, _DRAW_EVERY = 30.0, 5.0
# Seconds that the rate is of, and after which marks that were read are looked at again.
_WINDOW, _ALL_AGAIN = 300.0, 300.0


class JobProgress:
    """Counts of finished buckets and of those that processes are at, and what is said of them.

    Args:
        folder: Of the job.
        plan: Its videos.
        records: What was done.
        member: This process.
        say: Receives lines where there is no terminal.
    """

    def __init__(
        self, folder: Path, plan: JobPlan, records: JobRecords, member: Member, say: Callable[[str], None]
    ) -> None:
        self._finished, self._plan, self._records, self._say = folder / "finished", plan, records, say
        self._member, self._at_work, self._known_new = member, [], {}
        self._marks: dict[str, tuple[int, BucketMark | None]] = {}
        self._all_read, self._new, self._looks = 0.0, 0, deque()
        self.look()
        self._new = 0  # what processes had done before that
        self._looks = deque([(time.monotonic(), 0)])
        self._said = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            shape = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} videos{postfix}"
            self._bar = tqdm(total=plan.num_videos, initial=self.done, bar_format=shape)

    def look(self) -> None:
        """Count anew."""
        # In this order: what is finished in between is counted once all the same.
        self._at_work = self._member.at_work()
        self._look_at_marks()
        for process in self._at_work:
            self._new += process.new - self._known_new.get(process.name, 0)
            self._known_new[process.name] = process.new
        now = time.monotonic()
        self._looks.append((now, self._new))
        while len(self._looks) > 2 and now - self._looks[1][0] >= _WINDOW:
            self._looks.popleft()

    def _look_at_marks(self) -> None:
        """Only marks that may have changed are looked at, and of these only those that have are read."""
        size, marks, now = self._records.sizes(), {}, time.monotonic()
        if all_again := now - self._all_read >= _ALL_AGAIN:
            self._all_read = now
        for entry in os.scandir(self._finished):
            if entry.name in self._plan.buckets:
                known = self._marks.get(entry.name)
                if known is None or known[1] is None or all_again:
                    try:
                        changed = entry.stat().st_mtime_ns
                    except FileNotFoundError:
                        continue
                    if known is None or known[0] != changed:
                        known = changed, self._records.mark_of(entry.name, self._plan, size)
                marks[entry.name] = known
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
        """Videos that are done."""
        return sum(mark.videos for mark in self.marks.values()) + sum(at.done for at in self._unfinished())

    @property
    def repaired(self) -> int:
        """Of those of finished buckets, how many lack something."""
        return sum(mark.repaired for mark in self.marks.values())

    @property
    def failed(self) -> int:
        """Of those that are done, how many failed."""
        return sum(mark.failed for mark in self.marks.values()) + sum(at.failed for at in self._unfinished())

    def is_complete(self) -> bool:
        """Whether all buckets are finished."""
        return len(self.marks) == len(self._plan.buckets)

    def tell(self) -> None:
        """Look, and say how far it is if it is time to."""
        now = time.monotonic()
        if now - self._said < (_SAY_EVERY if self._bar is None else _DRAW_EVERY):
            return
        self._said = now
        self.look()
        if self._bar is None:
            done = f"{self.done} of {self._plan.num_videos} videos done ({self.failed} failed)"
            self._say(done + self._how())
        else:
            self._bar.n = self.done
            self._bar.set_postfix_str(f"{self.failed} failed{self._how()}")

    def _how(self) -> str:
        """How fast, how long, by how many."""
        (begun, before), (now, new) = self._looks[0], self._looks[-1]
        parts = []
        if new > before:
            pace = (new - before) / (now - begun)
            parts.append(f"{pace:.2f} videos/s" if pace >= 0.1 else f"{3600 * pace:.0f} videos/h")
            minutes = math.ceil((self._plan.num_videos - self.done) / pace / 60)
            parts.append(f"about {minutes // 60}:{minutes % 60:02} h to go")
        if count := len(self._at_work):
            machines = len({at.machine for at in self._at_work})
            on = f" on {machines} machines" if machines > 1 else ""
            parts.append(f"{count} process{'es' if count > 1 else ''}{on}")
        return "".join(f", {part}" for part in parts)

    def _unfinished(self) -> list[AtWork]:
        """One process for each bucket that is not finished and has any."""
        of_bucket = {at.bucket: at for at in sorted(self._at_work, key=lambda at: at.done)}
        marks, plan = self.marks, self._plan.buckets
        return [at for bucket, at in of_bucket.items() if bucket in plan and bucket not in marks]

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
