"""Numbers of a job that its user changes while it trains: which are, and what is in force."""

from __future__ import annotations

from django.db.models import Q

from acc.messages import CommandKind
from accsite.apps.jobs.models import Job, JobEvent, JobKind
from accsite.apps.training.models import Branch

COMMANDS: dict[str, CommandKind] = {"lr": "set_lr", "grad_clip_norm": "set_clip"}
"""Fields of ``TrainSpec`` that are changed while a job trains, and the commands that do it."""


def steered_job(branch: Branch) -> Job | None:
    """Return the train job of a branch that a change goes to: the oldest that is still to end."""
    return branch.jobs.active().filter(kind=JobKind.TRAIN).order_by("id").first()


def in_force(job: Job, name: str = "lr") -> float | None:
    """Return what a job trains with now: its learning rate before the schedule, or another of ``COMMANDS``."""
    applied = job.events.filter(kind=COMMANDS[name], status=JobEvent.Status.APPLIED)
    claims = job.events.filter(kind="state", payload__attempt=job.attempt)
    claimed = claims.order_by("id").values_list("created_at", flat=True).first()
    if claimed is not None:
        # What an attempt that was lost had applied is applied again at its step, not before.
        begun = job.resume_checkpoint.job_step if job.resume_checkpoint else 0
        applied = applied.filter(Q(step__lt=begun) | Q(applied_at__gte=claimed))
    newest = applied.order_by("-step", "-id").first()
    value = newest.payload[name] if newest is not None else job.spec["train"].get(name)
    return None if value is None else float(value)
