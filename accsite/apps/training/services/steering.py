"""What users change of a training that waits or runs: rate, weights and tasks."""

from __future__ import annotations

from typing import Any

from acc.errors import InvalidInput
from acc.messages import CommandKind, Payload
from acc.params import Param
from accsite.apps.jobs.models import Job, JobEvent, JobKind
from accsite.apps.jobs.services.control import command
from accsite.apps.training.models import Branch
from accsite.errors import WrongState

STEERING = frozenset({"set_weight", "set_enabled", "set_lr", "add_task", "remove_task"})
"""Commands that change what is computed: a resume applies them again, each at its step."""


def command_branch(*, actor: Any, branch: Branch, kind: CommandKind, payload: Payload) -> list[JobEvent]:
    """Write a command for every waiting or running train job of a branch: their specifications are frozen."""
    jobs = Job.objects.active().filter(branch=branch, kind=JobKind.TRAIN).order_by("pk")
    return [command(actor=actor, job=job, kind=kind, payload=payload) for job in jobs]


def set_lr(*, actor: Any, job: Job, payload: dict[str, Any]) -> JobEvent:
    """Write a command that changes the learning rate from the next step on, unless the same one waits already."""
    if job.kind != JobKind.TRAIN:
        raise WrongState({"kind": f"'set_lr' is for train jobs; job {job.pk} is of kind {job.kind!r}"})
    try:
        lr = Param(1e-3, min=0, max=10).clean(payload.get("lr"))
    except ValueError as error:
        raise InvalidInput({"lr": f"{error}; give a learning rate above 0 and at most 10"}) from None
    if lr == 0:
        raise InvalidInput(lr=f"{payload['lr']!r} is refused: give a learning rate above 0, or pause the job")
    waiting = job.events.filter(kind="set_lr", status=JobEvent.Status.PENDING).order_by("-id").first()
    if waiting is not None and waiting.payload == {"lr": lr}:
        return waiting
    return command(actor=actor, job=job, kind="set_lr", payload={"lr": lr})
