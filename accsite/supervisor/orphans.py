"""Lets the kernel end a child whose parent was killed, so that nothing is left running by accident."""

from __future__ import annotations

import ctypes
import signal

PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Ask for SIGTERM when the thread that started this process is gone; to be run between fork and exec."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
