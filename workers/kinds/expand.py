"""Grows the model of a checkpoint and records the larger one."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import structlog

from acc.errors import InvalidInput
from acc.expansion import ExpansionSpec
from acc.training.checkpoints.expand import expand_checkpoint
from acc.training.plugin_set import PluginSet
from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Checkpoint
from accsite.apps.training.services.code import naming_code
from accsite.apps.trees.services import expansion
from workers.job import promises
from workers.job.context import JobContext
from workers.job.durable import insist
from workers.job.interruptible import interruptible
from workers.job.materials import Datasets, from_header, load_checkpoint

log = structlog.get_logger(__name__)


@interruptible
def expand(context: JobContext) -> None:
    """Expand the checkpoint of a job and finish it."""
    job, lost = context.job, context.lease.fenced
    if job.checkpoint is None:
        raise InvalidInput({"checkpoint": "the checkpoint to expand does not exist any more"})
    spec = ExpansionSpec.model_validate(job.spec["expansion"])
    began = time.perf_counter()
    with context.interruption.raising():
        origin = load_checkpoint(job.checkpoint)
        datasets = Datasets(origin.header.spec.datasets)
        grown = expand_checkpoint(origin, spec, datasets, PluginSet(*from_header(origin.header.plugins)))
        path = context.scratch() / f"job-{job.pk}-{context.attempt}-expanded.safetensors"
        sha256 = grown.snapshot.write(path)
    header = grown.snapshot.header
    frozen = naming_code(header.spec.model_dump(mode="json"), header.plugins)
    record = partial(expansion.record_expansion, job.pk, context.attempt, path, sha256=sha256, spec=frozen)
    made: list[int] = []

    def recorded() -> None:
        checkpoint = record()
        made[:] = [checkpoint.pk, checkpoint.branch_id]

    try:
        insist(recorded, given_up=lost)
    finally:
        path.unlink(missing_ok=True)
    outcome = {
        "checkpoint": made[0],
        "branch": made[1],
        "fresh_heads": list(grown.fresh_heads),
        "seconds": round(time.perf_counter() - began, 3),
    }
    promises.succeed(context, outcome, proof=expanded)
    log.info("expanded", checkpoint=made[0], fresh_heads=grown.fresh_heads)


def expanded(_job: Job, result: dict[str, Any], _message: str) -> None:
    """Raise PromiseBroken unless the larger checkpoint is there and opens."""
    row = Checkpoint.objects.filter(pk=result.get("checkpoint", 0)).first()
    if row is None:
        raise promises.PromiseBroken("the expanded checkpoint is not there")
    promises.require_intact(row)
