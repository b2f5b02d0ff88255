"""One transaction per service, however services call each other, with its signals raised once and last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.db import transaction

from accsite.apps.jobs.models import Job
from accsite.apps.live.services import bump

Keep = Callable[[frozenset[str]], None]
KEEPERS: list[Keep] = []
"""What other apps keep of jobs and of what is measured: called with the topics that have changed, in the transaction
that changed them."""


class _Signals:
    def __init__(self) -> None:
        self.topics: set[str] = set()


_current: ContextVar[_Signals | None] = ContextVar("signals_of_this_unit_of_work", default=None)


@contextmanager
def unit_of_work() -> Iterator[None]:
    """Run as one transaction; also a decorator.

    Topics touched within are raised together at its very end: they are rows that every writer shares, and two
    transactions that took them one by one, in different orders, would wait for each other for ever.
    """
    outer = _current.get()
    if outer is not None:
        with transaction.atomic():
            yield
        return
    signals = _Signals()
    token = _current.set(signals)
    try:
        with transaction.atomic():
            yield
            for keep in KEEPERS:
                keep(frozenset(signals.topics))
            bump(*signals.topics)
    finally:
        _current.reset(token)


def touch(*topics: str) -> None:
    """Tell open pages, when this unit of work is committed, that ``topics`` have changed."""
    signals = _current.get()
    assert signals is not None, "touch() is called within unit_of_work()"
    signals.topics.update(topics)


def announce(job: Job) -> None:
    """Tell open pages, when this unit of work is committed, that a job has changed.

    Everybody hears that some job has changed, and nothing of which: it may belong to a private experiment.
    """
    touch("jobs", f"job:{job.pk}")
