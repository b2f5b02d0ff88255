"""What only operators do to a job."""

from __future__ import annotations

from typing import Any

from accsite.actions import Action
from accsite.apps.access.permissions import may_operate
from accsite.apps.jobs.access import ONLY_OPERATORS_OF_JOBS
from accsite.apps.jobs.models import Job


class ByOperators(Action):
    """Allowed to operators, whoever the job belongs to."""

    on = Job
    not_allowed = ONLY_OPERATORS_OF_JOBS

    @classmethod
    def may(cls, user: Any, job: Job) -> bool:  # noqa: ARG003
        return may_operate(user)
