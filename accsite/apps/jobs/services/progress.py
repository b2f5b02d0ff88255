"""How far a job has come that has no loss points: written by its worker, told to those who watch it."""

from __future__ import annotations

from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services.unit import announce, unit_of_work


@unit_of_work()
def report(job_id: int, attempt: int, *, step: int, total: int, rate: float | None) -> bool:
    """Write step, total and steps a second; return False if the job is no longer this attempt's."""
    held = Job.objects.filter(pk=job_id).held_by(attempt)
    if not held.update(step=step, total_steps=total, steps_per_second=rate):
        return False
    announce(Job.objects.get(pk=job_id))
    return True
