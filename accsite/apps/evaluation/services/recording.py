"""Keeps what workers measured of checkpoints."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from django.db import transaction

from acc.results import CellImages, EvalResult
from acc.specs import EvalJobSpec
from accsite import blobs
from accsite.apps.evaluation.models import Artifact, Evaluation, Metric, Part
from accsite.apps.evaluation.services import drawing, numbers
from accsite.apps.evaluation.services.keys import part_key
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.training.models import Branch

FOLDER = "artifacts"
PREVIEWS_KEPT = 40


def record(
    job_id: int,
    attempt: int,
    result: EvalResult,
    *,
    seconds: float = 0.0,
    cells: CellImages | None = None,
) -> Evaluation:
    """Return the evaluation that a job made: numbers as rows, pictures as stored PNG files.

    Called again (a retry, or another attempt), it replaces what the job recorded before. Of previews whose
    checkpoints are gone a branch keeps ``PREVIEWS_KEPT``, spread over its steps. Raises Fenced when this attempt
    no longer holds the job.
    """
    files = [
        (each, *blobs.write_bytes(each.data, FOLDER, each.suffix)) for each in drawing.draw(result, cells)
    ]
    with unit_of_work():
        held = Job.objects.select_for_update().held_by(attempt)
        job = held.filter(pk=job_id, kind=JobKind.EVALUATE).first()
        if job is None or job.branch is None:
            raise Fenced(job_id, attempt)
        forget(Evaluation.objects.filter(job=job))
        spec = EvalJobSpec.model_validate(job.spec)
        evaluation = Evaluation.objects.create(
            job=job,
            branch=job.branch,
            checkpoint=job.checkpoint,
            step=result.step,
            suite=list(spec.suite),
            options=spec.model_dump(mode="json"),
            dataset=result.dataset_key,
            seconds=seconds,
        )
        _record_parts(evaluation, spec, result)
        frozen = job.checkpoint.spec if job.checkpoint else {}
        datasets = {task["key"]: task["dataset"] for task in frozen.get("tasks", [])}
        rows = [
            numbers.task_metric(evaluation, each, datasets.get(each.task_key, "")) for each in result.metrics
        ]
        rows += [numbers.task_metric(evaluation, each, result.dataset_key) for each in result.custom]
        if result.factoring is not None:
            rows.extend(numbers.factoring_metrics(evaluation, result.factoring.as_dict()))
        Metric.objects.bulk_create(rows)
        Artifact.objects.bulk_create(
            Artifact(
                evaluation=evaluation,
                kind=each.kind,
                name=each.name,
                file=name,
                sha256=sha256,
                media_type=each.media_type,
                meta=each.meta,
            )
            for each, name, sha256 in files
        )
        if job.preview:
            _thin_previews(job.branch)
        touch(f"evaluations:{job.branch.pk}")
        if job.checkpoint is not None and job.checkpoint.job_id is not None:
            touch(f"job:{job.checkpoint.job_id}")  # whose run has other numbers now
        return evaluation


def _record_parts(evaluation: Evaluation, spec: EvalJobSpec, result: EvalResult) -> None:
    checkpoint = evaluation.checkpoint
    by_part = drawing.reasons(result)
    Part.objects.bulk_create(
        Part(
            evaluation=evaluation,
            name=part,
            key=part_key(checkpoint, spec, part) if checkpoint is not None else "",
            reason=result.missing.get(part, ""),
            reasons=by_part.get(part, {}),
        )
        for part in dict.fromkeys(spec.suite)
    )


def _thin_previews(branch: Branch) -> None:
    """Forget the previews that tell least: those nearest, in steps, to the ones before."""
    found = Evaluation.objects.filter(branch=branch, checkpoint=None, metrics=None)
    previews = list(found.filter(parts__name="reconstructions").order_by("step", "pk"))
    while len(previews) > PREVIEWS_KEPT:
        gaps = [after.step - before.step for before, after in zip(previews, previews[2:], strict=False)]
        least = gaps.index(min(gaps)) + 1
        forget([previews.pop(least)])


def forget(evaluations: Iterable[Evaluation]) -> None:
    """Remove evaluations with their pictures; within a transaction."""
    for evaluation in evaluations:
        for name in evaluation.artifacts.values_list("file", flat=True):
            transaction.on_commit(partial(_delete_unused, name), robust=True)
        evaluation.delete()


def _delete_unused(name: str) -> None:
    if not Artifact.objects.filter(file=name).exists():
        blobs.delete(name)
