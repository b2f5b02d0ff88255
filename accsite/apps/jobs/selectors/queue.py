"""Reads the queues: which job is next, and which place each one has."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.db.models import F, FloatField, QuerySet
from django.db.models.functions import Cast, Coalesce

from accsite.apps.jobs.models import Job
from accsite.apps.jobs.states import JobState

_PLACE: Any = Coalesce("position", Cast("id", FloatField()))
ORDER: Any = (F("priority").desc(), _PLACE.asc(), F("id").asc())
"""Within one queue: higher priority first, then as moved by hand, then as submitted."""


def waiting(queue: str | None = None) -> QuerySet[Job]:
    """Return the queued jobs, the next one first."""
    rows = Job.objects.filter(state=JobState.QUEUED).order_by("queue", *ORDER)
    return rows if queue is None else rows.filter(queue=queue)


def position(job: Job) -> float:
    """Return the number that the order of a job among those of its priority follows."""
    return float(job.pk) if job.position is None else job.position


def places() -> dict[int, int]:
    """Return the place of each queued job in its queue, 1 for the next."""
    found: dict[int, int] = {}
    counts: dict[str, int] = defaultdict(int)
    for pk, queue in waiting().values_list("pk", "queue"):
        counts[queue] += 1
        found[pk] = counts[queue]
    return found
