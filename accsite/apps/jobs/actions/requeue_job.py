"""Requeue a job."""

from __future__ import annotations

from typing import Any

from accsite.apps.jobs.actions.by_operators import ByOperators
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services import retry


class RequeueJob(ByOperators):
    """Take a job from its worker and put it back into its queue (operators); it goes on at its newest checkpoint."""

    in_a_list = "Requeue: take from the worker, go on at the newest checkpoint"
    done_to = "put back"
    verb, label = "requeue", "Requeue"
    said = "Job {thing.pk} waits in its queue again."

    @classmethod
    def possible(cls, job: Job) -> str:
        return retry.why_not_requeue(job)

    def run(self, actor: Any, job: Job) -> Job:
        return retry.requeue(actor=actor, job=job)
