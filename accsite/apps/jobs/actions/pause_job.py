"""Pause a job."""

from __future__ import annotations

from typing import Any

from accsite.actions import Action
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services import control


class PauseJob(Action):
    """Let a training that runs pause between two of its steps."""

    on = Job
    button = "training:job-control"
    in_a_list = "Pause"
    done_to = "asked to pause"
    verb, label = "pause", "Pause"

    def run(self, actor: Any, job: Job) -> Job:
        control.pause_or_resume(actor=actor, job=job, kind="pause")
        return job
