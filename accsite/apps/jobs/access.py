"""Who may steer which jobs and workers: operators, and whoever may change what a job works on."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from accsite.apps.access import permissions
from accsite.apps.jobs.models import Job, Worker

ONLY_OPERATORS = "only operators may change workers and the order of queues"
ONLY_OPERATORS_OF_JOBS = "only operators may retry jobs, and take them from their workers"


def register() -> None:
    permissions.register(Job, may_change_job)
    permissions.register(Worker, lambda user, _worker: permissions.may_operate(user))
    permissions.register_pages("jobs", permissions.numbered(_seen))


def may_change_job(user: Any, job: Job) -> bool:
    """Return whether a user may steer a job: operators may, and whoever may change its branch.

    A job of no branch is its maker's; nobody's, if it was made from a shell, is everybody's who may write.
    """
    if permissions.may_operate(user):
        return True
    if job.branch is not None:
        return permissions.may_change(user, job.branch)
    return permissions.may_write(user) and job.created_by_id in (None, user.pk)


def _seen(user: Any, name: str) -> QuerySet[Any]:
    return Worker.objects.all() if name.startswith("worker") else Job.objects.visible_to(user)
