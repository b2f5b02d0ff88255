"""Who may keep what a job has found in an upload: whoever may steer that job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Model
from django.http import Http404

from accsite.apps.access import permissions
from accsite.apps.jobs.models import Job


def register() -> None:
    """Register the pages; called once when Django is ready."""
    permissions.register_pages("datasets", page_object)


def page_object(user: Any, _name: str, arguments: Mapping[str, Any]) -> Model | None:
    """Return the job that a page's address names; None where it names none.

    Raises Http404 for one that the user may not see, so that nothing tells them that it exists.
    """
    if "pk" not in arguments:
        return None
    found: Model | None = Job.objects.visible_to(user).filter(pk=arguments["pk"]).first()
    if found is None:
        raise Http404(f"there is no job {arguments['pk']} that you may see")
    return found
