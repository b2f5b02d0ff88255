"""Requeue a job."""

from __future__ import annotations

from typing import Any

from accsite.actions import Action
from accsite.apps.access.permissions import may_operate
from accsite.apps.jobs.access import ONLY_OPERATORS_OF_JOBS
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services import retry


class RequeueJob(Action):
    """Take a job from its worker and put it back into its queue (operators); it goes on at its newest checkpoint."""

    on = Job
    not_allowed = ONLY_OPERATORS_OF_JOBS
    in_a_list = "Requeue: take from the worker, go on at the newest checkpoint"
    done_to = "put back"
    verb, label = "requeue", "Requeue"
    said = "Job {thing.pk} waits in its queue again."

    @classmethod
    def may(cls, user: Any, job: Job) -> bool:  # noqa: ARG003
        return may_operate(user)

    @classmethod
    def possible(cls, job: Job) -> str:
        return retry.why_not_requeue(job)

    def run(self, actor: Any, job: Job) -> Job:
        return retry.requeue(actor=actor, job=job)
