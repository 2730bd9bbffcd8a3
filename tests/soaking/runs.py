"""A tiny training in processes of its own, forked from one that has everything loaded: it starts in a second.

The program is what a user's command runs, from its arguments on; the launcher is the project's, but forks its
processes where it would start them from nothing, which takes seconds each.
"""

import atexit
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tiny_runs import ROOT, TINY
from videos import make_video

from soaking.phases import Phases
from soaking.users import become

NUM_VIDEOS, EPOCHS = 16, 3
_KEYS = (
    "ENGINE own TEST.ENABLE False LOG_MODEL_INFO False TRAIN.EVAL_FULL_VIDEO False "
    f"SOLVER.MAX_EPOCH {EPOCHS} SOLVER.BASE_LR 0.01 TRAIN.BATCH_SIZE 8 TRAIN.ACCUMULATE_STEPS 2 "
    "TRAIN.EMA_DECAY 0.9 AUG.ENABLE True MIXUP.ENABLE True MODEL.LOSS_FUNC soft_cross_entropy "
    "TRAIN.CHECKPOINT_MINUTES 0.0005 "
    "TRAIN.CHECKPOINTS_KEPT 2 DATA_LOADER.VIDEO_TIMEOUT 20 DIST_TIMEOUT 12"
).split()
_I3D = "MODEL.MODEL_NAME ResNet MODEL.ARCH i3d RESNET.WIDTH_PER_GROUP 8 BN.NUM_BATCHES_PRECISE 2".split()


@dataclass(frozen=True)
class Scenario:
    """A training; the same one ends with the same bits however often it is stopped.

    Attributes:
        name: In a few words.
        processes: That train.
        keys: Beside those of all scenarios.
    """

    name: str
    processes: int
    keys: tuple[str, ...]


SCENARIOS = [
    Scenario("VTN, 1 process", 1, ("DATA_LOADER.NUM_WORKERS", "2")),
    Scenario("VTN, 2 processes", 2, ("DATA_LOADER.NUM_WORKERS", "1", "VTN.CPU_PROCESSES", "2")),
    Scenario("I3D, 1 process", 1, ("DATA_LOADER.NUM_WORKERS", "1", *_I3D)),
]


def make_data(folder: Path) -> None:
    """Write the videos, their lists and the configuration."""
    for number in range(NUM_VIDEOS):
        make_video(folder / f"{number}.mp4", 16 + number, fps=25, size=(64, 48))
    rows = "".join(f"{folder}/{number}.mp4 {number % 5}\n" for number in range(NUM_VIDEOS))
    for split in ("train", "val", "test"):
        (folder / f"{split}.csv").write_text(rows)
    (folder / "tiny.yaml").write_text(TINY)


def load_everything() -> None:
    """Import what a training needs, so that forked processes have it; no thread may be started by it."""
    for name in ("run_net", "config", "plugin.loops", "engine.train", "models"):
        importlib.import_module(f"slowfast_ext.{name}")
    importlib.import_module("slowfast_ext.host").get_host()
    others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if others:
        raise RuntimeError(f"a process with threads ({', '.join(others)}) cannot be forked safely")


class Attempt:
    """A training that has been started, in a session of its own.

    Args:
        scenario: What is trained.
        data: Folder of the videos.
        out: OUTPUT_DIR.
        phases: Its processes write into it.
        user: User id of its processes; None is the one of this process.
    """

    def __init__(self, scenario: Scenario, data: Path, out: Path, phases: Phases, user: int | None) -> None:
        self.scenario, self.out, self.phases, self.user = scenario, out, phases, user
        self.log = out.with_name("log.txt")
        self._log_begin = self.log.stat().st_size if self.log.exists() else 0
        self.status: int | None = None
        phases.clear()
        paths = ["DATA.PATH_TO_DATA_DIR", str(data), "OUTPUT_DIR", str(out)]
        self._arguments = ["--cfg", str(data / "tiny.yaml"), *paths, *_KEYS, *scenario.keys]
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._be_it()
        self.began = time.monotonic()

    def _be_it(self) -> None:
        """The new process; never returns."""
        status = 1
        try:
            self._settle_in()
            from slowfast_ext.cli import run_command

            sys.argv = ["tools/run_net.py", *self._arguments]
            run_command("run_net")
            status = 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(BaseException):  # as a program ends
                threading._shutdown()
                atexit._run_exitfuncs()
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _settle_in(self) -> None:
        import torch

        os.setsid()
        handle = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(ROOT)
        folder = str(self.out.parent)
        os.environ.update(HOME=folder, TMPDIR=folder, USER="soak", LOGNAME="soak")
        if self.user is not None:
            os.chown(self.out.parent, self.user, self.user)
            become(self.user)
        get_context = torch.multiprocessing.get_context
        torch.multiprocessing.get_context = lambda method=None: get_context("fork")
        self.phases.watch()

    def is_alive(self) -> bool:
        """Whether the command has not ended."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is None

    def wait(self, seconds: float) -> int | None:
        """The exit status of the command, negative for a signal; None if it has not ended by then."""
        deadline = time.monotonic() + seconds
        while self.is_alive() and time.monotonic() < deadline:
            time.sleep(0.005)
        return self.status

    def reach(self, place: str, seconds: float) -> bool:
        """Wait until a process is at one of PLACES; False if the command has ended before, or time is up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.phases.is_at(place):
                return True
            if not self.is_alive():
                return False
            time.sleep(0.0005)
        return False

    def signal(self, number: int, pid: int | None = None, *, group: bool = False) -> None:
        """Send a signal to the command, to another process, or to all as a terminal does."""
        with suppress(ProcessLookupError):
            if group:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid if pid is None else pid, number)

    def end(self) -> None:
        """Kill what is left of it."""
        self.signal(signal.SIGKILL, group=True)
        self.wait(10)

    @property
    def said(self) -> str:
        """What it has written to the screen."""
        with self.log.open(errors="replace") as file:
            file.seek(self._log_begin)
            return file.read()
