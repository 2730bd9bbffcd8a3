"""Becoming another user, to whom files are denied; but Python, which may lie in root's home, is not."""

import ctypes
import os

_PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _RAISE = 8, 47, 2
_VERSION = 0x20080522
_READ_SEARCH = 2  # CAP_DAC_READ_SEARCH: to read any file, but to write none


def become(user: int) -> None:
    """Let this process, which is root, be another user from now on, who may read everything.

    Raises:
        OSError: If it cannot be done.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _must(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    bit = 1 << _READ_SEARCH
    _must(
        libc.capset(header, (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0))
    )  # effective, permitted, inheritable
    _must(libc.prctl(_PR_CAP_AMBIENT, _RAISE, _READ_SEARCH, 0, 0))  # for programs that it starts


def _must(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
