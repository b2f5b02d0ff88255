"""The bodies of Celery tasks: a message is a doorbell with the number of a job, nothing more."""

from __future__ import annotations

from accsite.celery import app
from workers import host


@app.task(name="workers.run_job")
def run_job(job_id: int) -> None:
    """Run one job in a process of its own and return when that has ended."""
    host.current().run(job_id)
