"""A job on Ray, as the command sees it: a process that speaks with Ray is started, watched and ended.

Ray ends the process that speaks with it when a cluster goes away, and writes much; so the command is another.
"""

import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from slowfast_ext.data.supervisor import STARTS_IN_VAIN, exit_in_words
from slowfast_ext.files import reason_of
from slowfast_ext.jobs.claims import Member, new_name
from slowfast_ext.jobs.plan import JobPlan
from slowfast_ext.jobs.progress import JobProgress
from slowfast_ext.jobs.ray_how import RayHow
from slowfast_ext.jobs.records import JobRecords
from slowfast_ext.jobs.work import VideoJob
from slowfast_ext.jobs.worker import left_in
from slowfast_ext.processes import PROC, process_status
from vtn.errors import InputError

_POLL, _LOOK_EVERY = 0.05, 1.0
# Seconds until a cluster has been joined, or has started.
_TO_JOIN, _TO_START = 30.0, 120.0
_BAD_INPUT = 2
_LOG = "ray.log"
_TEMPORARY = 30  # characters of the name of a folder, beyond which Ray's sockets cannot be named
_READY = "ready"


class RayCrew:
    """The processes of one command; see driver.run_job.

    Args:
        job: The job.
        plan: Its videos.
        records: What was done.
        how: How Ray is used.
        processes: CPUs of a cluster that is started.
        timeout: Seconds after which a video has failed.
        began: As JobShare.retry_since.
        say: Receives lines for a person.
    """

    def __init__(
        self,
        job: VideoJob,
        plan: JobPlan,
        records: JobRecords,
        how: RayHow,
        processes: int,
        timeout: float,
        began: str,
        say: Callable[[str], None],
    ) -> None:
        self._say, self._started = say, False
        self._job, self._plan, self._records, self._how = job, plan, records, how
        self._processes, self._timeout, self._began = processes, timeout, began
        self._log = job.folder / _LOG

    def work(self, progress: JobProgress) -> None:
        """Return when Ray has nothing left to do; a cluster of our own that dies is started again.

        Raises:
            InputError: If it is no use to go on.
        """
        in_vain = 0
        while any(map(self._is_left, self._plan.buckets)):  # a cluster takes long to start for nothing
            before = self._written()
            ended = self._run(progress)
            if not ended:
                return
            if self._how.address:
                raise InputError(
                    f"the Ray cluster at {self._how.address} is gone, or has ended this job ({ended}): the "
                    f"same command goes on, also with another one; what Ray says is in {self._log}"
                )
            in_vain = 0 if self._written() > before else in_vain + 1
            if in_vain == STARTS_IN_VAIN:
                raise InputError(
                    f"Ray has ended {STARTS_IN_VAIN} times without a result ({ended}): what it says is in "
                    f"{self._log}"
                )

    def _is_left(self, bucket: str) -> bool:
        if self._records.mark_of(bucket, self._plan, self._records.sizes()) is None:
            return True
        return bool(left_in(self._plan, self._records, bucket, slice(None), self._began)[1])

    def _run(self, progress: JobProgress) -> str:
        """With one cluster, until the end; how that came, in words, if it is not the right one."""
        if not self._started:
            where = f"joining the Ray cluster at {self._how.address}" if self._how.address else "starting Ray"
            self._say(f"{where}: this takes some seconds")
            self._started = True
        logs = _short_folder()
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        source, target = context.Pipe(duplex=False)
        name = new_name()
        process = context.Process(target=self._speak_with_ray, args=(name, logs, target, os.getpid()))
        process.start()
        target.close()
        try:
            return self._watch(process, source, progress)
        finally:
            process.kill()
            process.join()
            source.close()
            _end_session(process.pid)
            for path in self._job.folder.joinpath("members").glob(f"*{name.rpartition('-')[2]}*"):
                path.unlink(missing_ok=True)  # what is left of them
            shutil.rmtree(logs, ignore_errors=True)

    def _watch(self, process: multiprocessing.Process, source: Connection, progress: JobProgress) -> str:
        looked = began = time.monotonic()
        limit, ready = _TO_JOIN if self._how.address else _TO_START, False
        while True:
            over = process.exitcode is not None
            with contextlib.suppress(EOFError, OSError):
                while source.poll():
                    said = source.recv()
                    if said != _READY:
                        raise InputError(said)
                    ready = True
            if over:
                return "" if process.exitcode == 0 else exit_in_words(process.exitcode)
            now = time.monotonic()
            if not ready and now - began > limit:
                raise InputError(
                    f"the Ray cluster at {self._how.address} does not answer"
                    if self._how.address
                    else f"Ray has not started in {limit:.0f} s: what it says is in {self._log}"
                )
            if now - looked >= _LOOK_EVERY:
                looked = now
                progress.tell()
            process.join(_POLL)

    def _speak_with_ray(self, name: str, logs: str, target: Connection, parent: int) -> None:
        """In a new process, whose session all of Ray's are in."""
        from slowfast_ext.jobs.ray_driver import RayDriver, connected  # needs what may not be installed

        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_end_with, args=(parent, logs), daemon=True).start()
        try:
            _write_into(self._log)
            member = Member(self._job.folder, name, parent=parent)
            leave = connected(self._how.address, self._processes, logs)
            target.send(_READY)
            RayDriver(
                self._job, self._plan, self._records, member, self._how, self._timeout, self._began
            ).run()
            leave()
            member.close()
        except (InputError, OSError) as error:
            told = str(error)
            if isinstance(error, OSError):
                told = f"cannot write {self._job.folder}: {reason_of(error)}."
            target.send(told)
            raise SystemExit(_BAD_INPUT) from None
        except Exception as error:  # of Ray, of many kinds
            traceback.print_exc()
            told = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            target.send(f"Ray has ended the job: {told}; more is in {self._log}")
            raise SystemExit(_BAD_INPUT) from None

    def _written(self) -> int:
        """Bytes of all rows."""
        return sum(path.stat().st_size for path in (self._job.folder / "rows").iterdir())


def _short_folder() -> str:
    """For Ray's files, which has sockets there."""
    place = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix="vtn-ray-", dir=None if len(place) < _TEMPORARY else "/tmp")


def _write_into(path: Path) -> None:
    """Let all that this process and those that it starts say go into a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def _end_with(parent: int, logs: str) -> None:
    """Wait until the command has ended, and end all of Ray then: parts of it would wait for a minute."""
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY)
    shutil.rmtree(logs, ignore_errors=True)
    _end_session(os.getpid())


def _end_session(leader: int) -> None:
    """End all processes that one has started, and those that they have."""
    while alive := [
        int(path.name)
        for path in PROC.glob("[0-9]*")
        if (status := process_status(int(path.name)))[0] not in "ZX" and status[3] == str(leader)
    ]:
        for pid in sorted(alive, key=lambda pid: pid == leader):  # it may be this one
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL)
