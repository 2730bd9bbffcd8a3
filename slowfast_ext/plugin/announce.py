"""How a log begins: the device, then which PySlowFast is running and what was cured."""

import contextlib
import functools
import logging
import os
import sys

from fvcore.common.config import CfgNode

from slowfast_ext.distributed import describe_devices
from slowfast_ext.files import reason_of
from slowfast_ext.host import describe_host, get_host


def begin_log(cfg: CfgNode) -> None:
    """Log to the screen and to OUTPUT_DIR/stdout.log, and say first what runs where."""
    os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
    get_host().setup_logging(cfg.OUTPUT_DIR)
    for handler in logging.root.handlers:
        handler.handleError = _say_once
    get_host().get_logger(__name__).info(describe_devices(cfg))
    announce_host(cfg.OUTPUT_DIR)


def _say_once(record: logging.LogRecord) -> None:
    """In the place of a traceback for each line that cannot be logged, on a full disk for instance."""
    _tell(reason_of(sys.exc_info()[1]))


@functools.cache
def _tell(reason: str) -> None:
    with contextlib.suppress(OSError):  # the screen may be a file on the same disk
        sys.stderr.write(f"lines are missing in the log, which cannot be written ({reason})\n")


@functools.cache
def announce_host(output_dir: str | None) -> None:
    """Write the line of `describe_host` to the log, once for each folder that a log goes to."""
    get_host().get_logger(__name__).info(describe_host())
