"""What the control of the learning rate shows: the value in force, and what the job said to the newest change."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q

from accsite.apps.jobs.models import Job, JobEvent, JobKind
from accsite.apps.training.models import Branch
from accsite.apps.training.pages.tasks import said
from accsite.numbers import exact

SCHEDULES = {
    "constant": "",
    "one_cycle": "The schedule of the job rises to it and falls again.",
    "cosine": "The schedule of the job falls from it.",
    "step": "The schedule of the job falls from it in steps.",
    "plateau": "The schedule of the job falls from it when the total loss rests.",
}


@dataclass(frozen=True)
class Rate:
    """The learning rate of a train job that is still to end.

    ``value``: in force now, before its schedule. ``said``: what the job made of the newest change, and ``answer``
    the status of that command. ``text``: what stands in the field: what waits for the job, else what is in force.
    ``clip``: the norm that gradients are clipped at, None if they are not.
    """

    job: Job
    value: float
    said: str
    answer: str
    schedule: str
    text: str
    clip: float | None


def rate(branch: Branch) -> Rate | None:
    """Return the learning rate of the job that the branch trains by now, else the next; None without one."""
    job = steered_job(branch)
    if job is None:
        return None
    newest = job.events.filter(kind="set_lr").order_by("-id").first()
    value = in_force(job)
    asked = value
    if newest is not None and newest.status == JobEvent.Status.PENDING:
        asked = newest.payload["lr"]
    schedule = SCHEDULES.get(job.spec["train"]["lr_schedule"], "")
    answer = newest.status if newest is not None else ""
    clip = job.spec["train"].get("grad_clip_norm")
    return Rate(job, value, said(newest), answer, schedule, exact(asked), clip)


def steered_job(branch: Branch) -> Job | None:
    """Return the train job of a branch that a change of the rate goes to: the oldest that is still to end."""
    return branch.jobs.active().filter(kind=JobKind.TRAIN).order_by("id").first()


def in_force(job: Job) -> float:
    """Return the learning rate, before its schedule, that a job trains with now."""
    applied = job.events.filter(kind="set_lr", status=JobEvent.Status.APPLIED)
    claims = job.events.filter(kind="state", payload__attempt=job.attempt)
    claimed = claims.order_by("id").values_list("created_at", flat=True).first()
    if claimed is not None:
        # What an attempt that was lost had applied is applied again at its step, not before.
        begun = job.resume_checkpoint.job_step if job.resume_checkpoint else 0
        applied = applied.filter(Q(step__lt=begun) | Q(applied_at__gte=claimed))
    newest = applied.order_by("-step", "-id").first()
    return float(newest.payload["lr"] if newest is not None else job.spec["train"]["lr"])


def changes(job: Job, typed: str) -> bool:
    """Return whether what was typed is another rate than the one in force, or than the one that waits."""
    waiting = job.events.filter(kind="set_lr", status=JobEvent.Status.PENDING).exists()
    try:
        return waiting or float(typed) != in_force(job)
    except ValueError:
        return True
