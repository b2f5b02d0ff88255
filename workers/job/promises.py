"""What a job promises at its end: kept, it has succeeded; else it has failed, with a sentence about what is missing.

The one place where a job of any kind becomes SUCCEEDED. A body of work says what it came to; here it is looked at
whether that is really there: a plugin may have ended threads, forked, or removed files, and nobody was told.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from django.db import transaction

from acc.data import AccDataset
from acc.errors import AccError, CheckpointError
from acc.specs import EvalSpec
from acc.training.checkpoints.header import read_header
from accsite import blobs
from accsite.apps.datasets import selectors as datasets
from accsite.apps.datasets.models import Dataset
from accsite.apps.evaluation.models import Evaluation
from accsite.apps.training.errors import Fenced
from accsite.apps.training.models import Checkpoint, CheckpointKind, Job, JobKind, LossBlock, RecipeStep
from accsite.apps.training.services import lifecycle
from accsite.apps.training.states import ACTIVE
from workers.job import joblog
from workers.job.context import JobContext
from workers.job.durable import insist
from workers.machine import processes

log = structlog.get_logger(__name__)


class PromiseBroken(AccError):
    """A job came to its end, and something that jobs of its kind promise is not there."""


def succeed(
    context: JobContext,
    result: dict[str, Any],
    message: str = "",
    *,
    record: Callable[[], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Move the job to SUCCEEDED and return its result.

    record: writes what the job has made and returns what that adds to the result; in one transaction with the end, so
    that a job that was taken away leaves nothing behind. Raises PromiseBroken if something is missing, Fenced if the
    job is another's by now.
    """

    def end() -> dict[str, Any]:
        whole = result
        with transaction.atomic():
            if record is not None:
                whole = {**result, **record()}
                require(context, whole, message)
            if not lifecycle.finish(context.job.pk, context.attempt, whole, message):
                raise Fenced(context.job.pk, context.attempt)
        return whole

    end_helpers(context)
    joblog.keep_now(context.worker, context.job.pk)  # as at any end: who follows the log stops there
    if record is None:  # looked at outside of the transaction: reading a checkpoint takes its time
        insist(partial(require, context, result, message), given_up=context.lease.fenced)
    return insist(end, given_up=context.lease.fenced)


def cancel(context: JobContext, result: dict[str, Any] | None = None, message: str = "") -> None:
    """Move the job to CANCELLED, as its user asked; raises Fenced."""
    joblog.keep_now(context.worker, context.job.pk)
    done = partial(lifecycle.cancelled, context.job.pk, context.attempt, result, message)
    if not insist(done, given_up=context.lease.fenced):
        raise Fenced(context.job.pk, context.attempt)


def fail(context: JobContext, message: str, traceback: str = "") -> None:
    """Move the job to FAILED, with what it printed last."""
    if traceback:
        joblog.say(traceback)
    joblog.keep_now(context.worker, context.job.pk)
    insist(
        partial(lifecycle.fail, context.job.pk, context.attempt, message, traceback),
        given_up=context.lease.fenced,
    )


def require(context: JobContext, result: dict[str, Any], message: str = "") -> None:
    """Raise PromiseBroken unless all is there that a job of this kind promises, as ``result`` tells it.

    message: why it ended sooner than it might have.
    """
    look = KEPT.get(JobKind(context.job.kind))
    if look is not None:
        look(context.job, result, message)


def end_helpers(context: JobContext) -> None:
    """End the processes that the job's process has started and that still run; raises PromiseBroken if one will not.

    What a plugin leaves running would hold memory and devices that are the next job's.
    """
    kept = context.others.union(member.pid for member in context.team.members)
    killed, alive = processes.end_all(lambda: processes.descendants(os.getpid(), but=kept))
    if alive:
        names = ", ".join(f"{pid} ({processes.name_of(pid)})" for pid in alive)
        raise PromiseBroken(f"processes that the job started cannot be ended: {names}")
    if killed:
        log.warning("helpers_ended", pids=killed, hint="they were left running at the end of the job")


def _trained(job: Job, result: dict[str, Any], message: str) -> None:
    step = int(result["step"])
    if not message and step < job.total_steps:
        raise PromiseBroken(
            f"the training ended after step {step:,} of {job.total_steps:,}, and nobody stopped it"
        )
    expected = 0
    for start, count in LossBlock.objects.filter(job=job).order_by("start").values_list("start", "count"):
        if start != expected:
            break
        expected += count
    if expected != step:
        raise PromiseBroken(
            f"the job made {step:,} steps, but only the first {expected:,} have their loss points"
        )
    row = Checkpoint.objects.filter(job=job, kind=CheckpointKind.FINAL, job_step=step).order_by("-pk").first()
    if row is None:
        raise PromiseBroken(f"the final checkpoint, of step {step:,}, was not written")
    _opens(row)


def _opens(row: Checkpoint) -> None:
    try:
        header = read_header(blobs.open_local(row.file, row.sha256))
    except (blobs.BlobDamaged, CheckpointError) as error:
        raise PromiseBroken(f"checkpoint {row.pk} was written and cannot be opened: {error}") from error
    if header.job_step != row.job_step:
        raise PromiseBroken(
            f"checkpoint {row.pk} was written for step {row.job_step:,}, and its file is of step {header.job_step:,}"
        )


def _made_a_dataset(_job: Job, result: dict[str, Any], _message: str) -> None:
    row = Dataset.every.filter(pk=result.get("dataset", 0)).first()
    if row is None:
        raise PromiseBroken("the dataset that it made is not there")
    try:
        found = len(AccDataset.load(datasets.local_path(row)))
    except AccError as error:
        raise PromiseBroken(f"dataset '{row.slug}' was written and cannot be opened: {error}") from error
    if found != result["images"]:
        raise PromiseBroken(f"dataset '{row.slug}' holds {found:,} images; {result['images']:,} were made")


def _imported(job: Job, result: dict[str, Any], message: str) -> None:
    if not job.spec.get("look"):
        _made_a_dataset(job, result, message)
    elif not result.get("look"):
        raise PromiseBroken("what was found in the file was not told")


def _measured(job: Job, _result: dict[str, Any], _message: str) -> None:
    row = Evaluation.objects.filter(job=job).first()
    if row is None and (job.preview or not Checkpoint.objects.filter(pk=job.checkpoint_id or 0).exists()):
        return  # a preview that told less than those around it, or of what was deleted meanwhile
    if row is None:
        raise PromiseBroken("what it measured was not written")
    parts = set(row.parts.values_list("name", flat=True))
    missing = [name for name in dict.fromkeys(EvalSpec.model_validate(job.spec).suite) if name not in parts]
    if missing:
        raise PromiseBroken(f"of what it was to measure, this is missing: {', '.join(missing)}")
    for artifact in row.artifacts.all():
        try:
            blobs.open_local(artifact.file, artifact.sha256)
        except blobs.BlobDamaged as error:
            raise PromiseBroken(
                f"the picture '{artifact.name}' was written and cannot be opened: {error}"
            ) from error


def _expanded(_job: Job, result: dict[str, Any], _message: str) -> None:
    row = Checkpoint.objects.filter(pk=result.get("checkpoint", 0)).first()
    if row is None:
        raise PromiseBroken("the expanded checkpoint is not there")
    _opens(row)


def _replayed(_job: Job, result: dict[str, Any], _message: str) -> None:
    if not result.get("verdict"):
        raise PromiseBroken("the replay came to no verdict")


def _played(job: Job, _result: dict[str, Any], _message: str) -> None:
    under_way = RecipeStep.objects.filter(run__job=job, owns_job=True, job__state__in=ACTIVE)
    if first := under_way.order_by("pk").first():
        raise PromiseBroken(
            f"the recipe came to its end, but job {first.job_id} of its call {first.path} ({first.verb}) did not"
        )


KEPT: dict[JobKind, Callable[[Job, dict[str, Any], str], None]] = {
    JobKind.TRAIN: _trained,
    JobKind.EVALUATE: _measured,
    JobKind.GENERATE: _made_a_dataset,
    JobKind.IMPORT: _imported,
    JobKind.EXPAND: _expanded,
    JobKind.REPLAY: _replayed,
    JobKind.RECIPE: _played,
}
