"""Answers from what is kept, and asks a worker for what is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from acc.specs import EvalJobSpec, EvalSpec, parse
from accsite.apps.evaluation.models import Evaluation, Part
from accsite.apps.evaluation.services.keys import part_key
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.training.models import Checkpoint
from accsite.apps.training.services import jobs
from accsite.apps.training.services.measuring import frozen


def ask(
    *,
    actor: Any,
    checkpoint: Checkpoint,
    eval: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> Evaluation | Job:
    """Return the kept evaluation that holds all that is asked, or the job that will measure it.

    ``eval``: ``acc.specs.EvalSpec`` as plain data. A job that was asked for the same and has not ended is not
    doubled. Raises InvalidInput naming each wrong field.
    """
    data = dict(eval or {})
    spec = frozen(parse(EvalSpec, data))
    kept = find_kept(checkpoint, spec)
    if kept is not None:
        return kept
    with unit_of_work():
        waiting = same_job(checkpoint, spec)
        if waiting is not None:
            return waiting
        job = jobs.submit_evaluation(
            actor=actor, checkpoint=checkpoint, eval=data, idempotency_key=idempotency_key
        )
        touch(f"evaluations:{checkpoint.branch_id}")
    return job


def ask_all(
    *, actor: Any, checkpoints: Sequence[Checkpoint], eval: Mapping[str, Any] | None = None
) -> list[Evaluation | Job]:
    """Return ``ask`` of each checkpoint, in their order."""
    with unit_of_work():
        return [ask(actor=actor, checkpoint=checkpoint, eval=eval) for checkpoint in checkpoints]


def find_kept(checkpoint: Checkpoint, spec: EvalJobSpec) -> Evaluation | None:
    """Return the newest evaluation that holds every part of ``spec``, with its options; None if there is none."""
    keys = [part_key(checkpoint, spec, part) for part in dict.fromkeys(spec.suite)]
    found = Part.objects.filter(key__in=keys).order_by("-evaluation_id").values_list("evaluation", "key")
    held: dict[int, set[str]] = {}
    for pk, key in found:
        held.setdefault(pk, set()).add(key)
    whole = next((pk for pk, has in held.items() if has >= set(keys)), None)
    if whole is None:
        return None
    return Evaluation.objects.select_related("branch__experiment").filter(pk=whole).first()


def same_job(checkpoint: Checkpoint, spec: EvalJobSpec) -> Job | None:
    """Return the job that waits or runs to measure at least ``spec`` of a checkpoint, with the same options."""
    active = Job.objects.active().filter(kind=JobKind.EVALUATE, checkpoint=checkpoint)
    for job in active.select_related("branch__experiment", "worker").order_by("pk"):
        asked = EvalJobSpec.model_validate(job.spec)
        if _options(asked) == _options(spec) and set(_parts(asked)) >= set(_parts(spec)):
            return job
    return None


def _options(spec: EvalJobSpec) -> dict[str, Any]:
    return spec.model_dump(mode="json", exclude={"suite", "device", "params", "plugins"})


def _parts(spec: EvalJobSpec) -> list[tuple[str, ...]]:
    """Return what is to be measured, the metrics of plugins with their versions and parameters."""
    return [
        (part, spec.plugins.get(part, ""), *sorted(map(str, spec.params_of(part).items())))
        for part in spec.suite
    ]
