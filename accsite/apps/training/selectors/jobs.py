"""Reads what trainings have come to, and finds branches and checkpoints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, TypedDict, TypeVar

from django.db.models import Model, QuerySet

from acc.errors import InvalidInput
from acc.training.losses import series
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.selectors import job_states
from accsite.apps.training.models import Branch, Checkpoint, Experiment, Task
from accsite.apps.training.selectors.loss import last_losses, last_losses_of
from accsite.numbers import if_finite

R = TypeVar("R", bound=Model)


class TaskLoss(TypedDict):
    """The newest raw loss of a task of a job; None where it is not a finite number."""

    key: str
    name: str
    loss: float | None


class JobSummary(TypedDict):
    """What a list of past work shows of a job. ``seconds``: from its first start to its end, or to now.

    ``losses``: of each task in the job's order; ``total``: their weighted sum.
    """

    id: int
    kind: str
    title: str
    state: str
    experiment: str | None
    branch: int | None
    branch_slug: str | None
    checkpoint: int | None
    step: int
    total_steps: int
    seconds: float | None
    losses: list[TaskLoss]
    total: float | None
    message: str
    created_at: str
    started_at: str | None
    finished_at: str | None


def task_losses(job: Job) -> dict[str, float]:
    """Return task name -> newest loss of a train job, in the order of its tasks."""
    return {name: loss for _, name, loss in _losses(job, last_losses(job), {})}


def job_summaries(jobs: Sequence[Job]) -> list[JobSummary]:
    """Return what a list of past work shows of each job, with four queries for them all."""
    last = last_losses_of([job for job in jobs if job.makes_points])
    names: dict[int | None, dict[str, str]] = defaultdict(dict)
    tasks = Task.objects.filter(branch__in={job.branch_id for job in jobs if job.branch_id})
    for branch_id, key, name in tasks.values_list("branch_id", "key", "name"):
        names[branch_id][key] = name
    summaries = []
    for job, state in zip(jobs, job_states(jobs), strict=True):
        found = last.get(job.pk, {})
        losses = _losses(job, found, names[job.branch_id])
        summaries.append(
            JobSummary(
                id=state["id"],
                kind=state["kind"],
                title=state["title"],
                state=state["state"],
                experiment=state["experiment"],
                branch=state["branch"],
                branch_slug=state["branch_slug"],
                checkpoint=state["checkpoint"],
                step=state["step"],
                total_steps=state["total_steps"],
                seconds=state["elapsed_seconds"],
                losses=[TaskLoss(key=key, name=name, loss=if_finite(loss)) for key, name, loss in losses],
                total=if_finite(found.get(series.TOTAL)),
                message=state["message"],
                created_at=job.created_at.isoformat(),
                started_at=state["started_at"],
                finished_at=state["finished_at"],
            )
        )
    return summaries


def _losses(job: Job, last: dict[str, float], attached: dict[str, str]) -> list[tuple[str, str, float]]:
    """Return key, name and loss of each task that has one; ``attached`` names those that came while it ran."""
    names = {task["key"]: task["name"] for task in job.spec.get("tasks", [])}
    for key in filter(None, [series.task_key(name) for name in last if name.startswith("raw/")]):
        names.setdefault(key, attached.get(key, key))
    return [(key, name, last[series.raw(key)]) for key, name in names.items() if series.raw(key) in last]


def seen_experiments(user: Any) -> QuerySet[Experiment]:
    """Return the experiments that ``user`` may see; None, a shell, sees all."""
    return Experiment.objects.all() if user is None else Experiment.objects.visible_to(user)


def seen_jobs(user: Any) -> QuerySet[Job]:
    """Return the jobs that ``user`` may see; None, a shell, sees all."""
    return Job.objects.all() if user is None else Job.objects.visible_to(user)


def _called(rows: QuerySet[R], name: str) -> R | None:
    """Return the row of a slug, else of a name: the name of one may be the slug of another."""
    return rows.filter(slug=name).first() or rows.filter(name=name).first()


def find_experiment(user: Any, name: str) -> Experiment:
    """Return an experiment by slug, else by name; raises InvalidInput naming those there are. ``user`` None: all."""
    seen = seen_experiments(user)
    found = _called(seen, name)
    if found is None:
        known = ", ".join(seen.values_list("slug", flat=True)[:20]) or "none"
        raise InvalidInput({"experiment": f"{name!r} is not an experiment; known: {known}"})
    return found


def find_branch(user: Any, experiment: str, branch: str) -> Branch:
    """Return a branch by slugs, else by names; raises InvalidInput naming those there are. ``user`` None: all."""
    found = find_experiment(user, experiment)
    line = _called(found.branches.select_related("experiment"), branch)
    if line is None:
        known = ", ".join(found.branches.values_list("slug", flat=True)[:20]) or "none"
        raise InvalidInput({"branch": f"{branch!r} is not a branch of {found.slug}; known: {known}"})
    return line


def find_checkpoint(user: Any, pk: int) -> Checkpoint:
    """Return a checkpoint; raises InvalidInput if there is none. ``user`` None: any."""
    rows = Checkpoint.objects.filter(experiment__in=seen_experiments(user))
    found = rows.filter(pk=pk).select_related("branch__experiment").first()
    if found is None:
        known = ", ".join(map(str, rows.values_list("pk", flat=True)[:5])) or "none"
        raise InvalidInput({"checkpoint": f"there is no checkpoint {pk}; the newest are: {known}"})
    return found
