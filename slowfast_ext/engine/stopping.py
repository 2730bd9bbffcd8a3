"""Signals that ask a training to end: it finishes its step, saves, and leaves as shells expect."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from slowfast_ext.processes import SAME_SIGNAL_SECONDS, STOP_SIGNALS

# The bits that processes tell each other in every step: a checkpoint is due, or 1 << n: signal n has come.
SAVE = 1


class Stopped(SystemExit):
    """A training has been ended by a signal, in good order; the exit status is 128 plus its number.

    Attributes:
        number: Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


class Noted:
    """The first signal that asked this process to end.

    Attributes:
        number: Of the signal; 0 if none has come.
    """

    def __init__(self) -> None:
        self.number, self._came = 0, 0.0

    @property
    def bits(self) -> int:
        """What the other processes are told."""
        return 1 << self.number if self.number else 0

    def take(self, number: int, frame: FrameType | None) -> None:
        """Note a signal; a second one ends the process at once, whatever it is doing."""
        now, before = time.monotonic(), self._came
        self._came = now
        if number == self.number and now - before < SAME_SIGNAL_SECONDS:
            return
        if self.number:
            text = f"\n{signal.Signals(number).name}: left at once, as a second signal asks\n"
            os.write(2, text.encode())  # print() may be what was interrupted
            os._exit(128 + number)
        self.number = number


def signal_in(bits: int) -> int:
    """The signal that any process has noted, the least if there are several; 0 if there is none."""
    bits &= ~SAVE
    return (bits & -bits).bit_length() - 1 if bits else 0


@contextmanager
def stop_signals() -> Iterator[Noted]:
    """Within, SIGTERM, SIGINT and SIGUSR1 are noted, so that nothing is interrupted at a bad moment.

    An exception that a handler raises may be lost: Python runs handlers inside callbacks, such as those
    around a fork, whose exceptions it ignores. Outside the main thread nothing can be noted.
    """
    noted = Noted()
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = {number: signal.signal(number, noted.take) for number in STOP_SIGNALS}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: set by something else than Python
