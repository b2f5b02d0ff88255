"""The body of a ``replay`` job: runs a line again and puts the verdict into the job's row."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import structlog

from acc.errors import AccError, InvalidInput
from accsite.apps.jobs.models import Job
from workers.job import promises
from workers.job.context import JobContext
from workers.job.interruptible import interruptible
from workers.job.progress import Progress
from workers.replay.rerun import CANNOT, line_of, replay, steps_in

log = structlog.get_logger(__name__)


@interruptible
def replay_checkpoint(context: JobContext) -> None:
    """Replay the checkpoint of a job and finish it; one that cannot be replayed fails, and says why."""
    job = context.job
    if job.checkpoint is None:
        raise InvalidInput({"checkpoint": "the checkpoint to replay does not exist any more"})
    began = time.perf_counter()
    current = bool(job.spec.get("current_plugins"))
    steps = steps_in(line_of(job.checkpoint))
    with context.interruption.raising(), Progress(context, steps) as progress:
        verdict = replay(job.checkpoint, current_plugins=current, gpu=context.device, progress=progress)
    if verdict.verdict == CANNOT:
        raise AccError(verdict.message)
    outcome = {**asdict(verdict), "seconds": round(time.perf_counter() - began, 3)}
    message = verdict.message[0].upper() + verdict.message[1:]
    promises.succeed(context, outcome, message, proof=replayed)
    log.info("replayed", checkpoint=job.checkpoint.pk, verdict=verdict.verdict)


def replayed(_job: Job, result: dict[str, Any], _message: str) -> None:
    if not result.get("verdict"):
        raise promises.PromiseBroken("the replay came to no verdict")
