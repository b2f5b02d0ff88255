"""Queues the measuring of checkpoints, and says when those of a branch are measured without being asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from acc.errors import InvalidInput
from acc.params import clean_params
from acc.specs import EVAL_PARTS, EvalJobSpec, EvalSpec
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.services.queueing import enqueue
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.registry import approval
from accsite.apps.registry import selectors as registry
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training.models import AutoEvaluate, Branch, Checkpoint

MOST_STEPS = 1_000_000_000
FULL_SUITE = EVAL_PARTS
PREVIEW_SUITE = ("reconstructions",)

log = structlog.get_logger(__name__)


@unit_of_work()
def set_auto_evaluate(*, actor: Any, branch: Branch, when: Any, every: Any = None) -> Branch:
    """Return the branch, its checkpoints measured as ``when`` says.

    when: ``off`` (only when asked), at the ``end`` of jobs, or also every so many ``steps``. every: steps, for
    ``steps`` alone; the first autosave behind each multiple is measured. Raises InvalidInput (auto_evaluate,
    evaluate_every).
    """
    if when not in AutoEvaluate.values:
        right = ", ".join(AutoEvaluate.values)
        raise InvalidInput({"auto_evaluate": f"{when!r} is refused; choose one of: {right}"})
    if when == AutoEvaluate.STEPS:
        if isinstance(every, str) and every.strip().isdecimal():
            every = int(every)
        if not isinstance(every, int) or isinstance(every, bool) or not 1 <= every <= MOST_STEPS:
            raise InvalidInput(evaluate_every=f"{every!r} is not a number of steps; need 1 to {MOST_STEPS:,}")
    branch.auto_evaluate = when
    branch.evaluate_every = every if when == AutoEvaluate.STEPS else None
    branch.save(update_fields=["auto_evaluate", "evaluate_every"])
    log.info(
        "auto_evaluate_set", branch=branch.pk, when=when, every=branch.evaluate_every, by=str(actor or "")
    )
    touch(f"evaluations:{branch.pk}")
    return branch


def frozen(spec: EvalSpec, kept: Mapping[str, str] | None = None) -> EvalJobSpec:
    """Return what an evaluation is asked with the metrics of plugins as they are now: sources, and all parameters.

    kept: class -> sha256 of a source that is used instead of the newest; what it is not given is as that source says.
    Raises InvalidInput (suite, params.*) and NotApproved.
    """
    params: dict[str, Any] = {}
    plugins: dict[str, str] = {}
    newest = dict(registry.available(PluginKind.METRIC).values_list("name", "source_id")) if kept else {}
    for name in spec.metrics:
        if kept and kept.get(name, newest.get(name)) != newest.get(name):
            approval.require([kept[name]], field="suite")
            params |= {f"{name}.{param}": value for param, value in spec.params_of(name).items()}
            plugins[name] = kept[name]
            continue
        plugin = _metric(name)
        cleaned = clean_params(plugin.params, spec.params_of(name), prefix=f"params.{name}.")
        params |= {f"{name}.{param}": value for param, value in cleaned.items()}
        plugins[name] = plugin.source_id
    return EvalJobSpec(**{**spec.model_dump(), "params": params, "plugins": plugins})


def _metric(name: str) -> Plugin:
    known = registry.available(PluginKind.METRIC).values_list("name", flat=True)
    if name not in known:
        right = ", ".join([*FULL_SUITE, *known])
        raise InvalidInput({"suite": f"{name!r} cannot be measured; choose of: {right}"})
    return registry.get(PluginKind.METRIC, name)


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
        title=f"{what} {checkpoint.branch} at step {checkpoint.step:,}",
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
