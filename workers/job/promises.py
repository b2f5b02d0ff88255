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

from acc.errors import AccError, CheckpointError
from acc.training.checkpoints.header import read_header
from accsite import blobs
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services import lifecycle
from accsite.apps.training.models import Checkpoint
from workers.job import joblog
from workers.job.context import JobContext
from workers.job.durable import insist
from workers.machine import processes

log = structlog.get_logger(__name__)

Proof = Callable[[Job, dict[str, Any], str], None]
"""Looks at what a job came to, with its result and the message that it ends with."""


class PromiseBroken(AccError):
    """A job came to its end, and something that jobs of its kind promise is not there."""


def succeed(
    context: JobContext,
    result: dict[str, Any],
    message: str = "",
    *,
    proof: Proof,
    record: Callable[[], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Move the job to SUCCEEDED and return its result.

    message: why it ended sooner than it might have. proof: raises PromiseBroken unless all is there that a job of this
    kind promises, as the result tells it. record: writes what the job has made and returns what that adds to the
    result; in one transaction with the end, so that a job that was taken away leaves nothing behind. Raises
    PromiseBroken if something is missing, Fenced if the job is another's by now.
    """

    def end() -> dict[str, Any]:
        whole = result
        with transaction.atomic():
            if record is not None:
                whole = {**result, **record()}
                proof(context.job, whole, message)
            if not lifecycle.finish(context.job.pk, context.attempt, whole, message):
                raise Fenced(context.job.pk, context.attempt)
        return whole

    end_helpers(context)
    joblog.keep_now(context.worker, context.job.pk)  # as at any end: who follows the log stops there
    if record is None:  # looked at outside of the transaction: reading a checkpoint takes its time
        insist(partial(proof, context.job, result, message), given_up=context.lease.fenced)
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


def give_back(context: JobContext, reason: str) -> None:
    """Put the job back into its queue, as one whose process was lost; it goes on from its last checkpoint."""
    lost = f"{reason}; the job goes on from its last checkpoint"
    insist(partial(lifecycle.lose, context.job.pk, context.attempt, lost), given_up=context.lease.fenced)


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


def require_intact(row: Checkpoint) -> None:
    """Raise PromiseBroken unless the file of a checkpoint opens and is of its step."""
    try:
        header = read_header(blobs.open_local(row.file, row.sha256))
    except (blobs.BlobDamaged, CheckpointError) as error:
        raise PromiseBroken(f"checkpoint {row.pk} was written and cannot be opened: {error}") from error
    if header.job_step != row.job_step:
        raise PromiseBroken(
            f"checkpoint {row.pk} was written for step {row.job_step:,}, and its file is of step {header.job_step:,}"
        )
