"""What operators do with jobs that went wrong: ask the same again, or take one from its worker."""

from __future__ import annotations

from typing import Any

from accsite.apps.jobs import kinds
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services import lifecycle
from accsite.apps.jobs.services.idempotency import made_once, submitted_before
from accsite.apps.jobs.services.unit import unit_of_work
from accsite.apps.jobs.states import HELD, JobState
from accsite.errors import WrongState

AGAIN = frozenset({JobState.FAILED, JobState.CANCELLED})


def why_not_retry(job: Job) -> str:
    """Return in a sentence why a job cannot be tried again as it is; empty if it can, or only trying tells."""
    if job.state in AGAIN:
        return ""
    return f"job {job.pk} is {job.get_state_display()}; only one that failed or was stopped is tried again"


def why_not_requeue(job: Job) -> str:
    """Return in a sentence why a job cannot be taken from its worker; empty if it can."""
    if not kinds.of(job).queue:
        return "its loop runs outside of ACC, and no worker could go on with it"
    return "" if job.state in HELD else _held_by_none(job)


def retry(*, actor: Any, job: Job, idempotency_key: str | None = None) -> Job:
    """Return a new job that was asked what a failed or stopped one was; a recipe goes on where it was.

    Raises WrongState for a job in another state or of a kind that cannot be repeated, InvalidInput when what it
    asks for is not possible any more.
    """
    return made_once(actor, idempotency_key, lambda: _retry(actor, job, idempotency_key))


@unit_of_work()
def _retry(actor: Any, job: Job, idempotency_key: str | None) -> Job:
    kinds.of(job).lock_to_retry(job)
    job = Job.objects.select_for_update().get(pk=job.pk)  # of two at once, one is after the other
    known = submitted_before(actor, idempotency_key)
    if known is not None:
        return known
    if why_not := why_not_retry(job):
        raise WrongState(job=why_not)
    made = kinds.of(job).retry(actor=actor, job=job)
    if idempotency_key:
        # One that waits already, and is the answer, keeps the key with which it was asked for.
        rows = Job.objects.filter(pk=made.pk, created_by=actor, idempotency_key=None)
        rows.update(idempotency_key=idempotency_key)
    return made


def requeue(*, actor: Any, job: Job) -> Job:
    """Return the job, taken from its worker and put back into its queue; it goes on at its newest checkpoint.

    The worker finds that its attempt is over at its next write, and lets go. Raises WrongState for a job that no
    worker holds.
    """
    who = getattr(actor, "username", "") or "an operator"
    if not kinds.of(job).queue:
        raise WrongState({"job": f"job {job.pk} cannot be put back: {why_not_requeue(job)}"})
    if job.state not in HELD or not lifecycle.hand_back(
        job.pk, job.attempt, f"put back into its queue by {who}"
    ):
        raise WrongState({"job": _held_by_none(job)})
    job.refresh_from_db()
    return job


def _held_by_none(job: Job) -> str:
    return f"job {job.pk} is held by no worker, so there is nothing to take it from"
