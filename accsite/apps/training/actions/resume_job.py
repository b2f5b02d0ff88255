"""Resume a job."""

from __future__ import annotations

from typing import Any

from accsite.actions import Action
from accsite.apps.jobs.models import Job
from accsite.apps.training.services import jobs


class ResumeJob(Action):
    """Let a paused job go on, or queue one that failed or was stopped again, from its newest checkpoint."""

    on = Job
    button = "training:job-resume"
    in_a_list = "Resume"
    done_to = "asked to go on"
    verb, label = "resume", "Resume"

    def run(self, actor: Any, job: Job) -> Job:
        return jobs.resume(actor=actor, job=job)
