"""What the controls of a job's numbers show, its rate and its clipping: the value in force, and the newest answer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from accsite.apps.jobs.models import Job, JobEvent
from accsite.apps.training.models import Branch
from accsite.apps.training.pages.tasks import said
from accsite.apps.training.selectors.steered import COMMANDS, in_force, steered_job
from accsite.numbers import exact

SCHEDULES = {
    "constant": "",
    "one_cycle": "The schedule of the job rises to it and falls again.",
    "cosine": "The schedule of the job falls from it.",
    "step": "The schedule of the job falls from it in steps.",
    "plateau": "The schedule of the job falls from it when the total loss rests.",
}


@dataclass(frozen=True)
class Steered:
    """A number of a train job that its user may change: ``name`` of the field, ``label``, and what it is ``about``.

    ``value``: in force now, in words. ``said``: what the job made of the newest change, and ``answer`` the status
    of that command. ``text``: what stands in the field: what waits for the job, else what is in force. ``hint``:
    what stands there while that is nothing. ``more``: what else is to be known.
    """

    name: str
    label: str
    about: str
    hint: str = "no job runs"
    value: str = ""
    said: str = ""
    answer: str = ""
    text: str = ""
    more: str = ""


@dataclass(frozen=True)
class Rate:
    """What of a train job that is still to end is steered; without a job, what would be."""

    job: Job | None
    fields: tuple[Steered, ...]


LR = Steered("lr", "Learning rate", "New rate for the running job")
CLIP = Steered("grad_clip_norm", "Clip gradients at", "New norm to clip gradients at")


def rate(branch: Branch) -> Rate:
    """Return what is steered of the job that the branch trains by now, else of the next."""
    job = steered_job(branch)
    if job is None:
        return Rate(None, (LR, CLIP))
    schedule = SCHEDULES.get(job.spec["train"]["lr_schedule"], "")
    return Rate(job, (_now(job, LR, more=schedule), _now(job, CLIP, hint="none")))


def _now(job: Job, field: Steered, **told: str) -> Steered:
    newest = job.events.filter(kind=COMMANDS[field.name]).order_by("-id").first()
    value = asked = in_force(job, field.name)
    if newest is not None and newest.status == JobEvent.Status.PENDING:
        asked = newest.payload[field.name]
    return replace(
        field,
        value="none" if value is None else exact(value),
        said=said(newest),
        answer=newest.status if newest is not None else "",
        text="" if asked is None else exact(asked),
        **told,
    )


def changes(job: Job, name: str, typed: str) -> bool:
    """Return whether what was typed is another value than the one in force, or than the one that waits."""
    waiting = job.events.filter(kind=COMMANDS[name], status=JobEvent.Status.PENDING).exists()
    now = in_force(job, name)
    try:
        return waiting or (float(typed) != now if typed else now is not None)
    except ValueError:
        return True
