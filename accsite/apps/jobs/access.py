"""Who may steer which jobs and workers: operators, and whoever may change what a job works on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Model
from django.http import Http404

from accsite.apps.access import permissions
from accsite.apps.jobs.models import Job, Worker


def register() -> None:
    """Register the rules; called once when Django is ready."""
    permissions.register(Job, may_change_job)
    permissions.register(Worker, lambda user, _worker: permissions.may_operate(user))
    permissions.register_pages("jobs", page_object)


def may_change_job(user: Any, job: Job) -> bool:
    """Return whether a user may steer a job: operators may, and whoever may change its branch.

    A job of no branch is its maker's; nobody's, if it was made from a shell, is everybody's who may write.
    """
    if permissions.may_operate(user):
        return True
    if job.branch is not None:
        return permissions.may_change(user, job.branch)
    return permissions.may_write(user) and job.created_by_id in (None, user.pk)


def page_object(user: Any, name: str, arguments: Mapping[str, Any]) -> Model | None:
    """Return the worker or the job that a page's address names; None where it names neither.

    Raises Http404 for what the user may not see, so that nothing tells them that it exists.
    """
    if "pk" not in arguments:
        return None
    rows = Worker.objects.all() if name.startswith("worker") else Job.objects.visible_to(user)
    found: Model | None = rows.filter(pk=arguments["pk"]).first()
    if found is None:
        raise Http404(f"there is nothing at this address, or you may not see it: {dict(arguments)}")
    return found
