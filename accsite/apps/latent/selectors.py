"""Reads whose latent may be taken in hand, and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet

from accsite.apps.access.selectors import live_credentials
from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Branch, Checkpoint, Experiment


@dataclass(frozen=True)
class Readable:
    """A checkpoint that somebody may see, as a question names it."""

    pk: int
    sha256: str
    present: bool


def checkpoints_of(user: Any) -> QuerySet[Checkpoint]:
    """Return the checkpoints of experiments that ``user`` may see."""
    rows = Checkpoint.objects.filter(experiment__in=Experiment.objects.visible_to(user))
    return rows.select_related("branch", "experiment")


def newest_of(branch: Branch) -> Checkpoint | None:
    """Return the checkpoint that stands for a branch now: what its running job saved last, else its head."""
    jobs = Job.objects.active().filter(branch=branch).exclude(resume_checkpoint=None)
    saved = Checkpoint.objects.filter(pk__in=jobs.values("resume_checkpoint"), weights_pruned_at=None)
    return saved.order_by("-pk").first() or branch.head


def readable(user_id: Any, credential: str | None, pk: int) -> Readable | None:
    """Return a checkpoint if who asks is still signed in and may see it now; None whatever the reason."""
    if credential is not None and live_credentials([credential]).get(credential) != user_id:
        return None
    user = User.objects.filter(pk=user_id, is_active=True).first()
    found = checkpoints_of(user).filter(pk=pk).first() if user is not None else None
    return None if found is None else Readable(found.pk, found.sha256, found.weights_pruned_at is None)
