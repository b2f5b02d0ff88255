"""Keeps what workers measured of checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Protocol

import numpy as np
from django.db import transaction
from numpy.typing import NDArray

from acc.render import reconstruction_rows
from accsite import blobs
from accsite.apps.evaluation.models import Artifact, Evaluation, Metric
from accsite.apps.training.errors import Fenced
from accsite.apps.training.models import Branch, Job, JobKind
from accsite.apps.training.services.unit import touch, unit_of_work

FOLDER = "artifacts"
RECONSTRUCTIONS = "reconstructions"


class MetricValue(Protocol):
    """One measured number (``acc.evaluation``, which the site cannot import)."""

    @property
    def task_key(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> float | None: ...
    @property
    def higher_is_better(self) -> bool: ...
    @property
    def reason(self) -> str: ...
    @property
    def baseline(self) -> float | None: ...


class ReconstructionGrid(Protocol):
    """Fixed images beside what the model makes of them; uint8 ``(N, C, H, W)``."""

    @property
    def dataset_key(self) -> str: ...
    @property
    def indices(self) -> tuple[int, ...]: ...
    @property
    def inputs(self) -> NDArray[np.uint8]: ...
    @property
    def outputs(self) -> NDArray[np.uint8]: ...


class EvalResult(Protocol):
    """What was measured of a checkpoint at a step."""

    @property
    def step(self) -> int: ...
    @property
    def metrics(self) -> Sequence[MetricValue]: ...
    @property
    def reconstructions(self) -> Sequence[ReconstructionGrid]: ...


def record(job_id: int, attempt: int, result: EvalResult, *, seconds: float = 0.0) -> Evaluation:
    """Return the evaluation that a job made: numbers as rows, pictures as stored PNG files.

    Called again (a retry, or another attempt), it replaces what the job recorded before. A preview, which has
    pictures only, replaces older previews of its branch whose checkpoints are gone. Raises Fenced when this
    attempt no longer holds the job.
    """
    pictures = [(grid, *_picture(grid)) for grid in result.reconstructions]
    with unit_of_work():
        held = Job.objects.select_for_update().held_by(attempt)
        job = held.filter(pk=job_id, kind=JobKind.EVALUATE).first()
        if job is None or job.branch is None:
            raise Fenced(job_id, attempt)
        forget(Evaluation.objects.filter(job=job))
        evaluation = Evaluation.objects.create(
            job=job,
            branch=job.branch,
            checkpoint=job.checkpoint,
            step=result.step,
            suite=job.spec.get("suite", []),
            seconds=seconds,
        )
        Metric.objects.bulk_create(_metric(evaluation, metric) for metric in result.metrics)
        for grid, name, sha256 in pictures:
            count, _, height, width = grid.inputs.shape
            meta = {
                "width": count * width,
                "height": 3 * height,
                "images": count,
                "indices": list(grid.indices),
                "rows": ["input", "output", "difference"],
            }
            Artifact.objects.create(
                evaluation=evaluation,
                kind=RECONSTRUCTIONS,
                name=grid.dataset_key,
                file=name,
                sha256=sha256,
                meta=meta,
            )
        if not result.metrics:
            _forget_previews(job.branch, evaluation)
        touch(f"evaluations:{job.branch.pk}")
        return evaluation


def _picture(grid: ReconstructionGrid) -> tuple[str, str]:
    """Return stored name and sha256 of the sprite of a grid."""
    return blobs.write_bytes(reconstruction_rows(grid.inputs, grid.outputs), FOLDER, ".png")


def _metric(evaluation: Evaluation, metric: MetricValue) -> Metric:
    value, reason = metric.value, metric.reason
    if value is not None and not math.isfinite(value):
        value, reason = None, reason or f"it came out as {value}"
    baseline = metric.baseline if metric.baseline is not None and math.isfinite(metric.baseline) else None
    return Metric(
        evaluation=evaluation,
        task_key=metric.task_key,
        name=metric.name,
        value=value,
        reason=reason[:255],
        higher_is_better=metric.higher_is_better,
        baseline=baseline,
    )


def _forget_previews(branch: Branch, newest: Evaluation) -> None:
    previews = Evaluation.objects.filter(branch=branch, checkpoint=None, metrics=None)
    forget(previews.exclude(pk=newest.pk))


def forget(evaluations: Iterable[Evaluation]) -> None:
    """Remove evaluations with their pictures; within a transaction."""
    for evaluation in evaluations:
        for name in evaluation.artifacts.values_list("file", flat=True):
            transaction.on_commit(partial(_delete_unused, name), robust=True)
        evaluation.delete()


def _delete_unused(name: str) -> None:
    if not Artifact.objects.filter(file=name).exists():
        blobs.delete(name)
