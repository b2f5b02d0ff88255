"""How branches, their tasks and jobs are found by a few letters: see ``accsite.search``."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.urls import reverse

from accsite import search
from accsite.apps.training.models import Branch, Task
from accsite.apps.training.selectors.jobs import seen_experiments, seen_jobs
from accsite.search.rows import best


def register() -> None:
    search.register("branch", _branches)
    search.register("job", _jobs)
    search.register("task", _tasks)
    search.register_pages(
        search.Page("Workbench", "training:home", "train and steer", "home loss curves weights"),
        search.Page("Jobs", "training:jobs", "all of them, newest first", "log queue failed running"),
    )


def _branches(user: Any, query: search.Query, limit: int) -> list[search.Found]:
    rows: QuerySet[Any] = Branch.objects.filter(experiment__in=seen_experiments(user))
    rows = best(rows, query, "name", "slug", "experiment__name", "experiment__slug")
    rows = rows.select_related("experiment").defer("experiment__model_spec")
    return [
        search.Found(
            "branch",
            row.name,
            f"branch of {row.experiment.name}",
            reverse("training:workbench", args=[row.experiment.slug, row.slug]),
            row.rank,
        )
        for row in rows[:limit]
    ]


def _jobs(user: Any, query: search.Query, limit: int) -> list[search.Found]:
    # what is of passing interest is found by its number alone
    rows: QuerySet[Any] = seen_jobs(user).filter(Q(preview=False) | Q(pk=query.number))
    rows = best(
        rows, query, "title", "kind", "state", "branch__slug", "branch__experiment__slug", numbered=True
    )
    rows = rows.select_related("branch__experiment").defer(
        "spec", "traceback", "branch__experiment__model_spec"
    )
    return [
        search.Found(
            "job",
            f"Job {job.pk}: {job.title}",
            f"{job.words.label}, {job.branch}" if job.branch else job.words.label,
            reverse("training:job", args=[job.pk]),
            job.rank,
        )
        for job in rows[:limit]
    ]


def _tasks(user: Any, query: search.Query, limit: int) -> list[search.Found]:
    rows: QuerySet[Any] = Task.objects.filter(branch__experiment__in=seen_experiments(user), removed_at=None)
    rows = best(
        rows, query, "name", "key", "task_class", "factor", "branch__slug", "branch__experiment__slug"
    )
    rows = rows.select_related("branch__experiment").defer("params", "branch__experiment__model_spec")
    return [
        search.Found(
            "task",
            row.name,
            f"{row.task_class} of {row.branch}",
            f"{reverse('training:workbench', args=[row.branch.experiment.slug, row.branch.slug])}#tasks",
            row.rank,
        )
        for row in rows[:limit]
    ]
