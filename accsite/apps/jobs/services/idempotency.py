"""A request that is sent twice makes one job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import IntegrityError, transaction

from acc.errors import InvalidInput
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services import queueing

MAX_KEY_LENGTH = 80


def enqueue_once(actor: Any, key: str | None, kind: str, **fields: Any) -> Job:
    """Return a new job, or the one that the same request made at this very moment."""

    def enqueue() -> Job:
        with transaction.atomic():
            return queueing.enqueue(kind, created_by=actor, idempotency_key=key or None, **fields)

    return made_once(actor, key, enqueue)


def made_once(actor: Any, key: str | None, make: Callable[[], Job]) -> Job:
    """Return what ``make`` does in a transaction, or the job that got the same key at this very moment."""
    try:
        return make()
    except IntegrityError:
        known = submitted_before(actor, key)
        if known is None:
            raise
        return known


def submitted_before(actor: Any, key: str | None) -> Job | None:
    """Return the job that a request of this key has made, if it came before; raises InvalidInput for a long key."""
    if not key:
        return None
    if len(key) > MAX_KEY_LENGTH:
        raise InvalidInput(
            {"idempotency_key": f"it has {len(key)} characters; at most {MAX_KEY_LENGTH} are allowed"}
        )
    return Job.objects.filter(created_by=actor, idempotency_key=key).first()
