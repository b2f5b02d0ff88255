"""What the faces of actions need to know of branches, tasks and jobs: see ``accsite.actions``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse

from acc.errors import InvalidInput
from accsite import actions
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.selectors import job_state
from accsite.apps.training.models import Branch, Experiment, Task
from accsite.apps.training.selectors import find_branch, find_task, with_source_removed
from accsite.apps.training.selectors.jobs import seen_jobs
from accsite.ids import row_id


def register() -> None:
    actions.register(
        actions.Things(
            model=Branch,
            namespace="training",
            plural="branches",
            seen_by=_branches,
            find=_find_branch,
            word=str,
            page=lambda branch: reverse("training:workbench", args=[branch.experiment.slug, branch.slug]),
            answer=actions.serialized("accsite.apps.training.api.serializers.BranchSerializer"),
        ),
        actions.Things(
            model=Task,
            namespace="training",
            plural="tasks",
            seen_by=_tasks,
            find=_find_task,
            word=lambda task: task.key,
            where=_where_a_task_is,
            page=_page_of_a_task,
            answer=actions.serialized("accsite.apps.training.api.serializers.TaskSerializer"),
            among_others=True,
        ),
        actions.Things(
            model=Job,
            namespace="training",
            plural="jobs",
            seen_by=_jobs,
            find=_find_job,
            word=lambda job: str(job.pk),
            page=lambda job: reverse("training:job", args=[job.pk]),
            answer=_job_in_the_api,
            only_possible=True,
            fresh=lambda job: (reverse("training:job-panel", args=[job.pk, "actions"]), f"job:{job.pk}"),
            line=lambda job: f"job {job.pk} queued: {job.title}; `manage.py jobs follow {job.pk}` shows it",
        ),
    )


def _branches(user: Any) -> QuerySet[Branch]:
    rows = Branch.objects.filter(experiment__in=Experiment.objects.visible_to(user))
    return rows.select_related("experiment", "head")


def _find_branch(user: Any, name: str) -> Branch:
    experiment, slash, branch = name.partition("/")
    if not slash:
        raise InvalidInput({"branch": f"{name!r} is not EXPERIMENT/BRANCH, such as digits/main"})
    return find_branch(user, experiment, branch)


def _tasks(user: Any) -> QuerySet[Task]:
    rows = Task.objects.filter(branch__experiment__in=Experiment.objects.visible_to(user))
    return with_source_removed(rows.select_related("dataset", "branch__experiment"))


def _find_task(user: Any, name: str) -> Task:
    branch, slash, key = name.rpartition("/")
    if not slash:
        raise InvalidInput({"task": f"{name!r} is not EXPERIMENT/BRANCH/TASK, such as digits/main/kl"})
    return find_task(_find_branch(user, branch), key, removed=None)


def _where_a_task_is(task: Task) -> list[str]:
    return ["--experiment", task.branch.experiment.slug, "--branch", task.branch.slug]


def _page_of_a_task(task: Task) -> str:
    return reverse("training:workbench", args=[task.branch.experiment.slug, task.branch.slug])


def _jobs(user: Any) -> QuerySet[Job]:
    return Job.objects.visible_to(user).select_related("branch__experiment", "worker")


def _find_job(user: Any, name: str) -> Job:
    rows = seen_jobs(user)
    found = rows.filter(pk=row_id(name)).select_related("branch__experiment", "worker").first()
    if found is None:
        newest = ", ".join(map(str, rows.order_by("-pk").values_list("pk", flat=True)[:5])) or "none"
        missing = f"there is no job {name}" if name else "name a job by its id"
        raise InvalidInput({"job": f"{missing}; the newest are: {newest}"})
    return found


def _job_in_the_api() -> tuple[Any, Callable[[Any], Any]]:
    from accsite.apps.jobs.api.schema import JobState

    return JobState, job_state
