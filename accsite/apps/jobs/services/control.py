"""What users ask of jobs that are waiting or running."""

from __future__ import annotations

from typing import Any

from acc.messages import PAYLOADS, CommandKind, Payload, checked
from accsite.apps.jobs import kinds
from accsite.apps.jobs.models import Job, JobEvent, JobKind
from accsite.apps.jobs.services import lifecycle
from accsite.apps.jobs.services.unit import announce, unit_of_work
from accsite.apps.jobs.states import HELD, TERMINAL, JobState
from accsite.errors import WrongState


@unit_of_work()
def command(*, actor: Any, job: Job, kind: CommandKind, payload: Payload | None = None) -> JobEvent:
    """Write a command for the worker that holds the job; raises WrongState if the job has ended.

    The row is locked first, so that a job which ends at the same moment answers this command too.
    """
    current = Job.objects.select_for_update().get(pk=job.pk)
    if current.state in TERMINAL:
        raise WrongState({"kind": f"{kind!r} came too late: job {job.pk} is {current.get_state_display()}"})
    event = JobEvent.objects.create(
        job=current,
        kind=kind,
        payload=checked(PAYLOADS[kind], payload or {}),
        status=JobEvent.Status.PENDING,
        actor=actor,
    )
    announce(current)
    return event


def pause_or_resume(*, actor: Any, job: Job, kind: CommandKind) -> JobEvent:
    """Write a pause or resume command; raises WrongState unless it is a train job that a worker holds."""
    if job.kind != JobKind.TRAIN:
        raise WrongState(
            {"kind": f"{kind!r} is for train jobs; job {job.pk} is of kind {job.kind!r}: stop it instead"}
        )
    if job.state not in HELD:
        right = (
            "it waits in its queue; cancel it, or wait until it runs"
            if job.state == JobState.QUEUED
            else "it has ended"
        )
        raise WrongState(
            {"kind": f"{kind!r} is for a running job; job {job.pk} is {job.get_state_display()}: {right}"}
        )
    return command(actor=actor, job=job, kind=kind)


def cancel(*, actor: Any, job: Job) -> Job:
    """Return the job, CANCELLED if it was waiting; one that has begun meanwhile is asked to stop.

    Raises WrongState when it has ended.
    """
    stop(actor=actor, job=job)
    job.refresh_from_db()
    return job


def why_not_stop(job: Job) -> str:
    """Return why a job cannot be asked to stop, whatever its state; empty if it can."""
    return "" if kinds.of(job).queue else "its loop runs outside of ACC: stop it there"


def stop(*, actor: Any, job: Job) -> JobEvent:
    """Return the event by which a job is stopped: cancelled if nobody has begun it, else asked to stop, once."""
    if why := why_not_stop(job):
        raise WrongState({"kind": f"job {job.pk} cannot be stopped here: {why}"})
    if job.state == JobState.QUEUED:
        event = lifecycle.cancel_queued(job, actor)
        if event is not None:
            return event
        job.refresh_from_db()  # a worker was faster
    asked = job.events.filter(kind="stop", status=JobEvent.Status.PENDING).first()
    return asked or command(actor=actor, job=job, kind="stop")
