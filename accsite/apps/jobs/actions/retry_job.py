"""Retry a job."""

from __future__ import annotations

from typing import Any

from accsite.actions import Action
from accsite.apps.access.permissions import may_operate
from accsite.apps.jobs.access import ONLY_OPERATORS_OF_JOBS
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services import retry


class RetryJob(Action):
    """Ask again what a job that failed or was stopped was asked (operators); a recipe goes on where it was."""

    on, makes = Job, Job
    not_allowed = ONLY_OPERATORS_OF_JOBS
    in_a_list = "Retry: ask again what failed or was stopped"
    done_to = "queued again"
    verb, label = "retry", "Retry"
    said = "Job {made.pk} was asked the same."

    @classmethod
    def may(cls, user: Any, job: Job) -> bool:  # noqa: ARG003
        return may_operate(user)

    @classmethod
    def possible(cls, job: Job) -> str:
        return retry.why_not_retry(job)

    def run(self, actor: Any, job: Job) -> Job:
        return retry.retry(actor=actor, job=job, idempotency_key=self.key)
