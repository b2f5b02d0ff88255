"""What `manage.py up` and `demo` fork of themselves: site, starter and a migration share what they have imported.

A fork can only be made while the supervisor has one thread; what has to be started anew later is a program of its own.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping

from acc import forked

TITLE_BYTES = 200

_has_room = False


def begin() -> None:
    """Start this program anew, under its process id, with room for its forks' marks and titles; then return in that.

    To be called before Django is imported. Numpy is imported here, so that it makes no threads.
    """
    global _has_room  # noqa: PLW0603 - it is about this process
    room = "." * TITLE_BYTES
    if forked.ROOM not in os.environ or sys.argv[-1] != room:
        command = [sys.executable, *sys.orig_argv[1:], room]
        environment = {**os.environ, forked.ROOM: "." * forked.ROOM_BYTES}
        os.execve(sys.executable, command, environment)  # noqa: S606 - our own interpreter
    del os.environ[forked.ROOM], sys.argv[-1]
    before = dict(os.environ)
    # Titles take the place of the arguments alone: the environment is where a worker's processes bear its mark.
    os.environ.update(OPENBLAS_NUM_THREADS="1", SPT_NOENV="1")
    import numpy  # noqa: F401
    from setproctitle import setproctitle

    setproctitle(" ".join(sys.orig_argv[:-1]))
    os.environ.clear()
    os.environ.update(before)
    _has_room = True


def freeze() -> None:
    """Keep what is imported by now out of the collector's reach, and have it shared by what is forked from now on."""
    from django.db import connections

    if _has_room:
        connections.close_all()  # a check may have opened one, and no fork may use it
        gc.collect()
        gc.freeze()
        forked.warm()


def settle(environment: Mapping[str, str]) -> None:
    """Be in a fork as a program that was started with this environment: what it writes, and how it logs."""
    if not forked.is_fork():
        return
    import logging

    from django.conf import settings

    from accsite.logging import setup

    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    logging.getLogger("accsite").setLevel(logging.NOTSET)  # which a quiet console has raised
    setup({**settings.LOGGING, "format": environment.get("ACC_LOG_FORMAT", "auto")})
