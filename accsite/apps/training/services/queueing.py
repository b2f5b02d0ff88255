"""Makes job rows with their doorbells, for ``jobs`` (asked by users) and ``lifecycle`` (caused by jobs)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from acc.specs import EVAL_PARTS, EvalSpec
from accsite.apps.training import kinds
from accsite.apps.training.models import AutoEvaluate, Branch, Checkpoint, Job, JobEvent, JobKind
from accsite.apps.training.services import outbox
from accsite.apps.training.services.unit import announce, unit_of_work
from accsite.apps.training.states import JobState

log = structlog.get_logger(__name__)
FULL_SUITE = EVAL_PARTS
PREVIEW_SUITE = ("reconstructions",)


@unit_of_work()
def enqueue(kind: JobKind, *, queue: str = "", **fields: Any) -> Job:
    """Return a new QUEUED job with its doorbell, rung once the transaction is committed.

    queue: another one than is usual for its kind.
    """
    job = Job.objects.create(kind=kind, queue=queue or kinds.queue_of(kind), **fields)
    outbox.queue_up(job)
    announce(job)
    log.info("job_queued", job_id=job.pk, kind=str(kind), queue=job.queue, by=str(job.created_by or ""))
    return job


def queue_evaluation(
    checkpoint: Checkpoint,
    *,
    spec: EvalSpec | None = None,
    suite: Sequence[str] = FULL_SUITE,
    actor: Any = None,
    idempotency_key: str | None = None,
    preview: bool = False,
) -> Job:
    """Return a new job that measures a checkpoint; ``preview``: of passing interest, while training goes on."""
    spec = spec or EvalSpec(suite=tuple(suite))
    what = "Preview" if preview else "Evaluate"
    return enqueue(
        JobKind.EVALUATE,
        title=f"{what} {checkpoint.branch} at step {checkpoint.step}",
        branch=checkpoint.branch,
        checkpoint=checkpoint,
        spec=spec.model_dump(mode="json"),
        created_by=actor,
        idempotency_key=idempotency_key or None,
        preview=preview,
    )


def evaluate_the_end(checkpoint: Checkpoint, actor: Any) -> None:
    """Measure what a job has reached, unless its branch is measured only when asked."""
    if checkpoint.branch.auto_evaluate != AutoEvaluate.OFF:
        queue_evaluation(checkpoint, actor=actor)


def evaluate_on_the_way(checkpoint: Checkpoint, actor: Any) -> None:
    """Measure an autosave if its branch is measured every so many steps and another so many are done.

    Of any other a preview is made, unless one waits or something is measured on the branch anyway.
    """
    branch = checkpoint.branch
    if _is_due(branch, checkpoint):
        queue_evaluation(checkpoint, actor=actor)
        return
    if not Job.objects.active().filter(branch=branch, kind=JobKind.EVALUATE).exists():
        queue_evaluation(checkpoint, suite=PREVIEW_SUITE, actor=actor, preview=True)


def _is_due(branch: Branch, checkpoint: Checkpoint) -> bool:
    every = branch.evaluate_every
    if branch.auto_evaluate != AutoEvaluate.STEPS or not every or checkpoint.job is None:
        return False
    before = Checkpoint.everything.filter(job=checkpoint.job, pk__lt=checkpoint.pk).order_by("-pk").first()
    began = checkpoint.step - checkpoint.job_step
    return checkpoint.step // every > (before.step if before else began) // every


def ring_next_on_branch(job: Job) -> None:
    """Ring for the oldest train job that waited for ``job`` to leave its branch."""
    if job.kind != JobKind.TRAIN or job.branch is None:
        return
    waiting = Job.objects.filter(branch=job.branch, kind=JobKind.TRAIN, state=JobState.QUEUED)
    following = waiting.order_by("pk").first()
    if following is not None:
        outbox.queue_up(following)


def note(job_id: int, kind: str, payload: dict[str, Any], message: str, step: int | None = None) -> JobEvent:
    """Return a new event that is only told, not asked for: a state, an alarm, a note."""
    return JobEvent.objects.create(job_id=job_id, kind=kind, payload=payload, message=message, step=step)
