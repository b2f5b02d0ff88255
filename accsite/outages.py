"""Tells a full disk, and a database that is busy or away, from faults of this site."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass

from django.db import DatabaseError, InterfaceError, OperationalError

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
    "is full": FULL,  # SQLite
    "No space left": FULL,  # PostgreSQL
    "readonly database": READ_ONLY,
    "read-only transaction": READ_ONLY,
    "is locked": BUSY,
    "lock timeout": BUSY,
}


def outage(error: BaseException | None) -> Outage | None:
    """Return the outage that an error comes from, None if it is none."""
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno in BY_NUMBER:
            return BY_NUMBER[each.errno]
        if isinstance(each, DatabaseError):
            for words, found in BY_WORDS.items():
                if words in str(each):
                    return found
        if isinstance(each, OperationalError | InterfaceError) and "no such" not in str(each):
            return AWAY
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
