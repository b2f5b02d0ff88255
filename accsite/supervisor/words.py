"""Why the platform cannot run, in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError
from django.db import DatabaseError

from acc.errors import AccError


@contextmanager
def in_words() -> Iterator[None]:
    """Tell in a sentence, with status 1, why the platform cannot run."""
    try:
        yield
    except AccError as error:
        raise CommandError(str(error)) from error
    except DatabaseError as error:
        why = " ".join(str(error).split())
        raise CommandError(f"the database refuses: {why}; `manage.py doctor` says what to do") from error
    except OSError as error:
        where = f"{error.filename!r}: " if error.filename else ""
        raise CommandError(f"{where}{error.strerror or error}") from error
