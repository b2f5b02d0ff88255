"""Brings the database up to date, in a fork of the supervisor whose memory is given back with it."""

from __future__ import annotations

import os
import signal
import sys

from django.core.management import call_command
from django.core.management.base import CommandError

from acc import forked
from acc.errors import AccError
from accsite.schema import assert_schema
from accsite.supervisor.words import in_words


class Migration:
    """One that runs beside what the supervisor does meanwhile, where that can fork; else in its turn."""

    def __init__(self) -> None:
        self._fork: forked.Fork | None = None
        if forked.possible():
            self._said, told = os.pipe()
            self._fork = forked.fork(
                __name__,
                [str(told)],
                environment=dict(os.environ),
                keep=[told],
                death_signal=signal.SIGTERM,
            )
            os.close(told)

    def __enter__(self) -> Migration:
        return self

    def __exit__(self, *_exception: object) -> None:
        """Let it come to its end, whatever else could not be started."""
        if self._fork is not None:
            self._fork.wait()

    def wait(self) -> None:
        """Return when the database is up to date; raises AccError, with what is in the way, if it does not get so."""
        if self._fork is None:
            bring_up_to_date()
            return
        with os.fdopen(self._said, encoding="utf-8") as said:
            why = said.read()
        status = self._fork.wait()
        if status:
            raise AccError(
                why
                or f"the database could not be brought up to date (status {status}); what it said is above"
            )


def bring_up_to_date() -> None:
    """Migrate the database; raises OtherSchema if its tables are not those of this version even then."""
    call_command("migrate", interactive=False, verbosity=0)
    assert_schema()


def main() -> int:
    """Do so in a fork; what is in the way is written to the descriptor that it is given."""
    try:
        with in_words():
            bring_up_to_date()
    except CommandError as error:
        os.write(int(sys.argv[1]), str(error).encode())
        return 1
    return 0
