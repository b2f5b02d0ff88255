"""Files by their descriptors: what was opened stays what it was, whatever is put at its path meanwhile."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

_STEP = (
    os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
)  # a pipe with nobody at its end is not waited for


def opened_below(root: int | Path, parts: Sequence[str], stack: ExitStack | None = None) -> int:
    """Return a descriptor of the file or folder that lies at ``parts`` below a folder; no link is followed to it.

    stack: what closes it. Raises OSError for a link on the way, also for what is neither file nor folder.
    """
    at = os.dup(root) if isinstance(root, int) else os.open(root, _STEP & ~os.O_NOFOLLOW | os.O_DIRECTORY)
    try:
        for place, part in enumerate(parts):
            inner = os.open(part, _STEP | (os.O_DIRECTORY if place + 1 < len(parts) else 0), dir_fd=at)
            os.close(at)
            at = inner
        mode = os.fstat(at).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise OSError(None, "it is no plain file")
    except BaseException:
        os.close(at)
        raise
    if stack is not None:
        stack.callback(os.close, at)
    return at


def through(handle: int) -> Path:
    """Return the path by which this process opens again what a descriptor is of."""
    place = Path("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd")  # noqa: PTH112 - a constant
    return place / str(handle)
