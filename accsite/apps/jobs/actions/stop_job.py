"""Stop a job."""

from __future__ import annotations

from typing import Any

from accsite.actions import Action
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services import control


class StopJob(Action):
    """Stop a job: one that waits is cancelled, any other is asked to stop and keeps what it has learned."""

    on = Job
    button = "training:job-control"
    in_a_list = "Stop; cancel those that wait"
    done_to = "asked to stop"
    verb, label = "stop", "Stop"

    @classmethod
    def possible(cls, job: Job) -> str:
        return control.why_not_stop(job)

    def run(self, actor: Any, job: Job) -> Job:
        return control.cancel(actor=actor, job=job)
