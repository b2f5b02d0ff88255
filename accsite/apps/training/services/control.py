"""What users ask of jobs that are waiting or running."""

from __future__ import annotations

from typing import Any

from acc.errors import InvalidInput
from acc.params import Param
from accsite.apps.training.models import Branch, Job, JobEvent, JobKind
from accsite.apps.training.services.unit import announce, unit_of_work
from accsite.apps.training.states import HELD, TERMINAL, JobState
from accsite.errors import WrongState

STEERING = frozenset({"set_weight", "set_enabled", "set_lr", "add_task", "remove_task"})
"""Commands that change what is computed: a resume applies them again, each at its step."""


@unit_of_work()
def command(*, actor: Any, job: Job, kind: str, payload: dict[str, Any] | None = None) -> JobEvent:
    """Write a command for the worker that holds the job; raises WrongState if the job has ended.

    The row is locked first, so that a job which ends at the same moment answers this command too.
    """
    current = Job.objects.select_for_update().get(pk=job.pk)
    if current.state in TERMINAL:
        raise WrongState({"kind": f"{kind!r} came too late: job {job.pk} is {current.get_state_display()}"})
    event = JobEvent.objects.create(
        job=current, kind=kind, payload=payload or {}, status=JobEvent.Status.PENDING, actor=actor
    )
    announce(current)
    return event


def command_branch(*, actor: Any, branch: Branch, kind: str, payload: dict[str, Any]) -> list[JobEvent]:
    """Write a command for every waiting or running train job of a branch: their specifications are frozen."""
    jobs = Job.objects.active().filter(branch=branch, kind=JobKind.TRAIN).order_by("pk")
    return [command(actor=actor, job=job, kind=kind, payload=payload) for job in jobs]


def pause_or_resume(*, actor: Any, job: Job, kind: str) -> JobEvent:
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


def stop(*, actor: Any, job: Job) -> JobEvent:
    """Write a stop command, or return the one that is still to be applied."""
    asked = job.events.filter(kind="stop", status=JobEvent.Status.PENDING).first()
    return asked or command(actor=actor, job=job, kind="stop")


def set_lr(*, actor: Any, job: Job, payload: dict[str, Any]) -> JobEvent:
    """Write a command that changes the learning rate from the next step on, unless the same one waits already."""
    if job.kind != JobKind.TRAIN:
        raise WrongState({"kind": f"'set_lr' is for train jobs; job {job.pk} is of kind {job.kind!r}"})
    try:
        lr = Param(1e-3, min=0, max=10).clean(payload.get("lr"))
    except ValueError as error:
        raise InvalidInput({"lr": f"{error}; give a learning rate above 0 and at most 10"}) from None
    if lr == 0:
        raise InvalidInput(
            {"lr": f"{payload['lr']!r} is refused: give a learning rate above 0, or pause the job"}
        )
    waiting = job.events.filter(kind="set_lr", status=JobEvent.Status.PENDING).order_by("-id").first()
    if waiting is not None and waiting.payload == {"lr": lr}:
        return waiting
    return command(actor=actor, job=job, kind="set_lr", payload={"lr": lr})
