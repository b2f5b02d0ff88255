"""Tells a full disk, and a database that is busy or away, from faults of this site."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass

from django.db import DatabaseError, InterfaceError

AGAIN = "nothing of this request was kept; send it again later"


@dataclass(frozen=True)
class Outage:
    """A status and what to say with it."""

    code: int
    title: str
    detail: str


FULL = Outage(
    507,
    "The disk is full",
    "nothing of this request was kept; free room on the disk of ACC_HOME or of the database, then send it again "
    "(`manage.py prune --dry-run` says what could go)",
)
READ_ONLY = Outage(
    503, "The disk cannot be written", f"ACC_HOME or the database is read-only (`manage.py doctor`); {AGAIN}"
)
BUSY = Outage(503, "The database is busy", AGAIN)
AWAY = Outage(503, "The database does not answer", AGAIN)
BY_NUMBER = {errno.ENOSPC: FULL, errno.EDQUOT: FULL, errno.EROFS: READ_ONLY}
BY_WORDS = {
    FULL: (
        "is full",  # SQLite
        "no space left",  # PostgreSQL
    ),
    READ_ONLY: ("readonly database", "read-only transaction"),
    BUSY: ("is locked", "lock timeout", "deadlock detected", "could not serialize access"),
    AWAY: (
        "unable to open database file",  # SQLite
        "disk i/o error",
        "connection refused",  # PostgreSQL and its client, from here on
        "connection failed",
        "connection to server",
        "connection timeout",
        "connection timed out",
        "connection reset",
        "connection is",  # lost, closed, bad
        "closed the connection",
        "terminating connection",
        "couldn't get a connection",
        "failed to resolve host",
        "consuming input failed",
        "sending query failed",
        "ssl syscall error",
        "the database system is",  # starting up, shutting down, in recovery
        "too many clients",
        "remaining connection slots",
    ),
}
"""What the databases say, in small letters. An OperationalError that says something else is a fault of this site."""


def outage(error: BaseException | None) -> Outage | None:
    """Return the outage that an error comes from, None if it is none."""
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno in BY_NUMBER:
            return BY_NUMBER[each.errno]
        if isinstance(each, DatabaseError):
            said = str(each).lower()
            for found, known in BY_WORDS.items():
                if any(words in said for words in known):
                    return found
        if isinstance(each, InterfaceError):
            return AWAY
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
