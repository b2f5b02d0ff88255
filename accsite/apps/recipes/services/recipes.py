"""Runs of recipes: started, resumed after a stop or a failure, and settled when their job ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.utils import timezone

from acc.errors import InvalidInput
from acc.params import Param, clean_params
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.services import control, queueing
from accsite.apps.jobs.services.idempotency import submitted_before
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.jobs.states import ACTIVE, TERMINAL, JobState
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.registry import approval
from accsite.apps.registry import selectors as registry
from accsite.apps.registry.models import PluginKind
from accsite.errors import WrongState

MAX_SEED = 2**53
S = RecipeStep.State
WHEN_SETTLED: list[Callable[[RecipeRun], None]] = []
"""Called when the job of a run has ended, within that transaction: filled in by apps whose programs they are."""
WHEN_RESUMED: list[Callable[[RecipeRun], None]] = []
"""Called with each run that is part of one that is to be resumed, likewise."""


@unit_of_work()
def submit_recipe(
    *,
    actor: Any,
    recipe: object,
    params: Mapping[str, Any] | None = None,
    seed: Any = 0,
    idempotency_key: str | None = None,
) -> RecipeRun:
    """Return a new run of a recipe, its job queued; it keeps the recipe's source as it is now.

    A request that is sent twice with one ``idempotency_key`` makes one run. Raises InvalidInput naming each
    wrong field.
    """
    before = submitted_before(actor, idempotency_key)
    known = RecipeRun.objects.filter(pk=before.spec.get("run")).first() if before else None
    if known is not None:
        return known
    errors: dict[str, list[str]] = {}
    plugin, cleaned, number = None, {}, 0
    try:
        plugin = registry.get(PluginKind.RECIPE, recipe)
        cleaned = clean_params(plugin.params, params or {})
    except InvalidInput as error:
        errors.update(error.fields)
    try:
        number = Param(0, min=0, max=MAX_SEED).clean(0 if seed in (None, "") else seed)
    except ValueError as error:
        errors["seed"] = [str(error)]
    if errors or plugin is None:
        raise InvalidInput(errors)
    run = RecipeRun.objects.create(
        recipe=plugin.name,
        label=plugin.label,
        source_id=plugin.source_id,
        params=cleaned,
        seed=number,
        created_by=actor,
    )
    _queue(run, actor, idempotency_key)
    return run


@unit_of_work()
def submit_program(
    *,
    actor: Any,
    program: str,
    label: str,
    params: Mapping[str, Any],
    plan: Mapping[str, Any],
    within: RecipeStep | None = None,
) -> RecipeRun:
    """Return a new run of a program of ACC's own, its job queued; ``plan``: what it will do, as a rehearsal says it.

    within: the call of another run that does it, by whose job; it has none of its own then.
    """
    run = RecipeRun.objects.create(
        recipe=program, label=label, params=dict(params), plan=dict(plan), created_by=actor, within=within
    )
    if within is None:
        _queue(run, actor, None)
    return run


@unit_of_work()
def resume_recipe(*, actor: Any, run: RecipeRun, has_more: bool = False) -> RecipeRun:
    """Return a run that was stopped or failed, queued again: what was done in it is not done again.

    What it was stopped in, or failed by, is tried anew. has_more: its program has more to do than when it came to its
    end, so that one that is done goes on, too. Raises WrongState for a run that is at work or done.
    """
    # Before the lock on the run: what is a part of it is locked before it elsewhere.
    for part in RecipeRun.objects.filter(within__run=run, job=None).exclude(within__state=S.SUCCEEDED):
        for told in WHEN_RESUMED:
            told(part)
    run = RecipeRun.objects.select_for_update().get(pk=run.pk)
    if run.is_active or (run.job is not None and not run.can_resume and not has_more):
        words = "is at work" if run.is_active else "is done"
        raise WrongState(run=f"recipe run {run.pk} {words}; only one that was stopped or failed is resumed")
    again = _to_try_again(run)
    for part in RecipeRun.objects.filter(within__in=again, job=None):
        again += _to_try_again(part)
    for step in again:
        step.state, step.job, step.result = S.RUNNING, None, None
        step.tries, step.message, step.finished_at = step.tries + 1, "", None
        step.save(update_fields=["state", "job", "result", "tries", "message", "finished_at"])
    _queue(run, actor, None)
    return run


def stop_recipe(*, actor: Any, run: RecipeRun) -> None:
    """Ask a run to stop, with the jobs that it has under way; raises WrongState for one without a job."""
    if run.job is None:
        raise WrongState({"run": f"recipe run {run.pk} has no job that could be stopped"})
    control.stop(actor=actor, job=run.job)


def settle(job: Job) -> None:
    """Stop what a recipe's job that has just ended had under way, and say so in its steps; within a transaction."""
    run = RecipeRun.objects.filter(job=job).first()
    if run is None:
        return
    for inner in list(RecipeRun.objects.filter(within__run=run, within__state=S.RUNNING, job=None)):
        _settle(inner, job)
    _settle(run, job)


def _settle(run: RecipeRun, job: Job) -> None:
    for step in run.steps.filter(state=S.RUNNING).select_related("job"):
        if step.owns_job and step.job is not None and step.job.state in ACTIVE:
            ask_to_stop(step.job, actor=None)
        done = job.state == JobState.SUCCEEDED
        step.state = S.SUCCEEDED if done and step.job is None else S.CANCELLED
        step.message = step.message or ("" if done else "the run ended here")
        step.finished_at = timezone.now()
        step.save(update_fields=["state", "message", "finished_at"])
    touch("recipes", f"recipe:{run.pk}")
    for told in WHEN_SETTLED:
        told(run)


def ask_to_stop(job: Job, *, actor: Any) -> None:
    """Have a job that a recipe waits for stopped: cancelled if it waits, asked to stop if it runs."""
    job.refresh_from_db()
    if job.state not in TERMINAL:
        control.stop(actor=actor, job=job)


def _queue(run: RecipeRun, actor: Any, key: str | None) -> None:
    approval.require([run.source_id or ""], field="recipe")
    job = queueing.enqueue(
        JobKind.RECIPE,
        title=f"Recipe {run.label}",
        spec={
            "run": run.pk,
            "recipe": run.recipe,
            "params": run.params,
            "seed": run.seed,
            "source_sha256": run.source_id,
        },
        created_by=actor,
        idempotency_key=key or None,
    )
    run.job = job
    run.save(update_fields=["job"])
    touch("recipes", f"recipe:{run.pk}")


def _to_try_again(run: RecipeRun) -> list[RecipeStep]:
    """Return the steps to be made anew: those that were stopped, and the failed ones that ended the run.

    A failure after which the recipe went on was answered by the recipe itself, and belongs to what was done.
    """
    steps = list(run.steps.all())
    done = {step.path for step in steps if step.state == S.SUCCEEDED}
    last: dict[str, int] = {}
    for step in steps:
        scope, number = _place(step.path)
        last[scope] = max(last.get(scope, 0), number)

    def ended_its_scope(path: str) -> bool:
        scope, number = _place(path)
        return path not in done and number == last[scope]

    def ended_the_run(step: RecipeStep) -> bool:
        return all(map(ended_its_scope, [step.path, *_around(step.path)]))

    return [
        step
        for step in steps
        if step.state == S.CANCELLED or (step.state == S.FAILED and ended_the_run(step))
    ]


def _place(path: str) -> tuple[str, int]:
    """Return the scope of a call and its number in it: ``3.2`` and 1 for ``3.2.1``."""
    scope, _, number = path.rpartition(".")
    return scope, int(number)


def _around(path: str) -> list[str]:
    """Return the paths of the ``parallel`` calls that a step is within: ``3`` for ``3.2.1``."""
    parts = path.split(".")
    return [".".join(parts[:size]) for size in range(1, len(parts) - 1, 2)]
