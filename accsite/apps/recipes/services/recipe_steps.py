"""What the verbs of a running recipe came to: every write carries the attempt that holds the recipe's job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.recipes.models import RecipeRun, RecipeStep

S = RecipeStep.State


@dataclass(frozen=True)
class Call:
    """One call of a verb: its place in the program, what it asks for, and where it stands in the source."""

    path: str
    verb: str
    args: Mapping[str, Any]
    phase: str = ""
    line: int | None = None


@dataclass(frozen=True)
class Done:
    """What a verb came to at once: its answer as JSON, and what it touched."""

    result: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""
    experiment: int | None = None
    branch: int | None = None
    checkpoint: int | None = None


@dataclass(frozen=True)
class Submitted:
    """The job that a verb waits for; ``owned`` unless somebody else had submitted it."""

    job: Job
    owned: bool = True


Act = Callable[[RecipeStep], Done | Submitted | None]
"""None: what is to be done goes on in the recipe itself."""


def find(run_id: int, path: str) -> RecipeStep | None:
    """Return the step at a place of the program, or None if the run never came there."""
    return RecipeStep.objects.filter(run_id=run_id, path=path).select_related("job").first()


@unit_of_work()
def begin(run: RecipeRun, job_id: int, attempt: int, call: Call, act: Act) -> RecipeStep:
    """Return the step of a call, done, with a job under way, or to be gone on with.

    The step and what it does are one transaction.
    Called for a step that is there already (a replay), it does what is left to do. Raises Fenced when this
    attempt no longer holds the recipe's job, and what ``act`` raises: nothing is written then.
    """
    _hold(job_id, attempt)
    step = find(run.pk, call.path)
    if step is None:
        step = RecipeStep(run=run, path=call.path, verb=call.verb, args=dict(call.args))
    elif step.state != S.RUNNING or step.job_id is not None:
        return step
    step.phase, step.line, step.started_at = call.phase, call.line, timezone.now()
    step.save()
    made = act(step)
    if isinstance(made, Submitted):
        step.job, step.owns_job = made.job, made.owned
        step.branch = made.job.branch
        step.experiment = made.job.branch.experiment if made.job.branch else None
    elif made is not None:
        _write(step, S.SUCCEEDED, made)
    step.save()
    touch(f"recipe:{run.pk}")
    return step


@unit_of_work()
def open_frame(run: RecipeRun, job_id: int, attempt: int, call: Call) -> RecipeStep:
    """Return the step of a call that has others within it (a phase, a parallel), RUNNING until it is closed."""
    _hold(job_id, attempt)
    step = find(run.pk, call.path)
    if step is None:
        step = RecipeStep.objects.create(
            run=run, path=call.path, verb=call.verb, args=dict(call.args), phase=call.phase, line=call.line
        )
        touch(f"recipe:{run.pk}")
    return step


@unit_of_work()
def end(job_id: int, attempt: int, step: RecipeStep, done: Done) -> None:
    """Note that a step is done."""
    _hold(job_id, attempt)
    _write(step, S.SUCCEEDED, done)
    step.save()
    touch(f"recipe:{step.run_id}")


@unit_of_work()
def refuse(run: RecipeRun, job_id: int, attempt: int, call: Call, message: str) -> None:
    """Note that a verb could not be done, with a sentence."""
    _hold(job_id, attempt)
    step = find(run.pk, call.path) or RecipeStep(
        run=run, path=call.path, verb=call.verb, args=dict(call.args)
    )
    step.phase, step.line = call.phase, call.line
    _write(step, S.FAILED, Done(message=message))
    step.save()
    touch(f"recipe:{run.pk}")


@unit_of_work()
def foresee(run: RecipeRun, job_id: int, attempt: int, plan: Mapping[str, Any]) -> None:
    """Keep what a rehearsal foresaw of the run."""
    _hold(job_id, attempt)
    run.plan = dict(plan)
    run.save(update_fields=["plan"])
    Job.objects.filter(pk=job_id).update(total_steps=plan.get("steps", 0))
    touch(f"recipe:{run.pk}")


@unit_of_work()
def progress(run: RecipeRun, job_id: int, attempt: int, *, step: int, total: int, rate: float | None) -> None:
    """Note how many train steps are made of how many; raises Fenced."""
    held = Job.objects.held_by(attempt).filter(pk=job_id)
    if not held.update(step=step, total_steps=max(step, total), steps_per_second=rate):
        raise Fenced(job_id, attempt)
    touch(f"recipe:{run.pk}")


@unit_of_work()
def keep_result(run: RecipeRun, job_id: int, attempt: int, result: Any) -> None:
    """Keep what the recipe returned."""
    _hold(job_id, attempt)
    run.result = result
    run.save(update_fields=["result"])
    touch(f"recipe:{run.pk}")


def _hold(job_id: int, attempt: int) -> None:
    if not Job.objects.select_for_update().held_by(attempt).filter(pk=job_id).exists():
        raise Fenced(job_id, attempt)


def _write(step: RecipeStep, state: str, done: Done) -> None:
    step.state, step.message, step.finished_at = state, done.message, timezone.now()
    step.result = dict(done.result)
    for name in ("experiment", "branch", "checkpoint"):
        found = getattr(done, name)
        if found is not None:
            setattr(step, f"{name}_id", found)
