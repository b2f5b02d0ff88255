"""Where a train job goes on, and whether one that has ended can: the one place that knows, for workers and users."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet

from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.states import RESUMABLE
from accsite.apps.training.models import Branch, Checkpoint

RESUMED = "resumed"
"""The kind of the event that tells of it; its payload has ``checkpoint``, ``step``, and ``plugins``."""


@dataclass(frozen=True)
class ResumePoint:
    """A job that has ended before its last step, and the checkpoint that it would go on from.

    refused: in words, why it cannot now; '' if it can.
    """

    job: Job
    checkpoint: Checkpoint | None
    refused: str = ""


def resume_points(job: Job) -> QuerySet[Checkpoint]:
    """Return the checkpoints that a job can go on from, the best first: ``resume_checkpoint``, then those before it."""
    rows = Checkpoint.objects.filter(job=job, weights_pruned_at=None).order_by("-job_step", "-id")
    if job.resume_checkpoint is None:
        return rows
    return rows.filter(job_step__lte=job.resume_checkpoint.job_step)


def resume_point(job: Job) -> ResumePoint | None:
    """Return where a job that failed or was stopped would go on; None for any other job."""
    if job.kind != JobKind.TRAIN or job.branch is None or job.state not in RESUMABLE:
        return None
    checkpoint = resume_points(job).first()
    return ResumePoint(job, checkpoint, _refused(job, job.branch, checkpoint))


def _refused(job: Job, branch: Branch, checkpoint: Checkpoint | None) -> str:
    if checkpoint is None:
        return f"job {job.pk} has left no checkpoint to go on from; train anew instead"
    if checkpoint.job_step >= job.total_steps:
        return (
            f"job {job.pk} has made all its {job.total_steps:,} steps; train on from its checkpoint instead"
        )
    growth = growing(branch)
    if growth is not None:
        return f"job {growth.pk} expands branch {branch} now; resume job {job.pk} once that has ended"
    other = branch.jobs.active().filter(kind=JobKind.TRAIN).exclude(pk=job.pk).order_by("pk").first()
    if other is not None:
        return f"job {other.pk} trains branch {branch} now; resume job {job.pk} once that has ended"
    own = {job.start_checkpoint_id, *job.checkpoints.values_list("pk", flat=True)}
    if branch.head_id not in own:
        return (
            f"branch {branch} has moved on since job {job.pk}; fork a branch from its checkpoint {checkpoint.pk} "
            f"(step {checkpoint.step:,}) to go on from there"
        )
    return ""


def growing(branch: Branch) -> Job | None:
    """Return the job that grows the model of the branch's head, and will move it; None if there is none."""
    return branch.jobs.active().filter(kind=JobKind.EXPAND, spec__branch_name=None).order_by("pk").first()


def ahead(branch: Branch) -> Job | None:
    """Return the train job that a new one on this branch would wait for, and go on from; None if there is none."""
    return branch.jobs.active().filter(kind=JobKind.TRAIN).order_by("pk").last()


def interrupted(branch: Branch) -> ResumePoint | None:
    """Return the newest train job of a branch if it failed or was stopped and left something to go on from.

    One that was cancelled before its first step has changed nothing of the one before it.
    """
    jobs = branch.jobs.filter(kind=JobKind.TRAIN).left_something()
    job = jobs.order_by("-id").first()
    point = resume_point(job) if job is not None else None
    return point if point is not None and point.checkpoint is not None and not point.refused else None
