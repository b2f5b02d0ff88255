"""Who sees what is not a dataset yet: datasets are everyone's, the files that somebody looks at are not."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from accsite.apps.access import permissions
from accsite.apps.jobs.models import PRIVATE_KINDS, Job, JobKind


def register() -> None:
    PRIVATE_KINDS[JobKind.IMPORT] = _imports_of
    # Whoever sees the job of an upload is told of it, and may keep what it has found if they may steer the job.
    permissions.register_pages(
        "datasets", permissions.numbered(lambda user, _name: Job.objects.visible_to(user))
    )


def _imports_of(user: Any) -> Q:
    """Return the jobs that look at files of a user, or import them.

    Such a job holds paths, columns and values, also of what is left out or never imported: it is its maker's, whatever
    became of it. The dataset alone is everyone's.
    """
    return Q(created_by=user)
