"""Writes that must not be lost: tried again until the database takes them, or the job is another's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import structlog
from django.db import InterfaceError, OperationalError, connection

from workers.fork import copies

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
COMPLAIN_EVERY_SECONDS = 10.0

T = TypeVar("T")
log = structlog.get_logger(__name__)


class GivenUp(RuntimeError):
    """A write was abandoned because the job is no longer this process's."""


def insist(write: Callable[[], T], *, given_up: threading.Event | None = None) -> T:
    """Return what ``write`` returns, trying again for as long as the database is locked or away.

    Every other exception, Fenced above all, passes. Raises GivenUp once ``given_up`` is set.
    """
    copies.end_if_copy()
    pause, complained = FIRST_PAUSE_SECONDS, float("-inf")
    while True:
        try:
            return write()
        except (OperationalError, InterfaceError) as error:
            now = time.monotonic()
            if now - complained > COMPLAIN_EVERY_SECONDS:
                log.warning(
                    "database_unavailable", error=str(error).strip(), hint="kept in memory and tried again"
                )
                complained = now
            disconnect()
        if given_up is None:
            time.sleep(pause)
        elif given_up.wait(pause):
            raise GivenUp
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def disconnect() -> None:
    """Close this thread's connection to the database, even a broken one."""
    with suppress(Exception):
        connection.close()
