"""Retry a job."""

from __future__ import annotations

from typing import Any

from accsite.apps.jobs.actions.by_operators import ByOperators
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services import retry


class RetryJob(ByOperators):
    """Ask again what a job that failed or was stopped was asked (operators); a recipe goes on where it was."""

    makes = Job
    in_a_list = "Retry: ask again what failed or was stopped"
    done_to = "queued again"
    verb, label = "retry", "Retry"
    said = "Job {made.pk} was asked the same."

    @classmethod
    def possible(cls, job: Job) -> str:
        return retry.why_not_retry(job)

    def run(self, actor: Any, job: Job) -> Job:
        return retry.retry(actor=actor, job=job, idempotency_key=self.key)
