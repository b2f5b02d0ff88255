"""What users change of a training that waits or runs: rate, clipping, weights and tasks."""

from __future__ import annotations

from typing import Any

from acc.errors import InvalidInput
from acc.messages import CommandKind, Payload
from acc.params import Param
from accsite.apps.jobs.models import Job, JobEvent, JobKind
from accsite.apps.jobs.services.control import command
from accsite.apps.training.models import Branch
from accsite.errors import WrongState

STEERING = frozenset({"set_weight", "set_enabled", "set_lr", "set_clip", "add_task", "remove_task"})
"""Commands that change what is computed: a resume applies them again, each at its step."""


def command_branch(*, actor: Any, branch: Branch, kind: CommandKind, payload: Payload) -> list[JobEvent]:
    """Write a command for every waiting or running train job of a branch: their specifications are frozen."""
    jobs = Job.objects.active().filter(branch=branch, kind=JobKind.TRAIN).order_by("pk")
    return [command(actor=actor, job=job, kind=kind, payload=payload) for job in jobs]


def set_lr(*, actor: Any, job: Job, payload: dict[str, Any]) -> JobEvent:
    """Write a command that changes the learning rate from the next step on, unless the same one waits already."""
    _require_training(job, "set_lr")
    try:
        lr = Param(1e-3, min=0, max=10).clean(payload.get("lr"))
    except ValueError as error:
        raise InvalidInput({"lr": f"{error}; give a learning rate above 0 and at most 10"}) from None
    if lr == 0:
        raise InvalidInput(lr=f"{payload['lr']!r} is refused: give a learning rate above 0, or pause the job")
    return _once(actor, job, "set_lr", {"lr": lr})


def set_clip(*, actor: Any, job: Job, payload: dict[str, Any]) -> JobEvent:
    """Write a command that changes what gradients are clipped at, ``grad_clip_norm``, from the next step on.

    None or an empty text: they are not clipped. Nothing is written while the same command waits.
    """
    _require_training(job, "set_clip")
    right = "give a norm above 0, or nothing to clip no gradient"
    if "grad_clip_norm" not in payload:
        raise InvalidInput(grad_clip_norm=f"missing; {right}")
    given = payload["grad_clip_norm"]
    try:
        clip = None if given in {None, ""} else Param(1.0, min=0).clean(given)
    except (ValueError, TypeError) as error:
        raise InvalidInput(grad_clip_norm=f"{error}; {right}") from None
    if clip == 0:
        raise InvalidInput(grad_clip_norm=f"{given!r} is refused: {right}")
    return _once(actor, job, "set_clip", {"grad_clip_norm": clip})


def _require_training(job: Job, kind: CommandKind) -> None:
    if job.kind != JobKind.TRAIN:
        raise WrongState({"kind": f"{kind!r} is for train jobs; job {job.pk} is of kind {job.kind!r}"})


def _once(actor: Any, job: Job, kind: CommandKind, payload: Payload) -> JobEvent:
    waiting = job.events.filter(kind=kind, status=JobEvent.Status.PENDING).order_by("-id").first()
    if waiting is not None and waiting.payload == payload:
        return waiting
    return command(actor=actor, job=job, kind=kind, payload=payload)
