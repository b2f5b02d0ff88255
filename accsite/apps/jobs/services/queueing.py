"""Makes job rows with their doorbells: whatever submits or causes a job does it here."""

from __future__ import annotations

from typing import Any

import structlog

from accsite.apps.jobs import kinds
from accsite.apps.jobs.models import Job, JobEvent
from accsite.apps.jobs.services import outbox
from accsite.apps.jobs.services.unit import announce, unit_of_work

log = structlog.get_logger(__name__)


@unit_of_work()
def enqueue(kind: str, *, queue: str = "", **fields: Any) -> Job:
    """Return a new QUEUED job with its doorbell, rung once the transaction is committed.

    queue: another one than is usual for its kind.
    """
    job = Job.objects.create(kind=kind, queue=queue or kinds.queue_of(kind), **fields)
    outbox.queue_up(job)
    announce(job)
    log.info("job_queued", job_id=job.pk, kind=job.kind, queue=job.queue, by=str(job.created_by or ""))
    return job


def note(job_id: int, kind: str, payload: dict[str, Any], message: str, step: int | None = None) -> JobEvent:
    """Return a new event that is only told, not asked for: a state, an alarm, a note."""
    return JobEvent.objects.create(job_id=job_id, kind=kind, payload=payload, message=message, step=step)
