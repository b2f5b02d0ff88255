"""Measures a checkpoint and records numbers and pictures."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import structlog

from acc.data import AccDataset
from acc.errors import InvalidInput
from acc.evaluation import evaluate_checkpoint
from acc.results import CellImages, EvalResult
from acc.specs import EvalJobSpec
from acc.training.plugin_set import PluginSet
from accsite import blobs
from accsite.apps.evaluation import services
from accsite.apps.evaluation.models import Evaluation
from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Checkpoint
from accsite.apps.training.services import looked_at
from accsite.apps.training.specs import dataset_spec
from workers.job import promises
from workers.job.context import JobContext
from workers.job.durable import insist
from workers.job.interruptible import interruptible
from workers.job.materials import Datasets, from_header, from_rows, load_checkpoint
from workers.job.progress import Progress

log = structlog.get_logger(__name__)


def cell_images(result: EvalResult, datasets: Mapping[str, AccDataset]) -> CellImages | None:
    """Return the images behind the cells of the matrix; None without a matrix."""
    if result.factoring is None:
        return None
    cells = result.factoring.cells.values()
    rows = sorted({row for levels in cells for shown in levels.values() for row in shown})
    images = datasets[result.dataset_key].images[np.asarray(rows, dtype=np.int64)]
    return CellImages(tuple(rows), np.ascontiguousarray(images))


@interruptible
def evaluate(context: JobContext) -> None:
    """Evaluate the checkpoint of a job and finish it."""
    job = context.job
    if job.checkpoint is None:
        raise InvalidInput({"checkpoint": "the checkpoint to evaluate does not exist any more"})
    spec = EvalJobSpec.model_validate(job.spec)
    began = time.perf_counter()
    parts = len(dict.fromkeys(spec.suite))
    with context.interruption.raising(), Progress(context, parts) as progress:
        checkpoint = load_checkpoint(job.checkpoint)
        datasets = Datasets(checkpoint.header.spec.datasets)
        other = looked_at.other_dataset(job.checkpoint, spec.dataset, removed=True)
        if other is not None:
            datasets.load(spec.dataset, dataset_spec(other))
        result = evaluate_checkpoint(
            checkpoint,
            datasets,
            PluginSet(
                *from_header(checkpoint.header.plugins),
                *(each for each in from_rows(spec.plugins.values()) if each.kind == "metric"),
            ),
            spec,
            device=context.device_for(spec.device),
            progress=progress,
        )
        cells = cell_images(result, datasets)
    seconds = time.perf_counter() - began

    def record() -> None:
        services.record(job.pk, context.attempt, result, seconds=seconds, cells=cells)

    insist(record, given_up=context.lease.fenced)
    outcome = {
        "metrics": len(result.metrics) + len(result.custom),
        "seconds": round(seconds, 3),
        "rows": result.rows,
    }
    promises.succeed(context, outcome, proof=measured)
    log.info("evaluated", step=result.step, seconds=outcome["seconds"], rows=result.rows)


def measured(job: Job, _result: dict[str, Any], _message: str) -> None:
    """Raise PromiseBroken unless all that it was to measure is recorded, with its pictures."""
    row = Evaluation.objects.filter(job=job).first()
    if row is None and (job.preview or not Checkpoint.objects.filter(pk=job.checkpoint_id or 0).exists()):
        return  # a preview that told less than those around it, or of what was deleted meanwhile
    if row is None:
        raise promises.PromiseBroken("what it measured was not written")
    parts = set(row.parts.values_list("name", flat=True))
    missing = [
        name for name in dict.fromkeys(EvalJobSpec.model_validate(job.spec).suite) if name not in parts
    ]
    if missing:
        raise promises.PromiseBroken(f"of what it was to measure, this is missing: {', '.join(missing)}")
    for artifact in row.artifacts.all():
        try:
            blobs.open_local(artifact.file, artifact.sha256)
        except blobs.BlobDamaged as error:
            raise promises.PromiseBroken(
                f"the picture '{artifact.name}' was written and cannot be opened: {error}"
            ) from error
