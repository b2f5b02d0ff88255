"""What the faces of actions need to know of branches and jobs: see ``accsite.actions``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse

from acc.errors import InvalidInput
from accsite import actions
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.selectors import job_state
from accsite.apps.training.models import Branch, Experiment
from accsite.apps.training.selectors import find_branch

Answer = tuple[Any, Callable[[Any], Any]]


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
            answer=_branch_in_the_api,
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


def _branch_in_the_api() -> Answer:
    from accsite.apps.training.api.serializers import BranchSerializer

    return BranchSerializer, lambda branch: BranchSerializer(branch).data


def _jobs(user: Any) -> QuerySet[Job]:
    return Job.objects.visible_to(user).select_related("branch__experiment", "worker")


def _find_job(user: Any, name: str) -> Job:
    rows = Job.objects.all() if user is None else _jobs(user)
    found = rows.filter(pk=int(name)).first() if name.isdecimal() and int(name) < 2**63 else None
    if found is None:
        raise InvalidInput({"job": f"there is no job {name}"})
    return found


def _job_in_the_api() -> Answer:
    from accsite.apps.jobs.api.schema import JobState

    return JobState, job_state
