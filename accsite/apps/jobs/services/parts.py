"""Parts of jobs that are spread over machines: handed out with the claim, joined, watched by rank 0, ended.

As in ``lifecycle``, each write is one guarded UPDATE: of a part whose attempt no longer holds its job, nothing is
written. No lock is held between machines.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from django.db.models import QuerySet

from accsite.apps.jobs.models import Job, JobPart
from accsite.apps.jobs.services import leases, outbox
from accsite.apps.jobs.services.unit import touch, unit_of_work

if TYPE_CHECKING:
    from accsite.apps.jobs.services.placement import Allocation

LOST_OTHERS = "lost the others"
"""How a part ends whose ranks are well, but not those of another."""


def share_out(job: Job, places: Sequence[Allocation]) -> list[str]:
    """Make the parts of a job that was just claimed, for all places but the first; return their workers' names."""
    first = len(places[0].devices)
    for place in places[1:]:
        JobPart.objects.create(
            job=job,
            attempt=job.attempt,
            worker=place.worker,
            first_rank=first,
            devices=list(place.devices),
            lease_expires_at=leases.end(),
        )
        first += len(place.devices)
    if len(places) > 1:
        touch("workers")
    return [place.worker.name for place in places[1:]]


def of(job: Job) -> list[JobPart]:
    """Return the parts of the attempt that holds a job now, by their ranks."""
    return list(job.parts.filter(attempt=job.attempt).select_related("worker"))


def waiting_for(worker: str) -> list[JobPart]:
    """Return the parts that ``worker`` is to join."""
    return list(JobPart.objects.live().filter(worker__name=worker, state=JobPart.State.WAITING))


def tell(job: Job, *, address: str, resume_from: str) -> None:
    """Tell the parts of a job where rank 0 waits for them, and from which checkpoint it goes on ('' for none)."""
    job.parts.filter(attempt=job.attempt).update(address=address, resume_from=resume_from)


def join(part: JobPart) -> bool:
    """Begin the part; return False if it does not count any more, or was begun already."""
    return _write(part, only_from=[JobPart.State.WAITING], state=JobPart.State.JOINED)


def renew(part: JobPart) -> bool:
    """Put off the end of the part's lease; return False if it does not count any more: then stop."""
    return bool(JobPart.objects.live().filter(pk=part.pk).update(lease_expires_at=leases.end()))


@unit_of_work()
def end(part: JobPart, *, lost: str = "", error: str = "") -> bool:
    """End the part; return False if it did not count any more. lost: how it broke; error: what the job did wrong."""
    ended = _write(part, state=JobPart.State.ENDED, lost=lost, error=error)
    touch("workers")
    outbox.ring_waiting(part.job.queue)  # its worker heard bells meanwhile and could answer none
    return ended


def drain(worker: str) -> None:
    """Say that ``worker`` is to shut down: rank 0 has the jobs it takes part in saved and handed back."""
    JobPart.objects.live().filter(worker__name=worker).update(draining=True)


def silent(job: Job) -> QuerySet[JobPart]:
    """Return the parts of a job whose workers have not reported for a lease."""
    return JobPart.objects.live().filter(leases.ended(), job=job)


def _write(part: JobPart, *, only_from: Iterable[str] = (), **changes: object) -> bool:
    rows = JobPart.objects.live().filter(pk=part.pk)
    if only_from:
        rows = rows.filter(state__in=only_from)
    return bool(rows.update(**changes))
