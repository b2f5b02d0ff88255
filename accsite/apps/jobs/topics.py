"""What pages may watch of jobs and workers, and the state that is pinged to those who watch a job."""

from __future__ import annotations

from typing import Any

from acc import messages
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.selectors import job_state
from accsite.apps.jobs.selectors.workers import worker_figures
from accsite.apps.live import topics


def register() -> None:
    topics.register("jobs")
    topics.register("workers", pulse=worker_figures)
    topics.register("job", may_see=_sees_job, snapshot=_job)
    topics.register("log", may_see=_sees_job)


def _sees_job(user: Any, key: str) -> bool:
    return key.isdecimal() and Job.objects.visible_to(user).filter(pk=int(key)).exists()


def _job(key: str) -> messages.Job | None:
    job = Job.objects.select_related("branch__experiment", "worker").filter(pk=int(key)).first()
    return job_state(job) if job is not None else None
